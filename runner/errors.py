"""Errors that a user can correct."""


class UserError(Exception):
    """Bad input. Its message is one line that names the input and the remedy; a command prints it and exits with 2."""


class Held(UserError):
    """Another process holds the lock of a run's folder."""


class NoDevice(UserError):
    """The named device is missing on this machine, or on all machines of a cluster."""


class Damaged(UserError):
    """Evidence is missing, cannot be read, or does not match its checksum."""


class Absent(UserError):
    """The files of a corpus are neither in the user's folder of data nor where they can be had from."""
