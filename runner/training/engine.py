"""One run's numbers: a model and its optimiser, stepped exactly and restored exactly."""

import contextlib
import ctypes
import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from runner.models import registry
from runner.models.dropout import site_keys
from runner.models.protocol import Model
from runner.models.registry import ModelSpec
from runner.models.taps import listening
from runner.plan.spec import TrainSpec
from runner.training.group import Group
from runner.training.optimizer import Optimizer
from runner.training.probes.probe import Evaluated, Listening, Shown, Watching

# Inductor may not choose kernels by timing them, nor padding: a choice of another day would round otherwise.
COMPILED: dict[str, Any] = {"deterministic": True}
SHOWN = 2048  # tokens of a batch that probes see: as many as a layer's covariance needs, and few beside a large batch
PRECISIONS = {"bf16": torch.bfloat16, "float32": torch.float32}


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile has what it needs here: a C++ compiler for a CPU, Triton for CUDA."""
    if device.type == "cpu":
        return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))
    return device.type == "cuda" and importlib.util.find_spec("triton") is not None


def keep_memory() -> bool:
    """Make glibc keep freed memory. Otherwise it maps every buffer over 32 MB anew and faults its pages one by one,
    which costs a large model a third of its time. True where it took."""
    M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # not glibc
        return False
    # -1 is never: any other number would be at most 2 GB, less than a backward pass frees.
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of a state whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


class Engine:
    """`precision` is that of the matrix products. Where nothing can be compiled, `compile` has no effect."""

    def __init__(
        self,
        model_spec: ModelSpec,
        train_spec: TrainSpec,
        vocab_size: int,
        seed: int,
        device: torch.device,
        precision: str = "bf16",
        compile: bool = True,
        group: Group | None = None,
    ):
        compile = compile and can_compile(device)
        if device.type == "cpu":
            keep_memory()
        elif device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.seed, self.device, self.group = seed, device, group or Group()
        self.micro_batches = train_spec.grad_accumulation
        # On a CPU calls are cheap and compiling is not: compile the kernels between the products, which every layer
        # and every run of a sweep shares. On CUDA a launch for each of them would cost more than their work.
        small_kernels = compile and device.type == "cpu"
        kind: type[Model] = registry.network(model_spec.kind)
        self.model = kind(model_spec, vocab_size, PRECISIONS[precision], small_kernels)
        self.model.init_weights(seed)
        self.model.to(device)
        self.optimizer = Optimizer(self.model, train_spec)
        self.loss = self.model.loss
        if compile and not small_kernels:
            self.loss = torch.compile(self.loss, dynamic=False, fullgraph=True, options=COMPILED)

    def step(
        self, x_BT: Tensor, y_BT: Tensor, step: int, weight_BT: Tensor | None = None, watch: Watching | None = None
    ) -> tuple[Tensor, Tensor]:
        """One update from this process' share of the batch. The loss (of the whole batch) and the gradient's norm stay
        on the device. Weights have the mean 1 in each row; none at all are 1 each. `watch` sees the parameters."""
        count, mine = self.micro_batches, self.group.share(self.micro_batches)
        keys_N = site_keys(self.seed, step, count * self.model.sites)
        keys_MS = keys_N.view(count, self.model.sites).to(self.device, non_blocking=True)
        losses = []
        weights = [None] * len(mine) if weight_BT is None else weight_BT.chunk(len(mine))
        for i, x_bT, y_bT, weight_bT in zip(mine, x_BT.chunk(len(mine)), y_BT.chunk(len(mine)), weights, strict=True):
            loss = self.loss(x_bT, y_bT, keys_MS[i], weight_bT)
            losses.append(loss.detach())
            (loss if count == 1 else loss / count).backward()
        total = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        self.group.add([total, *(p.grad for p in self.optimizer.parameters.values() if p.grad is not None)])
        if watch is None:
            return total / count, self.optimizer.step(step)
        watch.before(self.optimizer.parameters)
        norm = self.optimizer.step(step)
        watch.after(self.optimizer.parameters)
        return total / count, norm

    @torch.no_grad()
    def show(self, x_BT: Tensor, probes: Sequence[Shown]) -> dict[str, Tensor]:
        """What probes find in the first sequences of a batch, without dropout, [layers] or [layers, indices] by name.
        They are of its first micro-batch, so the leader of a group finds what a process by itself would."""
        first_bT = x_BT.chunk(len(self.group.share(self.micro_batches)))[0]
        hear = Listening(probes)
        with listening(hear):
            self.model(first_bT[: max(1, SHOWN // x_BT.shape[1])])
        return hear.take()

    @torch.no_grad()
    def evaluate(self, x_BT: Tensor, y_BT: Tensor, weight_BT: Tensor | None) -> Tensor:
        """The summed loss of a batch of windows, without dropout. Not compiled: it takes windows of any length, and
        PyTorch's own attention without dropout is as fast."""
        assert weight_BT is not None, "of a split that is evaluated they add up to 1"
        return self.model.summed_loss(x_BT, y_BT, weight_BT)

    @torch.no_grad()
    def evaluate_all(
        self,
        batches: Sequence[tuple[Tensor, Tensor, Tensor | None]],
        probes: Sequence[Evaluated] = (),
        before_each: Callable[[], None] = lambda: None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The summed loss of each batch, and what probes found by layer; the processes of a group share the work.
        `before_each` is called before each batch, and may raise to leave."""
        dtype = torch.float32 if self.device.type == "mps" else torch.float64  # the widest that the device has
        losses = torch.zeros(len(batches), dtype=dtype, device=self.device)
        found: dict[str, Tensor] = {}
        hear = Listening(probes)
        with listening(hear) if probes else contextlib.nullcontext():
            for i in range(self.group.rank, len(batches), self.group.size):
                before_each()
                losses[i] = self.evaluate(*batches[i])
                for name, value_L in hear.take().items():
                    found.setdefault(name, losses.new_zeros(len(batches), len(value_L)))[i] = value_L
            if probes and not found:  # more processes than batches: this one learns the shapes alone
                self.evaluate(*batches[0])
                found = {name: losses.new_zeros(len(batches), len(value_L)) for name, value_L in hear.take().items()}
        self.group.add([losses, *found.values()])  # zeros are what the others add, so each number stays exact
        return losses, {probe.name: probe.combine(found[probe.name]) for probe in probes if probe.name in found}

    def peak_bytes(self) -> int | None:
        """Most memory that was taken on the device since the engine was made; None where it cannot be told."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def state(self) -> dict[str, Tensor]:
        """All that `load` needs to go on exactly, buffers included, not copied: write it before the next step."""
        model = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        return model | {f"optimizer.{name}": t for name, t in self.optimizer.state().items()}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self.model.load_state_dict(part(state, "model."))
        self.optimizer.load(part(state, "optimizer."))

    def share_state(self, step: int) -> None:
        """Give every process what the leader has loaded, at `step`."""
        if self.group.size > 1:
            if step and not self.group.leads:  # Adam's state is there after the first step only
                self.optimizer.allocate()
            self.group.tensors_from_leader([tensor for _, tensor in sorted(self.state().items())])
