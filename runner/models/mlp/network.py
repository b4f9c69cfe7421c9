"""An MLP over a flattened context: the language model before the Transformer.

Names carry shapes: B batch, T context, C width of an embedding, I inputs of a layer, H hidden units, V vocabulary.
"""

import torch
import torch.nn as nn
from torch import Tensor

from runner.models import initial
from runner.models.cost import Description, added
from runner.models.dropout import dropout
from runner.models.gradients import Embedding
from runner.models.layers import Operations, padded
from runner.models.mlp.spec import MLPSpec
from runner.models.norms import BatchNorm
from runner.models.protocol import Model
from runner.models.taps import tap


class Hidden(nn.Module):
    """A hidden layer: a matrix without a bias where the source has one, BatchNorm where asked for, tanh, dropout."""

    def __init__(self, spec: MLPSpec, layer: int, ops: Operations) -> None:
        super().__init__()
        self.layer, self.ops = layer, ops
        self.weight = nn.Parameter(torch.empty(spec.hidden, spec.hidden if layer else spec.inputs))
        self.norm = None if spec.norm == "none" else BatchNorm(spec.hidden, spec.norm, spec.freeze_at)
        self.residual, self.p = spec.residual and layer > 0, spec.dropout

    def forward(self, x_BI: Tensor, key: Tensor | None) -> Tensor:
        h_BH = self.ops.affine(x_BI, self.weight)
        if self.norm is not None:
            h_BH = self.norm(h_BH, key is not None)
        h_BH = torch.tanh(h_BH)
        tap("mlp.hidden", self.layer, h_BH)
        if key is not None:
            h_BH = dropout(h_BH, key, self.p)
        return x_BI + h_BH if self.residual else h_BH


class MLP(Model):
    """Embeddings of a context, hidden layers, and the logits of the one token after it."""

    spec: MLPSpec
    small = True

    def __init__(
        self, spec: MLPSpec, vocabulary: int, dtype: torch.dtype = torch.float32, compiled: bool = False
    ) -> None:
        super().__init__(spec, vocabulary, dtype, compiled)
        self.token = nn.Parameter(torch.empty(vocabulary, spec.width))
        self.layers = nn.ModuleList(Hidden(spec, layer, self.ops) for layer in range(spec.n_layer))
        self.out = nn.Parameter(torch.empty(vocabulary, spec.hidden))
        self.bias = nn.Parameter(torch.empty(vocabulary))
        self.sites = spec.n_layer  # the units of each hidden layer
        self.calibration = spec.calibration if spec.norm in ("precise", "frozen") else 0

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Matrices as the spec says; embeddings normal with variance 1; gains 1; biases 0."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(1.0 if name.endswith("gain") else 0.0)
            else:
                initial.fill(parameter, "plain" if name == "token" else self.spec.init, seed, name)

    def forward(self, x_BT: Tensor, keys: Tensor | None = None) -> Tensor:
        each = (None,) * self.sites if keys is None else keys.unbind()
        x_BTC = Embedding.apply(padded(x_BT, self.spec.block_size), self.token)
        if self.spec.reading == "flatten":
            h_BI = x_BTC.flatten(1)
        else:
            h_BI = x_BTC[:, -1] if self.spec.reading == "last" else x_BTC.mean(1)
        for layer, key in zip(self.layers, each, strict=True):
            h_BI = layer(h_BI, key)
        return self.ops.affine(h_BI, self.out, self.bias)[:, None]

    @torch.no_grad()
    def calibrate(self, batches: list[Tensor]) -> None:
        """Take the statistics of these contexts under the present weights, where the norm asks for them."""
        norms = [layer.norm for layer in self.layers if isinstance(layer.norm, BatchNorm)]
        for norm in norms:
            norm.sums = []
        for x_BT in batches:
            self(x_BT)
        for norm in norms:
            norm.calibrated()

    @classmethod
    def cost(cls, spec: MLPSpec, vocabulary: int, context: int, dtype: torch.dtype) -> Description:
        """Closed forms for parameters and FLOPs, an input token's share of the context's; what backward keeps is
        traced."""
        with torch.device("meta"):
            model = cls(spec, vocabulary, dtype)
        sizes = {name: p.numel() for name, p in model.named_parameters()}
        hidden = sum(size for name, size in sizes.items() if name.endswith("weight"))
        parts = {"token": sizes["token"], "mlp": hidden, "output": sizes["out"] + sizes["bias"]}
        parts["norm"] = sum(sizes.values()) - sum(parts.values())
        return Description(
            context=context,
            dtype=str(dtype).removeprefix("torch."),
            parameters={name: size for name, size in parts.items() if size},
            flops={"mlp": 6.0 * hidden / context, "output": 6.0 * sizes["out"] / context},
            scores=0,
            kv_cache=0,
            traced=lambda: added(model, context),
        )
