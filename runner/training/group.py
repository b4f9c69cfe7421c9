"""The processes that train one run together, as torchrun starts them; one process is a group of its own."""

import atexit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from runner.errors import UserError
from runner.training.ranks import here, processes


class Group:
    """Process `rank` of `size`. Process 0 leads: it alone reads and writes the run's folder, and speaks."""

    def __init__(self) -> None:
        self.rank, self.size = processes()
        self.leads = self.rank == 0

    def join(self, device: str) -> str:
        """Meet the others, over NCCL on CUDA and gloo elsewhere; returns this process' own device."""
        if self.size == 1:
            return device
        if device.startswith("cuda"):
            local, count = here()
            if count > torch.cuda.device_count():
                raise UserError(
                    f"{torch.cuda.device_count()} CUDA devices for {count} processes of this machine: give torchrun "
                    "as many processes as there are devices"
                )
            device = f"cuda:{local}"
            torch.cuda.set_device(device)
        if not dist.is_initialized():  # they part when they end: a second meeting could find addresses of the first
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
            atexit.register(dist.destroy_process_group)
        return device

    def share(self, micro_batches: int) -> range:
        """The numbers of the micro-batches that this process takes."""
        if micro_batches % self.size:
            raise UserError(
                f"grad_accumulation = {micro_batches} micro-batches cannot be shared by {self.size} processes: "
                f"choose a multiple of {self.size}"
            )
        each = micro_batches // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes. One flat buffer for all: with two processes the sum is
        the very one that a single process makes of two micro-batches."""
        if self.size == 1:
            return
        flat = torch.cat([t.flatten() for t in tensors])
        with self._together():
            dist.all_reduce(flat)
        for t, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            t.copy_(part.view_as(t))

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any process says so."""
        if self.size == 1:
            return flag
        flags = torch.tensor([float(flag)], device=device)
        with self._together():
            dist.all_reduce(flags)
        return bool(flags.item())

    def from_leader(self, value: Any) -> Any:
        """What process 0 has, at every process."""
        if self.size == 1:
            return value
        box = [value]
        with self._together():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def tensors_from_leader(self, tensors: Sequence[Tensor]) -> None:
        """Fill each tensor with what process 0 has in it."""
        with self._together():
            for t in tensors if self.size > 1 else ():
                dist.broadcast(t, src=0)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """One line where another process is gone; what it had to say, it has said itself."""
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(
                f"process {self.rank} of {self.size} has lost the others, and leaves too ({reason}); what was "
                "committed is whole: run the same command again"
            ) from None
