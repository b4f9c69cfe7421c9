"""AdamW or SGD with gradient clipping, and the learning rate schedule."""

import math

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

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
    only; then bounds the norms of rows, where asked.

    It calls the functions behind PyTorch's optimizers: the classes import a compiler, for seconds, when they are made.
    """

    def __init__(self, model: nn.Module, spec: TrainSpec):
        self.spec = spec
        self.parameters = dict(model.named_parameters())
        matrices = [name for name, p in self.parameters.items() if p.ndim >= 2]
        vectors = [name for name, p in self.parameters.items() if p.ndim < 2]
        self.groups = ((matrices, spec.weight_decay), (vectors, 0.0))  # names, and their weight decay
        self.kept: dict[str, dict[str, Tensor]] = {}  # what AdamW keeps of each parameter, by name
        # Embeddings and output layers have no layer, and their rows belong to tokens.
        layers = [names for layer, names in by_layer(list(self.parameters)).items() if layer is not None]
        inner = [self.parameters[name] for names in layers for name in names]
        self.bounded = [parameter for parameter in inner if parameter.ndim >= 2]

    @torch.no_grad()
    def step(self, step: int) -> Tensor:
        """Update the parameters with the learning rate of `step`, and clear the gradients. Returns the gradients' norm
        before clipping, still on the device."""
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients, foreach=True)
        if self.spec.grad_clip:
            nn.utils.clip_grads_with_norm_(self.parameters.values(), self.spec.grad_clip, norm, foreach=True)
        rate = learning_rate(self.spec, step)
        for names, decay in self.groups:
            self._update(names, rate, decay)
        if self.spec.max_norm is not None:
            for weight in self.bounded:
                weight.renorm_(2, 0, self.spec.max_norm)
        for parameter in self.parameters.values():
            parameter.grad = None
        return norm

    def _update(self, names: list[str], rate: float, decay: float) -> None:
        names = [name for name in names if self.parameters[name].grad is not None]
        parameters: list[Tensor] = [self.parameters[name] for name in names]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.spec.optimizer == "sgd":
            sgd(
                parameters,
                gradients,
                [None] * len(names),
                lr=rate,
                weight_decay=decay,
                momentum=0.0,
                dampening=0.0,
                nesterov=False,
                maximize=False,
                fused=True,
            )
            return
        for name in names:
            if name not in self.kept:
                self.kept[name] = self._zeros(name)
        kept = {part: [self.kept[name][part] for name in names] for part in ("exp_avg", "exp_avg_sq", "step")}
        adamw(
            parameters,
            gradients,
            kept["exp_avg"],
            kept["exp_avg_sq"],
            [],
            kept["step"],
            lr=rate,
            beta1=self.spec.beta1,
            beta2=self.spec.beta2,
            eps=1e-8,
            weight_decay=decay,
            amsgrad=False,
            maximize=False,
            fused=True,
        )

    def _zeros(self, name: str) -> dict[str, Tensor]:
        parameter = self.parameters[name]
        return {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }

    def state(self) -> dict[str, Tensor]:
        """exp_avg, exp_avg_sq and step of each parameter, by name; empty before the first step, and for SGD."""
        return {f"{part}.{name}": tensor for name, kept in self.kept.items() for part, tensor in kept.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` returned; the tensors are copied."""
        self.kept.clear()
        for label, tensor in state.items():
            part, name = label.split(".", 1)
            self.kept.setdefault(name, {})[part] = tensor.detach().to(self.parameters[name].device, copy=True)

    def allocate(self) -> None:
        """Allocate the state that the first step would make, as zeros."""
        if self.spec.optimizer == "adamw":
            self.kept = {name: self._zeros(name) for name in self.parameters}
