"""The error of a wrong suite file or call."""


class SuiteError(ValueError):
    """Something in the suite file or in a call is wrong; nothing has been run."""
