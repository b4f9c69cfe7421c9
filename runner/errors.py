"""Errors that a user can mend."""


class UserError(Exception):
    """Bad input: one line that names the input and the remedy. Commands print it and exit with status 2."""
