"""Format of the numbers in tables."""


def format_number(value: float | int | None) -> str:
    """Format a number: integers in full, others to six significant digits, None as an empty string."""
    if value is None:
        return ""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    return f"{value:.6g}"
