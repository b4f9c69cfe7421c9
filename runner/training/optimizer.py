"""AdamW with clipping, and its learning rate schedule."""

import math

import torch
from torch import Tensor, nn

from runner.plan.spec import TrainSpec


def learning_rate(spec: TrainSpec, step: int) -> float:
    """Linear warm-up, then half a cosine, or a level and a line, down to `min_learning_rate` at step `steps`."""
    if step < spec.warmup_steps:
        return spec.learning_rate * (step + 1) / (spec.warmup_steps + 1)
    if step >= spec.steps:
        return spec.min_learning_rate
    if spec.warmdown_steps is not None:
        share = min(1.0, (spec.steps - step) / max(1, spec.warmdown_steps))
    else:
        share = 0.5 * (1.0 + math.cos(math.pi * (step - spec.warmup_steps) / (spec.steps - spec.warmup_steps)))
    return spec.min_learning_rate + share * (spec.learning_rate - spec.min_learning_rate)


class Optimizer:
    """Clip by the global norm, then AdamW with decay on matrices only (every parameter of two or more dimensions)."""

    def __init__(self, model: nn.Module, spec: TrainSpec):
        self.spec = spec
        self.parameters = dict(model.named_parameters())
        matrices = [p for p in self.parameters.values() if p.ndim >= 2]
        vectors = [p for p in self.parameters.values() if p.ndim < 2]
        self.adamw = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": spec.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=spec.learning_rate,
            betas=(spec.beta1, spec.beta2),
            fused=True,
        )

    def step(self, step: int) -> Tensor:
        """Update from the gradients at `step`, drop them, and give their norm before clipping (no host sync)."""
        bound = self.spec.grad_clip or math.inf  # 0 turns clipping off
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), bound, foreach=True)
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate(self.spec, step)
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        return norm

    def state(self) -> dict[str, Tensor]:
        """exp_avg, exp_avg_sq and step of each parameter, by name; empty before the first step."""
        return {
            f"{part}.{name}": tensor
            for name, parameter in self.parameters.items()
            for part, tensor in self.adamw.state.get(parameter, {}).items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        self.adamw.state.clear()
        for label, tensor in state.items():
            part, name = label.split(".", 1)
            parameter = self.parameters[name]
            self.adamw.state[parameter][part] = tensor.detach().to(parameter.device, copy=True)

    def allocate(self) -> None:
        """Make room for the state that the first step makes, to be filled."""
        for parameter in self.parameters.values():
            self.adamw.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
