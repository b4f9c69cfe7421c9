"""The tasks by name. To add one, write its module and one line here."""

from runner.data.tasks.arithmetic import Arithmetic
from runner.data.tasks.context import Context
from runner.data.tasks.task import Task
from runner.data.tasks.windows import Windows

TASKS: dict[str, type[Task]] = {"windows": Windows, "context": Context, "arithmetic": Arithmetic}
