"""A WaveNet over tokens.

Names carry shapes: B batch, T time, D width of the residual path, G units of a gate, S of the skip path, K kernel,
V vocabulary.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from runner.models import initial
from runner.models.cost import Description, added
from runner.models.gradients import Embedding
from runner.models.layers import Operations, padded
from runner.models.protocol import Model
from runner.models.taps import tap
from runner.models.wavenet.spec import WaveNetSpec


def looking_back(x_BTD: Tensor, kernel: int, dilation: int) -> Tensor:
    """Each position beside those that a causal kernel of this dilation reads, the oldest first, [B, T, K * D]; zeros
    stand before the first."""
    T = x_BTD.shape[1]
    steps = [dilation * (kernel - 1 - k) for k in range(kernel)]
    return torch.cat([F.pad(x_BTD, (0, 0, back, 0))[:, :T] for back in steps], dim=-1)


class Layer(nn.Module):
    """A gated dilated convolution; what it adds to the residual path, and what it gives to the skip path."""

    def __init__(self, spec: WaveNetSpec, layer: int, ops: Operations) -> None:
        super().__init__()
        self.spec, self.layer, self.ops, self.dilation = spec, layer, ops, spec.dilations[layer]
        read = spec.kernel * spec.width
        self.filter, self.gate = (nn.Parameter(torch.empty(spec.gate, read)) for _ in range(2))
        self.residual = nn.Parameter(torch.empty(spec.width, spec.gate))
        self.skip = nn.Parameter(torch.empty(spec.skip, spec.gate))
        self.filter_bias, self.gate_bias = (nn.Parameter(torch.empty(spec.gate)) for _ in range(2))
        self.residual_bias = nn.Parameter(torch.empty(spec.width))
        self.skip_bias = nn.Parameter(torch.empty(spec.skip))

    def forward(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        B, T, _ = x_BTD.shape
        read_NR = looking_back(x_BTD.to(self.ops.dtype), self.spec.kernel, self.dilation).flatten(0, 1)
        filter_NG = self.ops.affine(read_NR, self.filter, self.filter_bias)
        gate_NG = self.ops.affine(read_NR, self.gate, self.gate_bias)
        h_NG = torch.tanh(filter_NG) * torch.sigmoid(gate_NG)
        tap("mlp.hidden", self.layer, h_NG)
        x_BTD = x_BTD + self.ops.affine(h_NG, self.residual, self.residual_bias).view(B, T, -1)
        tap("residual", self.layer, x_BTD.flatten(0, 1))
        return x_BTD, self.ops.affine(h_NG, self.skip, self.skip_bias).view(B, T, -1)


class WaveNet(Model):
    """Embeddings, gated dilated convolutions, and the logits read off the sum of their skip paths."""

    spec: WaveNetSpec
    small = True

    def __init__(
        self, spec: WaveNetSpec, vocabulary: int, dtype: torch.dtype = torch.float32, compiled: bool = False
    ) -> None:
        super().__init__(spec, vocabulary, dtype, compiled)
        self.token = nn.Parameter(torch.empty(vocabulary, spec.width))
        self.layers = nn.ModuleList(Layer(spec, layer, self.ops) for layer in range(spec.n_layer))
        if spec.contexts:
            self.readout = nn.Parameter(torch.empty(spec.skip, spec.block_size * spec.skip))
            self.readout_bias = nn.Parameter(torch.empty(spec.skip))
        self.out = nn.Parameter(torch.empty(vocabulary, spec.skip))
        self.bias = nn.Parameter(torch.empty(vocabulary))

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Matrices as the spec says; biases 0."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(0.0)
            else:
                initial.fill(parameter, self.spec.init, seed, name)

    def forward(self, x_BT: Tensor, keys: Tensor | None = None) -> Tensor:
        if self.spec.contexts:
            x_BT = padded(x_BT, self.spec.block_size)
        x_BTD = Embedding.apply(x_BT, self.token)
        skipped = []
        for layer in self.layers:
            x_BTD, skip_BTS = layer(x_BTD)
            skipped.append(skip_BTS)
        h_BTS = torch.relu(torch.stack(skipped).sum(0))
        if self.spec.contexts:
            h_BTS = torch.relu(self.ops.affine(h_BTS.flatten(1), self.readout, self.readout_bias))[:, None]
        return self.ops.affine(h_BTS.flatten(0, 1), self.out, self.bias).view(*h_BTS.shape[:2], -1)

    @classmethod
    def cost(cls, spec: WaveNetSpec, vocabulary: int, context: int, dtype: torch.dtype) -> Description:
        """Closed forms for parameters and FLOPs; what backward keeps is traced."""
        with torch.device("meta"):
            model = cls(spec, vocabulary, dtype)
        sizes = {name: p.numel() for name, p in model.named_parameters()}
        parts = {"token": sizes["token"], "layers": 0, "readout": 0, "output": sizes["out"] + sizes["bias"]}
        matrices = dict.fromkeys(("layers", "readout"), 0)
        for name, parameter in model.named_parameters():
            part = name.split(".")[0].removesuffix("_bias")
            if part in matrices:
                parts[part] += parameter.numel()
                matrices[part] += parameter.numel() if parameter.ndim == 2 else 0
        once = context if spec.contexts else 1  # tokens that are read for each one that is predicted
        return Description(
            context=context,
            dtype=str(dtype).removeprefix("torch."),
            parameters={name: size for name, size in parts.items() if size},
            flops={
                "layers": 6.0 * matrices["layers"],
                **({"readout": 6.0 * matrices["readout"] / once} if spec.contexts else {}),
                "output": 6.0 * sizes["out"] / once,
            },
            scores=0,
            kv_cache=0,
            traced=lambda: added(model, context),
        )
