"""The two ways in which a command can end badly, each with one line a person can act on."""


class InputError(ValueError):
    """What was asked for cannot be done as asked: a bad file, option or combination (exit code 2)."""


class RunError(RuntimeError):
    """The request was fine, and something broke while it was carried out (exit code 1)."""
