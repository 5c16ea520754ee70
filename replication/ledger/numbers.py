"""How numbers are written into tables."""


def format_number(value: float | int | None) -> str:
    """Shortest text of a number: integers in full, others to six significant digits, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    return f"{value:.6g}"
