"""The status of a run, and the files that it leaves."""

from enum import StrEnum


class Status(StrEnum):
    """The status of a run; a member equals its string, which manifests store."""

    MISSING = "missing"  # its folder is empty or does not exist
    OUTDATED = "outdated"  # its folder holds a run of another specification
    RUNNING = "running"  # a process is training it
    STOPPED = "stopped"  # it has not ended, and can be resumed
    FINISHED = "finished"
    DIVERGED = "diverged"  # it ended because its loss was not finite
    FAILED = "failed"  # an error ended it, which was reported in one line


ENDED = (Status.FINISHED, Status.DIVERGED)  # the statuses of runs with complete evidence
EVIDENCE = (  # the files of a run that has ended, as far as it leaves them
    "manifest.json",
    "metrics.parquet",
    "timing.parquet",
    "probes.parquet",
    "embedding.parquet",
    "samples.parquet",
    "samples.txt",
)
