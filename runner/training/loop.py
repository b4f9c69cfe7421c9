"""Trains one run, from its spec to its evidence. A run that was stopped at any moment resumes from its last
checkpoint."""

import contextlib
import errno
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runner import lock
from runner.data import dataset
from runner.data.tasks.registry import TASKS
from runner.errors import UserError
from runner.evidence import checkpoint, code, log, state
from runner.evidence.log import Seen
from runner.evidence.state import Action
from runner.evidence.status import EVIDENCE, Status
from runner.files import sha256, write_atomic
from runner.models import kernels
from runner.plan import budget
from runner.plan.placement import Placement
from runner.plan.plan import Plan
from runner.plan.spec import as_dict
from runner.training import embedding, sample, samples
from runner.training.batches import Batch, Batches
from runner.training.engine import Engine, can_compile
from runner.training.group import Group
from runner.training.machine import environment, loaded_commit
from runner.training.optimizer import learning_rate
from runner.training.probes.probe import Evaluated, Probe, Removed, Rounded, Shown, Updated, Watching, rows_of
from runner.training.probes.registry import named
from runner.training.probes.rounding import rounded
from runner.training.progress import Progress

RANKED = 8  # training batches on which units are ranked before some are removed


class _Stopped(Exception):
    """The run is to stop in the middle of an evaluation."""


def train(
    plan: Plan,
    root: Path,
    placement: Placement,
    report: Callable[[Progress], None],
    say: Callable[[str], None],
    stopping: Callable[[], bool],
    until: int | None = None,
) -> Status:
    """Train, resume or skip a planned run; returns its status: finished, diverged or stopped.

    report    called with the progress after each row of the log
    say       called with lines for the user, such as that the run was stopped or has diverged
    stopping  called before each step and each batch of an evaluation; true means to save and stop
    until     the step at which to save and stop, after its evaluation

    Raises `Held` where another process trains the run, and a `UserError` for a full disk, where the last checkpoint
    stays intact, and for an arm that is to be compiled where nothing can be. In a group, the leader raises the error
    and the other processes return the status failed; one that would train otherwise than its leader raises a
    `UserError`.
    """
    folder = plan.folder(root)
    placement = replace(placement, **plan.placement)
    if plan.placement.get("compile") and not can_compile(torch.device(placement.device)):
        raise UserError(
            f"{plan.name}: its arm is to be compiled, for which this machine lacks a C++ compiler, or Triton on CUDA: "
            "install it, or take compile out of the arm's placement"
        )
    group = Group()
    placement = replace(placement, device=group.join(placement.device))
    ours = _shared(plan, placement) if group.size > 1 else {}
    if not group.leads:
        action, status, leaders = group.from_leader(None)
        if action == Action.SKIP:
            return Status(status)
        for key, value in leaders.items():
            if ours[key] != value:
                raise UserError(
                    f"{plan.name}: {key} is {ours[key]} in process {group.rank} and {value} in its leader, whose "
                    "manifest speaks for both: give all machines the same"
                )
        with _kernels(placement):
            return _Run(plan, folder, placement, lambda progress: None, lambda line: None, group).go(stopping, until)
    try:
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(lock.hold(folder))
                current = state.inspect(plan, root)
            except (UserError, OSError):
                group.from_leader((Action.SKIP, Status.FAILED, ours))
                raise
            group.from_leader((current.action, current.status, ours))
            if current.action == Action.SKIP:
                return current.status
            held.enter_context(_kernels(placement))
            run = _Run(plan, folder, placement, report, say, group)  # a wrong setting is reported before anything moves
            if current.status == Status.OUTDATED:
                old = log.read_manifest(folder)
                assert old is not None
                say(f"{plan.name}: the earlier run was moved to {state.set_aside(folder, old)}")
            return run.go(stopping, until)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"{folder}: the disk is full; the last checkpoint is intact: make room and run the same command again"
            ) from None
        raise


