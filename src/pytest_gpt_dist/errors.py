"""The one error that a user's input can cause, and any other one in a line."""


class UsageError(ValueError):
    """Wrong input, said in one line: what, where, and what to do about it."""


def first_line(error: Exception) -> str:
    """What an error says first, for where there is a line and no more."""
    return str(error).partition("\n")[0]
