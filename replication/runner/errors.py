"""Error for an invalid suite file or call."""


class SuiteError(ValueError):
    """Raised before anything is run if the suite file or a call is invalid."""
