"""Models to compare with others: the first weights leave norms at 1 and biases at 0, which hides mistakes."""

import torch

from runner.models.protocol import Model


def perturbed(model: Model) -> Model:
    """The model with its first weights and noise of 0.1 on every parameter, so that each of them matters."""
    model.init_weights(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model
