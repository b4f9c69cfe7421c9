"""All seeds of a ratio as one program, by `torch.func` over stacked weights: a sweep without processes."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from benchmarks.reference import Reference
from benchmarks.stepper import VOCAB
from runner.models.gpt.spec import GPTSpec
from runner.plan.spec import TrainSpec
from runner.training.optimizer import learning_rate


def updater(masters: dict[str, Tensor], train: TrainSpec) -> Callable[[dict[str, Tensor], int], None]:
    """A function of gradients and a step's number that updates stacked weights [run, …], clipped run by run."""
    groups = [
        {"params": [p for p in masters.values() if p.ndim > 2], "weight_decay": train.weight_decay},
        {"params": [p for p in masters.values() if p.ndim <= 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=train.learning_rate, betas=(train.beta1, train.beta2), fused=True)

    def update(gradients: dict[str, Tensor], number: int) -> None:
        for group in adamw.param_groups:
            group["lr"] = learning_rate(train, number)
        norms_PS = [torch.linalg.vector_norm(g.flatten(1), dim=1, dtype=torch.float32) for g in gradients.values()]
        scale_S = (train.grad_clip / (torch.stack(norms_PS).norm(dim=0) + 1e-6)).clamp(max=1.0)
        for name, p in masters.items():
            # Contiguous, as the fused update takes a gradient's numbers in the order in which they lie in memory.
            p.grad = (gradients[name] * scale_S.view(-1, *[1] * (p.ndim - 1))).contiguous()
        adamw.step()

    return update


def stepper(model: GPTSpec, train: TrainSpec, seeds: int) -> Callable[[int], list[float]]:
    """A function of a step's number that trains it for every seed and gives their losses: compiled, in bfloat16 with
    float32 masters, clipped seed by seed."""
    models = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        models.append(Reference(model, VOCAB))
    masters = {name: p.detach() for name, p in stack_module_state(models)[0].items()}  # [seed, …]

    def loss(weights: dict[str, Tensor], x_BT: Tensor, y_BT: Tensor) -> Tensor:
        return functional_call(models[0], {name: p.bfloat16() for name, p in weights.items()}, (x_BT, y_BT))

    gradients = torch.compile(vmap(grad_and_value(loss), randomness="different"))
    update = updater(masters, train)
    generator = torch.Generator().manual_seed(0)
    x_SBT, y_SBT = torch.randint(VOCAB, (2, seeds, train.batch_size, model.block_size), generator=generator)

    def step(number: int) -> list[float]:
        found, losses_S = gradients(masters, x_SBT, y_SBT)
        update(found, number)
        return losses_S.tolist()

    return step
