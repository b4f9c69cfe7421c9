"""Errors that a user can mend."""


class UserError(Exception):
    """Bad input: one line that names the input and the remedy. Commands print it and exit with status 2."""


class Held(UserError):
    """Another process holds a run's folder."""


class NoDevice(UserError):
    """This machine, or no machine of a cluster, has the device that was named."""


class Damaged(UserError):
    """Evidence that is there cannot be read, or does not match its checksum."""


class Absent(UserError):
    """A folder that the user names for data does not have them."""
