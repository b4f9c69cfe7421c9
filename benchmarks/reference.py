"""The yardstick: nanoGPT's model and step in plain float32 eager PyTorch, nothing clever in it."""

import math
from collections.abc import Callable

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from runner.models.gpt.spec import GPTSpec
from runner.plan.spec import TrainSpec


class LayerNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, None, 1e-5)


class Attention(nn.Module):
    def __init__(self, spec: GPTSpec):
        super().__init__()
        self.qkv = nn.Linear(spec.d_model, 3 * spec.d_model, bias=False)
        self.out = nn.Linear(spec.d_model, spec.d_model, bias=False)
        self.dropout = nn.Dropout(spec.dropout)
        self.n_head, self.p = spec.n_head, spec.dropout

    def forward(self, x: Tensor) -> Tensor:
        B, T, D = x.shape
        q, k, v = (t.view(B, T, self.n_head, -1).transpose(1, 2) for t in self.qkv(x).split(D, dim=2))
        p = self.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        return self.dropout(self.out(y.transpose(1, 2).contiguous().view(B, T, D)))


class MLP(nn.Module):
    def __init__(self, spec: GPTSpec):
        super().__init__()
        self.up = nn.Linear(spec.d_model, spec.d_ffs[0], bias=False)
        self.down = nn.Linear(spec.d_ffs[0], spec.d_model, bias=False)
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.down(F.gelu(self.up(x))))


class Block(nn.Module):
    def __init__(self, spec: GPTSpec):
        super().__init__()
        self.attention_norm, self.attention = LayerNorm(spec.d_model), Attention(spec)
        self.mlp_norm, self.mlp = LayerNorm(spec.d_model), MLP(spec)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Reference(nn.Module):
    def __init__(self, spec: GPTSpec, vocab_size: int):
        super().__init__()
        self.token = nn.Embedding(vocab_size, spec.d_model)
        self.position = nn.Embedding(spec.block_size, spec.d_model)
        self.dropout = nn.Dropout(spec.dropout)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.n_layer))
        self.norm = LayerNorm(spec.d_model)
        self.head = nn.Linear(spec.d_model, vocab_size, bias=False)
        self.head.weight = self.token.weight
        for name, parameter in self.named_parameters():
            if parameter.ndim >= 2:
                is_residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, 0.0, 0.02 / math.sqrt(2 * spec.n_layer) if is_residual else 0.02)

    def stream(self, x: Tensor) -> Tensor:
        h = self.dropout(self.token(x) + self.position(torch.arange(x.shape[1])))
        for block in self.blocks:
            h = block(h)
        return self.norm(h)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.head(self.stream(x)).flatten(0, 1), y.flatten())


class Answers(Reference):
    """The same for sequences of which the last target alone counts."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.head(self.stream(x)[:, -1]), y[:, -1])


def trainer(model: Reference, train: TrainSpec) -> Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]:
    """A function of a batch and a learning rate that makes one step and gives the loss and the gradient's norm."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": train.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=train.learning_rate, betas=(train.beta1, train.beta2))

    def step(x: Tensor, y: Tensor, learning_rate: float) -> tuple[Tensor, Tensor]:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.zero_grad(set_to_none=True)
        loss = model(x, y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), train.grad_clip)
        optimizer.step()
        return loss.detach(), norm

    return step


@torch.no_grad()
def copy_weights(source: nn.Module, target: Reference) -> None:
    """Start the reference from the weights of a `runner.models.gpt.network.GPT`."""
    theirs = dict(target.named_parameters())
    for name, parameter in source.named_parameters():
        name = name.replace("attention.norm", "attention_norm").replace("mlp.norm", "mlp_norm")
        theirs[f"{name}.weight"].copy_(parameter)
