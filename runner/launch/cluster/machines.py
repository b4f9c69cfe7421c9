"""The machines of the connected cluster: their CPUs and GPUs, their code, and functions called on them."""

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
    """A machine of the cluster: its Ray node id, its address, and the CPUs and GPUs that it offers."""

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
    """The result of `runner.training.machine.resolve` on a machine of the cluster: one with a GPU, where there is one.

    Raises a `UserError` for a device that no machine has, and for an unknown setting.
    """
    machines = offered()
    if not machines:
        raise UserError("no machine of the cluster offers CPUs: join one with `ray start --address=HOST:PORT`")
    with_gpu = [each for each in machines if each.gpus]
    device = wishes.get("device") or ("cuda" if with_gpu else None)
    if device and ":" in device:
        raise UserError(f"device {device!r}: Ray chooses which GPU a run gets; name cuda")
    chosen = with_gpu[0] if device == "cuda" and with_gpu else machines[0]
    gpus = 0.01 if chosen.gpus and device == "cuda" else 0  # a task without a share of a GPU does not see it
    (placement,) = call([chosen], machine.resolve, wishes | {"device": device}, num_gpus=gpus)
    if placement.device == "cpu" and "threads" not in wishes:
        placement = replace(placement, threads=max(1, int(chosen.cpus) // placement.jobs))
    return placement


def check(placement: Placement) -> None:
    """Raise a `UserError` where a machine has other code than the caller, or where no machine is large enough for a
    run."""
    machines = offered()
    for each, fingerprint in zip(machines, call(machines, _code), strict=True):
        if fingerprint != code.overall():
            raise UserError(other_code(each.ip, fingerprint, code.overall()))
    if not slots(machines, placement):
        gpu = f" and {share(placement)} of a GPU" if share(placement) else ""
        raise UserError(f"no machine of the cluster has {placement.threads} CPUs{gpu} for a run: lower --threads")


def call(machines: Sequence[Machine], function: Callable[..., Any], *args: Any, **options: Any) -> list[Any]:
    """The results of `function`, called once on each machine, in their order; `options` are those of `ray.remote`.

    Raises a `UserError` where a machine cannot import this project, or has left the cluster.
    """
    ray = ray_module()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as At

    tasks = []
    for each in machines:
        # The process ends after one call, so that no run reuses it with torch imported for another thread count.
        task = ray.remote(
            num_cpus=0, max_retries=0, max_calls=1, scheduling_strategy=At(each.id, soft=False), **options
        )
        tasks.append(task(function).remote(*args))
    results = []
    for each, answer in zip(machines, tasks, strict=True):
        try:
            results.append(ray.get(answer))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise type(error.cause)(f"{each.ip}: {error.cause}") from None
            raise UserError(
                f"{each.ip} cannot run this project ({first_line(error.cause)}): install it there, at the same "
                "commit and with the same Python"
            ) from None
        except ray.exceptions.RayError as error:
            raise UserError(
                f"{each.ip} has left the cluster ({type(error).__name__}): run the same command again without it"
            ) from None
    return results


def slots(machines: Sequence[Machine], placement: Placement) -> int:
    """How many runs fit on the machines at the same time."""
    part = share(placement)
    count = 0
    for m in machines:
        by_cpu = int(m.cpus // placement.threads)
        count += min(by_cpu, int(m.gpus / part + 1e-6)) if part else by_cpu
    return count


def share(placement: Placement) -> float:
    """The fraction of a GPU that a run takes, 0 without CUDA; rounded down to the ten-thousandths that Ray counts
    in."""
    return math.floor(10_000 / placement.jobs) / 10_000 if placement.device == "cuda" else 0


def other_code(ip: str, theirs: str, ours: str) -> str:
    """The error message for a machine whose code has another fingerprint than the caller's."""
    return f"{ip} has other code ({theirs}, the caller has {ours}): bring it to the caller's commit"


def _code() -> str:
    return code.overall()