def _shared(plan: Plan, placement: Placement) -> dict[str, Any]:
    """What the processes of a run must have in common, as its manifest is that of the leader."""
    here = environment(placement)
    keys = ("precision", "compile", "threads", "torch", "variables")
    return {"code": code.fingerprint(plan.spec)} | {key: here.get(key, {}) for key in keys}


def _kernels(placement: Placement) -> contextlib.AbstractContextManager[None]:
    """What a run may know of what was compiled before: all, or nothing where it is cold."""
    return kernels.forgotten() if placement.cold else contextlib.nullcontext()


class _Run:
    def __init__(
        self,
        plan: Plan,
        folder: Path,
        placement: Placement,
        report: Callable[[Progress], None],
        say: Callable[[str], None],
        group: Group,
    ) -> None:
        self.plan, self.spec, self.folder, self.placement = plan, plan.spec, folder, placement
        self.report, self.say, self.group = report, say, group
        torch.set_num_threads(placement.threads)
        self.tokens = dataset.load(self.spec.data)
        device = torch.device(placement.device)
        self.engine = Engine(
            self.spec.model,
            self.spec.train,
            self.tokens.vocabulary,
            self.spec.seed,
            device,
            placement.precision,
            placement.compile,
            group,
        )
        self.batches = Batches(self.spec, self.tokens, device, group)
        names = self.spec.eval.splits or tuple(self.spec.data.splits())
        self.splits = {name: self.batches.split(name) for name in names}
        kept = self.engine.model.state_dict().keys() - dict(self.engine.model.named_parameters()).keys()
        if group.size > 1 and kept:  # each process would have those of its own share
            raise UserError("its model keeps statistics of batches: train it with one process")
        if placement.embedding and self.engine.model.embedding() is None:
            raise UserError(
                f"a model of kind {self.spec.model.kind!r} has no embedding of tokens to leave: take "
                "placement.embedding out"
            )
        if placement.samples and placement.from_token_0:
            raise UserError(
                "placement.samples and placement.from_token_0 ask for two kinds of samples, and a run "
                "leaves one: take one of them out"
            )
        if placement.samples and TASKS[self.spec.data.task].continues:
            samples.begin(self.spec, self.tokens.codec)  # what cannot be drawn is refused before it is trained
        probes = named(self.spec.eval)
        self._refuse_blind([probe for probe in probes if probe.name in self.spec.eval.probes])
        self.evaluated = [probe for probe in probes if isinstance(probe, Evaluated)]
        self.removed = [probe for probe in probes if isinstance(probe, Removed)]
        self.shown = [probe for probe in probes if isinstance(probe, Shown)]
        self.updated = [probe for probe in probes if isinstance(probe, Updated)]
        self.rounded = [probe for probe in probes if isinstance(probe, Rounded)]
        self.identity = state.plan_identity(plan)
        self.rows, self.loss = log.Rows(), math.nan
        self.committed: checkpoint.Checkpoint | None = None
        self.status = Status.RUNNING

    def _refuse_blind(self, probes: Sequence[Probe]) -> None:
        """Raise a `UserError` for a probe that was asked for by its name and has nothing to observe in this model."""
        observing = [probe for probe in probes if isinstance(probe, Evaluated | Removed | Shown)]
        if not observing:
            return
        batch = self.batches.train(0)
        shown = self.engine.taps(batch.inputs_BT, batch.targets_BU)
        for probe in observing:
            if probe.tap not in shown:
                raise UserError(
                    f"the probe {probe.name!r} observes {probe.tap}, which a model of kind "
                    f"{self.spec.model.kind!r} does not show: take it out of eval.probes"
                )

    def go(self, stopping: Callable[[], bool], until: int | None) -> Status:
        # The step of the last checkpoint, and whether its evaluation is due: the same in every process of a group.
        committed, due = self._restore()
        step = committed or 0
        if self.status == Status.DIVERGED:  # killed between its last checkpoint and the writing of its evidence
            return self._end()
        self._write_manifest(Status.RUNNING)
        steps, every = self.spec.train.steps, self.spec.eval.every
        clock = saved = time.perf_counter()
        trained = step
        while True:
            if (step % every == 0 or step == steps) and (step != committed or due):
                if step > trained:
                    self.engine.wait()  # or the steps that a GPU has still to do would count as evaluation
                    clock = self.rows.time(step, "train", clock)
                try:
                    finite = self._evaluate(step, stopping)
                except _Stopped:
                    return self._stop(step, committed, due=True)
                due = False
                if step == steps:
                    self._show(step, self.batches.train(step))
                clock = self.rows.time(step, "eval", clock)
                trained = step
                if not finite:
                    return self._diverge(step, at=step)
                if step == steps or (clock - saved >= self.placement.checkpoint_seconds and self.placement.weights):
                    self._commit(step)
                    committed = step
                    clock = saved = self.rows.time(step, "save", clock)
            if step == steps:
                self.status = Status.FINISHED
                return self._end()
            if step == until or self._stops(stopping, step):
                if step > trained:
                    self.engine.wait()
                    self.rows.time(step, "train", clock)
                return self._stop(step, committed)
            loss, norm = self._step(step)
            if step % self.placement.log_every == 0:
                self.loss = float(loss)
                self.rows.measure(
                    step,
                    "batch",
                    self.loss,
                    learning_rate=learning_rate(self.spec.train, step),
                    grad_norm=float(norm),
                )
                now = time.perf_counter()
                rate = (step + 1 - trained) * self.spec.train.batch_size * self.spec.model.block_size / (now - clock)
                clock, trained = self.rows.time(step + 1, "train", clock), step + 1
                self.report(Progress(self.plan.name, step + 1, steps, self.loss, rate))
                if not math.isfinite(self.loss):
                    return self._diverge(step + 1, at=step)
            step += 1

    def _stop(self, step: int, committed: int | None, due: bool = False) -> Status:
        """Write a checkpoint at `step`, unless `committed` is that step; `due`: its evaluation is still to be done."""
        name, steps = self.plan.name, self.spec.train.steps
        if not self.placement.weights:
            self.say(f"{name}: stopped; it stores no weights, so the same command starts it again from step 0")
        else:
            if step != committed:
                self._commit(step, due)
            self.say(f"{name}: stopped and saved at step {step} of {steps}; the same command resumes it")
        return Status.STOPPED

    def _step(self, step: int) -> tuple[Tensor, Tensor]:
        """One update; its loss and the gradient's norm. Every `eval.probe_every` of them, probes observe."""
        batch = self.batches.train(step)
        watch = None
        if self.group.leads and step % self.spec.eval.probe_every == 0:
            self._show(step, batch)
            watch = Watching(self.updated) if self.updated else None
        found = self.engine.step(batch.inputs_BT, batch.targets_BU, step, batch.weights_BU, watch)
        for probe, seen in watch.found.items() if watch else ():
            self.rows.observe(step, "batch", probe, seen)
        return found

    def _show(self, step: int, batch: Batch) -> None:
        """Let probes see what the model makes of a batch after so many updates."""
        if self.shown and self.group.leads:
            for probe, value_L in self.engine.show(batch.inputs_BT, self.shown).items():
                for layer, value in enumerate(value_L):
                    self.rows.observe(step, "batch", probe, rows_of(value, layer))

    def _stops(self, stopping: Callable[[], bool], step: int) -> bool:
        """Whether to save and stop. The processes of a group agree on it only at steps that log, where they wait for
        the loss anyway."""
        if self.group.size == 1:
            return stopping()
        return step % self.placement.log_every == 0 and self.group.any(stopping(), self.engine.device)

    def _restore(self) -> tuple[int | None, bool]:
        """Bring every process to the newest undamaged checkpoint. Returns its step, None where there is none, and
        whether the evaluation of that step is due."""
        step, due, status = self.group.from_leader(self._load() if self.group.leads else None)
        self.status = Status(status)
        self.engine.share_state(step or 0)
        return step, due

    def _load(self) -> tuple[int | None, bool, str]:
        """Load the newest undamaged checkpoint, and its manifest. Returns its step, None where there is none, whether
        the evaluation of that step is due, and its status."""
        found = checkpoint.latest(self.folder / "checkpoint", self.identity, self.say)
        checkpoint.sweep_up(self.folder / "checkpoint")
        if found and not found[1] and found[0].manifest["status"] == Status.RUNNING:
            found = None  # a checkpoint without weights cannot be resumed
        now = {
            "from_step": 0,
            "started": _now(),
            "environment": environment(self.placement) | self._group_size(),
            "commit": loaded_commit(),
            "code": code.fingerprint(self.spec),
            "log_every": self.placement.log_every,
        }
        if found is None:
            self.manifest = self._manifest(now)
            return None, False, Status.RUNNING
        self.committed, tensors = found
        if tensors:
            self.engine.load(tensors)
        self.manifest = self.committed.manifest
        self.tokens.codec.check(self.manifest["corpus"], str(self.folder))
        changed = [key for key in ("environment", "code", "log_every") if self.manifest[key] != now[key]]
        if changed:
            self.say(
                f"{self.plan.name}: resumes from step {self.committed.step} with another "
                f"{' and another '.join(changed)} than it started with; its numbers may differ in the last digits"
            )
        self.manifest["sessions"].append({**now, "from_step": self.committed.step})
        return self.committed.step, self.committed.due, self.manifest["status"]

    def _group_size(self) -> dict[str, int]:
        return {"processes": self.group.size} if self.group.size > 1 else {}

    def _manifest(self, session: dict[str, Any]) -> dict[str, Any]:
        plan = self.plan
        shapes = {name: list(p.shape) for name, p in self.engine.model.named_parameters()}
        train, codec = self.spec.train, self.tokens.codec
        per_step = train.batch_size * self.spec.model.block_size
        return {
            "schema": log.SCHEMA_VERSION,
            "run": plan.name,
            "experiment": plan.experiment,
            "profile": plan.profile,
            "identity": self.identity,
            "status": Status.RUNNING,
            "seed": self.spec.seed,
            "spec": as_dict(self.spec),
            "corpus": {
                "name": self.spec.data.corpus,
                "sha256": dataset.fingerprint(self.spec.data),
                "tokens": len(self.tokens.ids),
                "vocabulary": self.tokens.vocabulary,
                "bytes_per_token": self.tokens.bytes_per_token(self.splits),
                **({"tokenizer_sha256": codec.fingerprint} if codec.fingerprint else {}),
            },
            "budget": {"tokens": train.steps * per_step, "name": budget.name(train.steps, per_step)},
            "parameters": {"total": sum(math.prod(shape) for shape in shapes.values()), "tensors": shapes},
            "log_every": session["log_every"],
            "environment": session["environment"],
            "commit": session["commit"],
            "code": session["code"],
            "started": session["started"],
            "sessions": [session],
        }

    def _write_manifest(self, status: Status, **more: Any) -> None:
        """Write the manifest with this status, and `more` keys."""
        if self.group.leads:
            self.manifest.update(status=status, **more)
            log.write_manifest(self.folder, self.manifest)

    def _evaluate(self, step: int, stopping: Callable[[], bool]) -> bool:
        """Evaluate every split; returns whether all losses are finite.

        Raises `_Stopped`, and adds no row to the log, where the run is to stop meanwhile. A group of processes does not
        stop within an evaluation, as each of them has other batches.
        """

        def ask() -> None:
            if self.group.size == 1 and stopping():
                raise _Stopped

        model = self.engine.model
        if model.calibration:
            last = range(max(0, step - model.calibration), max(step, model.calibration))
            model.calibrate([self.batches.train(number).inputs_BT for number in last])
        found = {name: self.engine.evaluate_all(batches, self.evaluated, ask) for name, batches in self.splits.items()}
        losses = {name: float(losses.sum()) for name, (losses, _) in found.items()}
        changed = [*self._remove(step, ask), *self._round(ask)] if step == self.spec.train.steps else []
        for name, (_, seen) in found.items():
            self.rows.measure(step, name, losses[name])
            for probe in self.evaluated:
                for layer, value in enumerate(seen.get(probe.name, ())):
                    self.rows.observe(step, name, probe.name, rows_of(value, None if probe.whole else layer))
        for name, probe_name, seen_then in changed:
            self.rows.observe(step, name, probe_name, seen_then)
        return all(math.isfinite(loss) for loss in losses.values())

    def _remove(self, step: int, ask: Callable[[], None]) -> list[tuple[str, str, list[Seen]]]:
        """The losses of the splits without some hidden units, ranked on the last training batches: (split, probe, a
        value for each share)."""
        if not self.removed:
            return []
        last = range(max(0, step - RANKED), step)
        squares = self.engine.squares([self.batches.train(number).inputs_BT for number in last])
        found = []
        for probe in self.removed if squares else ():
            for name, batches in self.splits.items():
                if name != "train":
                    losses = self.engine.without(batches, squares, probe, ask)
                    found.append((name, probe.name, [Seen(None, index, loss) for index, loss in losses.items()]))
        return found

    def _round(self, ask: Callable[[], None]) -> list[tuple[str, str, list[Seen]]]:
        """The losses of the splits with other weights in place of the trained ones: (split, probe, its loss)."""
        found = []
        for probe in self.rounded:
            with rounded(self.engine.model, probe):
                for name, batches in self.splits.items():
                    loss = float(self.engine.evaluate_all(batches, (), ask)[0].sum())
                    found.append((name, probe.name, [Seen(None, None, loss)]))
        return found

    def _commit(self, step: int, due: bool = False) -> None:
        tables = self.rows.tables()
        if self.group.leads:
            self.committed = checkpoint.save(
                self.folder / "checkpoint",
                self.committed,
                step,
                self.identity,
                self.manifest,
                self.engine.state() if self.placement.weights else {},
                tables,
                due,
            )

    def _diverge(self, step: int, at: int) -> Status:
        """End a run whose loss is not finite. `step` updates were done; `at` is the step of that loss."""
        self.status = Status.DIVERGED
        if self.group.leads:
            self.manifest.update(status=self.status, diverged_at=at)
        self._commit(step)
        return self._end()

    def _end(self) -> Status:
        """Write the run's evidence from the last checkpoint; safe to repeat. Returns the run's status."""
        if not self.group.leads:
            return self.status
        assert self.committed is not None
        folder = self.folder / "checkpoint"
        for kind, rows in checkpoint.logs(folder, self.committed).items():
            log.write(self.folder / f"{kind}.parquet", rows)
        if self.status == Status.DIVERGED:
            self.say(
                f"{self.plan.name}: diverged, its loss was not finite at step {self.manifest['diverged_at']}; "
                "its log is kept"
            )
        elif self.placement.weights and TASKS[self.spec.data.task].continues:
            codec = self.tokens.codec
            length = self.placement.sample_tokens
            text = sample.generate(self.engine.model, codec, codec.prompt, length, self.spec.seed)
            write_atomic(self.folder / "samples.txt", text + "\n")
            if self.placement.embedding:
                log.write(self.folder / "embedding.parquet", embedding.table(self.engine.model, self.tokens))
            if self.placement.samples or self.placement.from_token_0:
                log.write(self.folder / "samples.parquet", samples.table(self.folder, self.placement.from_token_0))
        sums = {name: sha256(self.folder / name) for name in EVIDENCE[1:] if (self.folder / name).is_file()}
        self._write_manifest(self.status, finished=_now(), files=sums, peak_bytes=self.engine.peak_bytes())
        checkpoint.prune(folder, [self.committed])
        return self.status


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
