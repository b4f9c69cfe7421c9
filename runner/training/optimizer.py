"""AdamW or SGD with gradient clipping, and the learning rate schedule."""

import math

import torch
from torch import Tensor, nn

from runner.plan.spec import TrainSpec
from runner.training.probes.probe import by_layer


def learning_rate(spec: TrainSpec, step: int) -> float:
    """The learning rate of a step: linear warm-up, then a decay to `min_learning_rate` at step `steps`. It decays as
    half a cosine; or it is constant and then falls linearly (`warmdown_steps`) or at once (`drop_at`)."""
    if step < spec.warmup_steps:
        if spec.warmup_from is not None:
            return spec.warmup_from + (spec.learning_rate - spec.warmup_from) * step / spec.warmup_steps
        return spec.learning_rate * (step + 1) / (spec.warmup_steps + 1)
    if step >= spec.steps:
        return spec.min_learning_rate
    if spec.drop_at is not None:
        return spec.learning_rate if step < spec.drop_at else spec.min_learning_rate
    if spec.warmdown_steps is not None:
        share = min(1.0, (spec.steps - step) / max(1, spec.warmdown_steps))
    else:
        share = 0.5 * (1.0 + math.cos(math.pi * (step - spec.warmup_steps) / (spec.steps - spec.warmup_steps)))
    return spec.min_learning_rate + share * (spec.learning_rate - spec.min_learning_rate)


class Optimizer:
    """Clips by the global norm, then applies AdamW or SGD, with weight decay on parameters of two or more dimensions
    only; then bounds the norms of rows, where asked."""

    def __init__(self, model: nn.Module, spec: TrainSpec):
        self.spec = spec
        self.parameters = dict(model.named_parameters())
        matrices = [p for p in self.parameters.values() if p.ndim >= 2]
        vectors = [p for p in self.parameters.values() if p.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": spec.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        # Embeddings and output layers have no layer, and their rows belong to tokens.
        layers = [names for layer, names in by_layer(list(self.parameters)).items() if layer is not None]
        inner = [self.parameters[name] for names in layers for name in names]
        self.bounded = [parameter for parameter in inner if parameter.ndim >= 2]
        self.rule: torch.optim.Optimizer
        if spec.optimizer == "sgd":
            self.rule = torch.optim.SGD(groups, lr=spec.learning_rate, fused=True)
        else:
            self.rule = torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(spec.beta1, spec.beta2), fused=True)

    def step(self, step: int) -> Tensor:
        """Update the parameters with the learning rate of `step`, and clear the gradients. Returns the gradients' norm
        before clipping, still on the device."""
        bound = self.spec.grad_clip or math.inf  # 0 turns clipping off
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), bound, foreach=True)
        for group in self.rule.param_groups:
            group["lr"] = learning_rate(self.spec, step)
        self.rule.step()
        if self.spec.max_norm is not None:
            with torch.no_grad():
                for weight in self.bounded:
                    weight.renorm_(2, 0, self.spec.max_norm)
        self.rule.zero_grad(set_to_none=True)
        return norm

    def state(self) -> dict[str, Tensor]:
        """exp_avg, exp_avg_sq and step of each parameter, by name; empty before the first step, and for SGD."""
        return {
            f"{part}.{name}": tensor
            for name, parameter in self.parameters.items()
            for part, tensor in self.rule.state.get(parameter, {}).items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` returned; the tensors are copied."""
        self.rule.state.clear()
        for label, tensor in state.items():
            part, name = label.split(".", 1)
            parameter = self.parameters[name]
            self.rule.state[parameter][part] = tensor.detach().to(parameter.device, copy=True)

    def allocate(self) -> None:
        """Allocate the state that the first step would make, as zeros."""
        for parameter in self.parameters.values() if self.spec.optimizer == "adamw" else ():
            self.rule.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
