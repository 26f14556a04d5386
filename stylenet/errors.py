"""The two ways in which a command can end badly, each with one line that a person can act on."""


class InputError(ValueError):
    """Raised when a request cannot be carried out as it is: a bad file, option or combination (exit code 2)."""


class RunError(RuntimeError):
    """Raised when the request was fine, and something broke while it was carried out (exit code 1)."""
