"""The one error that a user's input can cause."""


class UsageError(ValueError):
    """Wrong input, said in one line: what, where, and what to do about it."""
