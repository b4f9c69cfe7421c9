"""What has become of a run, in one word."""

from enum import StrEnum


class Status(StrEnum):
    """A member equals its word, as manifests have it."""

    MISSING = "missing"  # nothing stands in its folder
    OUTDATED = "outdated"  # what stands there is another specification
    RUNNING = "running"  # a process trains it
    STOPPED = "stopped"  # it has not ended, and can be taken up again
    FINISHED = "finished"
    DIVERGED = "diverged"  # it ended with a loss that is not finite
    FAILED = "failed"  # an error ended it, which was said in a line


ENDED = (Status.FINISHED, Status.DIVERGED)  # those that leave evidence
