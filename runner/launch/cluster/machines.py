"""The machines of the cluster that was joined: what they offer, and what they answer when they are asked."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.errors import UserError
from runner.evidence import code
from runner.launch.cluster.client import first_line, ray_module
from runner.plan.placement import Placement
from runner.training import machine


@dataclass(frozen=True)
class Machine:
    """A machine of the cluster: Ray's id of it, its address, and how many CPUs and GPUs it offers."""

    id: str
    ip: str
    cpus: float
    gpus: float


def offered() -> list[Machine]:
    """The machines of the cluster that offer CPUs to runs."""
    return [
        Machine(node["NodeID"], node["NodeManagerAddress"], has["CPU"], has.get("GPU", 0.0))
        for node in ray_module().nodes()
        if node["Alive"] and (has := node["Resources"]).get("CPU")
    ]


def resolve(wishes: dict[str, Any]) -> Placement:
    """What `runner.training.machine.resolve` finds on a machine of the cluster, which need not be like the caller's.

    A device that no machine has, or a setting that is unknown, is a `UserError`.
    """
    found = offered()
    if not found:
        raise UserError("no machine of the cluster offers CPUs: join one with `ray start --address=HOST:PORT`")
    with_gpu = [each for each in found if each.gpus]
    device = wishes.get("device") or ("cuda" if with_gpu else None)
    if device and ":" in device:
        raise UserError(f"device {device!r}: Ray chooses which GPU a run gets; name cuda")
    chosen = with_gpu[0] if device == "cuda" and with_gpu else found[0]
    gpus = 0.01 if chosen.gpus and device == "cuda" else 0  # without a share of it Ray hides the GPU
    (placement,) = ask([chosen], machine.resolve, wishes | {"device": device}, num_gpus=gpus)
    if placement.device == "cpu" and "threads" not in wishes:
        placement = replace(placement, threads=max(1, int(chosen.cpus) // placement.jobs))
    return placement


def check(placement: Placement) -> None:
    """See to it that the machines can train: other code than the caller's, or none that is large enough for a run, is
    a `UserError`."""
    found = offered()
    for each, theirs in zip(found, ask(found, _code), strict=True):
        if theirs != code.overall():
            raise UserError(other_code(each.ip, theirs, code.overall()))
    if not slots(found, placement):
        gpu = f" and {share(placement)} of a GPU" if share(placement) else ""
        raise UserError(f"no machine of the cluster has {placement.threads} CPUs{gpu} for a run: lower --threads")


def ask(machines: Sequence[Machine], function: Callable[..., Any], *words: Any, **options: Any) -> list[Any]:
    """What `function` returns on each machine; a machine without this project is a `UserError`."""
    ray = ray_module()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as At

    answers = []
    for each in machines:
        # The process ends with its answer, so that no run finds torch imported with another number of threads.
        task = ray.remote(
            num_cpus=0, max_retries=0, max_calls=1, scheduling_strategy=At(each.id, soft=False), **options
        )
        answers.append(task(function).remote(*words))
    found = []
    for each, answer in zip(machines, answers, strict=True):
        try:
            found.append(ray.get(answer))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise type(error.cause)(f"{each.ip}: {error.cause}") from None
            raise UserError(
                f"{each.ip} cannot run this project ({first_line(error.cause)}): install it there, at the same "
                "commit and with the same Python"
            ) from None
    return found


def slots(machines: Sequence[Machine], placement: Placement) -> int:
    """How many runs the machines can have side by side."""
    part = share(placement)
    count = 0
    for m in machines:
        by_cpu = int(m.cpus // placement.threads)
        count += min(by_cpu, int(m.gpus / part + 1e-6)) if part else by_cpu
    return count


def share(placement: Placement) -> float:
    """The part of a GPU that a run takes; Ray counts in ten-thousandths, so it is rounded down."""
    return math.floor(10_000 / placement.jobs) / 10_000 if placement.device == "cuda" else 0


def other_code(where: str, theirs: str, ours: str) -> str:
    """What to say of a machine whose code has another fingerprint than the caller's."""
    return f"{where} has other code ({theirs}, the caller has {ours}): bring it to the caller's commit"


def _code() -> str:
    return code.overall()
