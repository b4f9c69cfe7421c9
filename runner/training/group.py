"""The processes that train one run together, started by torchrun; without it, the group is this process alone."""

import atexit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from runner.errors import UserError
from runner.training.ranks import local_processes, processes


class Group:
    """Process `rank` of `size`. Process 0 leads: it alone reads and writes the run's folder, and prints."""

    def __init__(self) -> None:
        self.rank, self.size = processes()
        self.leads = self.rank == 0

    def join(self, device: str) -> str:
        """Set up communication, by NCCL on CUDA and gloo elsewhere; returns the device of this process. Raises a
        `UserError` where the machine has fewer CUDA devices than processes."""
        if self.size == 1:
            return device
        if device.startswith("cuda"):
            local, count = local_processes()
            if count > torch.cuda.device_count():
                raise UserError(
                    f"{torch.cuda.device_count()} CUDA devices for {count} processes of this machine: give torchrun "
                    "as many processes as there are devices"
                )
            device = f"cuda:{local}"
            torch.cuda.set_device(device)
        if not dist.is_initialized():  # only once: a second set-up could find addresses of the first
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
            atexit.register(dist.destroy_process_group)
        return device

    def share(self, micro_batches: int) -> range:
        """The numbers of the micro-batches of this process. Raises a `UserError` where they cannot be shared
        equally."""
        if micro_batches % self.size:
            raise UserError(
                f"grad_accumulation = {micro_batches} micro-batches cannot be shared by {self.size} processes: "
                f"choose a multiple of {self.size}"
            )
        each = micro_batches // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in one flat buffer. With two processes the sum equals, to
        the last bit, that of one process over two micro-batches."""
        if self.size == 1:
            return
        flat = torch.cat([t.flatten() for t in tensors])
        with self._together():
            dist.all_reduce(flat)
        for t, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            t.copy_(part.view_as(t))

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is true in any process."""
        if self.size == 1:
            return flag
        flags = torch.tensor([float(flag)], device=device)
        with self._together():
            dist.all_reduce(flags)
        return bool(flags.item())

    def from_leader(self, value: Any) -> Any:
        """The value of process 0, at every process."""
        if self.size == 1:
            return value
        box = [value]
        with self._together():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def tensors_from_leader(self, tensors: Sequence[Tensor]) -> None:
        """Copy the values of each tensor from process 0."""
        with self._together():
            for t in tensors if self.size > 1 else ():
                dist.broadcast(t, src=0)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Raise a `UserError` where another process has ended. That process reports its own error."""
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(
                f"process {self.rank} of {self.size} has lost the others and stops ({reason}); the last checkpoint is "
                "intact: run the same command again"
            ) from None
