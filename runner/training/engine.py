"""A run's model and optimizer: training steps and evaluations, reproducible to the last bit."""

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
from runner.training.probes.probe import Evaluated, Listening, Removed, Removing, Shown, Squaring, Watching

# Inductor may choose neither kernels nor padding by timing them: another choice would round differently.
COMPILED: dict[str, Any] = {"deterministic": True}
SHOWN = 2048  # tokens of a batch that probes see: as many as a layer's covariance needs, and few beside a large batch
PRECISIONS = {"bf16": torch.bfloat16, "float32": torch.float32}


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile works on this machine: it needs a C++ compiler for a CPU, Triton for CUDA."""
    if device.type == "cpu":
        return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))
    return device.type == "cuda" and importlib.util.find_spec("triton") is not None


def keep_memory() -> bool:
    """Make glibc keep freed memory; returns whether that succeeded. Otherwise it maps every buffer over 32 MB again and
    faults its pages one by one, which takes a third of a large model's time."""
    M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # not glibc
        return False
    # -1 means never: any other number would be at most 2 GB, less than a backward pass frees.
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def use_deterministic_algorithms() -> None:
    """Make CUDA add numbers in the same order each time, in all of this process, as far as its libraries can."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # slow


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of a state whose names start with `prefix`, by their names without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


class Engine:
    """A run's model and optimizer on its device.

    precision  of the matrix products: "bf16" or "float32"
    compile    whether to compile; without effect where `can_compile` is false
    group      the processes that train the run together; None for this process alone
    """

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
            use_deterministic_algorithms()
            torch.cuda.reset_peak_memory_stats(device)
        self.seed, self.device, self.group = seed, device, group or Group()
        self.micro_batches = train_spec.grad_accumulation
        # On a CPU calls are cheap and compiling is expensive: compile the kernels between the matrix products, which
        # all layers and all runs of a sweep share. On CUDA their launches would take longer than their work.
        small_kernels = compile and device.type == "cpu"
        kind: type[Model] = registry.network(model_spec.kind)
        self.model = kind(model_spec, vocab_size, PRECISIONS[precision], small_kernels)
        self.model.init_weights(seed)
        self.model.to(device)
        self.optimizer = Optimizer(self.model, train_spec)
        self.loss = self.model.loss
        if compile and not small_kernels:
            torch.compiler.reset()  # otherwise it gives up at the ninth model, as all of them share this function
            self.loss = torch.compile(self.loss, dynamic=False, fullgraph=True, options=COMPILED)

    def step(
        self, x_BT: Tensor, y_BT: Tensor, step: int, weight_BT: Tensor | None = None, watch: Watching | None = None
    ) -> tuple[Tensor, Tensor]:
        """One update from this process' share of the batch.

        `step` decides the dropout masks and the learning rate. Weights have the mean 1 in each row; None means 1 for
        every target. `watch` receives the parameters before and after the update. Returns the loss of the whole batch
        in nats and the gradient's norm before clipping, both still on the device.
        """
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
        with listening(hear, hear.taps):
            self.model(first_bT[: max(1, SHOWN // x_BT.shape[1])])
        return hear.take()

    @torch.no_grad()
    def evaluate(self, x_BT: Tensor, y_BT: Tensor, weight_BT: Tensor | None) -> Tensor:
        """The summed loss of a batch of sequences in nats, without dropout. It is not compiled, as sequences have any
        length and PyTorch's own attention without dropout is as fast."""
        assert weight_BT is not None, "an evaluation needs weights: over a split they add up to 1"
        return self.model.summed_loss(x_BT, y_BT, weight_BT)

    @torch.no_grad()
    def evaluate_all(
        self,
        batches: Sequence[tuple[Tensor, Tensor, Tensor | None]],
        probes: Sequence[Evaluated] = (),
        before_each: Callable[[], None] = lambda: None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The summed loss of each batch, [batches], and the values of each probe by its name,
        [layers] or [layers, indices].

        The processes of a group share the batches. `before_each` is called before each batch, and may raise to stop.
        """
        dtype = torch.float32 if self.device.type == "mps" else torch.float64  # the widest type of the device
        losses = torch.zeros(len(batches), dtype=dtype, device=self.device)
        found: dict[str, Tensor] = {}
        hear = Listening(probes)
        with listening(hear, hear.taps) if probes else contextlib.nullcontext():
            for i in range(self.group.rank, len(batches), self.group.size):
                before_each()
                losses[i] = self.evaluate(*batches[i])
                for name, value_L in hear.take().items():
                    found.setdefault(name, losses.new_zeros(len(batches), *value_L.shape))[i] = value_L
            if probes and not found:  # a process without batches runs one to learn the shapes
                self.evaluate(*batches[0])
                found = {name: losses.new_zeros(len(batches), *value_L.shape) for name, value_L in hear.take().items()}
        self.group.add([losses, *found.values()])  # the other processes add zeros, so each number stays exact
        return losses, {probe.name: probe.combine(found[probe.name]) for probe in probes if probe.name in found}

    @torch.no_grad()
    def taps(self, x_BT: Tensor, y_BS: Tensor) -> set[str]:
        """The names of the taps that the model shows while the first sequence of a batch is evaluated."""
        found: set[str] = set()
        with listening(lambda tap, layer, *shown: found.add(tap)):
            self.evaluate(x_BT[:1], y_BS[:1], torch.ones_like(y_BS[:1], dtype=torch.float32))
        return found

    @torch.no_grad()
    def squares(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The sums of the squares of each hidden unit over inputs [B, T], without dropout: [F] a layer. The processes
        of a group add theirs."""
        hear = Squaring()
        with listening(hear, {Removed.tap}):
            for x_BT in inputs:
                self.model(x_BT)
        self.group.add(hear.sums)
        return hear.sums

    def without(
        self,
        batches: Sequence[tuple[Tensor, Tensor, Tensor | None]],
        squares: Sequence[Tensor],
        probe: Removed,
        before_each: Callable[[], None] = lambda: None,
    ) -> dict[int, float]:
        """The summed loss of the batches without a share of the hidden units, by the index of the share."""
        orders, found = [probe.order(square_F) for square_F in squares], {}
        for index, share in probe.shares.items():
            removing = Removing([order_F[: round(share * len(order_F))] for order_F in orders])
            with listening(removing, {Removed.tap}):
                found[index] = float(self.evaluate_all(batches, before_each=before_each)[0].sum())
        return found

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak_bytes(self) -> int | None:
        """The peak of bytes allocated on the device since the engine was made; None where it is unknown (without
        CUDA)."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def state(self) -> dict[str, Tensor]:
        """All tensors that `load` needs to continue exactly, buffers included, by name. They are not copied: write them
        before the next step."""
        model = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        return model | {f"optimizer.{name}": t for name, t in self.optimizer.state().items()}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        self.model.load_state_dict(part(state, "model."))
        self.optimizer.load(part(state, "optimizer."))

    def share_state(self, step: int) -> None:
        """Copy the leader's state after `step` updates to the other processes."""
        if self.group.size > 1:
            if step and not self.group.leads:  # Adam has no state before the first step
                self.optimizer.allocate()
            self.group.tensors_from_leader([tensor for _, tensor in sorted(self.state().items())])
