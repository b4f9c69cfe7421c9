"""What a model costs before it is trained: parameters by part, FLOPs a token, bytes. Nothing is allocated for it."""

from dataclasses import dataclass, replace

import torch
from rich.table import Table
from torch import Tensor

from runner.models.dropout import site_keys
from runner.models.gpt import GPT, dropout_sites
from runner.models.gradients import query_blocks
from runner.plan.spec import ModelSpec


@dataclass(frozen=True)
class Description:
    """Costs of a model at a context of `context` tokens, matrix products in `dtype`.

    parameters      by part: "token" (also the output layer), "position", "attention", "mlp", "norm"
    flops           of a training step (backward counted twice forward), a token: "attention" (its projections),
                    "scores" (queries, keys, values; causal), "mlp", "output"
    activation      bytes that backward needs, a sequence, as this code keeps them on a CPU
    scores          the part of `activation` that grows with the square of the context: attention's weights
    kv_cache        bytes of keys and values, a token
    """

    context: int
    dtype: str
    parameters: dict[str, int]
    flops: dict[str, float]
    activation: int
    scores: int
    kv_cache: int

    def total(self) -> int:
        """Parameters of the whole model."""
        return sum(self.parameters.values())

    def work(self, output: bool = True) -> float:
        """FLOPs a token in training, with or without the output layer."""
        return sum(cost for part, cost in self.flops.items() if output or part != "output")


def table(name: str, spec: ModelSpec, costs: Description) -> Table:
    """What `runner describe` prints."""
    hidden = ", ".join(f"{width:,}" for width in sorted(set(spec.d_ffs)))
    shape = (
        f"{name}: {spec.n_layer} layers, width {spec.d_model}, MLP {hidden}\n"
        f"{spec.n_head} heads of {spec.d_head}, keys and values for {spec.kv_heads}\n"
        f"sequences of {costs.context} tokens, products in {costs.dtype}"
    )
    grid = Table(title=shape, box=None, pad_edge=False, title_justify="left", title_style="", show_header=False)
    grid.add_column("")
    grid.add_column("", justify="right")
    grid.add_column("", justify="right")
    for part, count in costs.parameters.items():
        grid.add_row(f"parameters: {part}", f"{count:,}", f"{count / costs.total():.1%}")
    grid.add_row("parameters", f"{costs.total():,}", "")
    for part, count in costs.flops.items():
        grid.add_row(f"training FLOPs a token: {part}", f"{count / 1e6:,.1f} M", f"{count / costs.work():.1%}")
    grid.add_row("training FLOPs a token", f"{costs.work() / 1e6:,.1f} M", "")
    grid.add_row("… without the output layer", f"{costs.work(output=False) / 1e6:,.1f} M", "")
    grid.add_row("activations kept a sequence", f"{costs.activation / 1e6:,.1f} MB", "")
    grid.add_row("… attention's weights", f"{costs.scores / 1e6:,.1f} MB", "")
    grid.add_row("KV cache a token", f"{costs.kv_cache:,} bytes", "")
    return grid


def describe(spec: ModelSpec, vocabulary: int, context: int, dtype: torch.dtype = torch.bfloat16) -> Description:
    """The costs of a model with this vocabulary, in sequences of `context` tokens (at most its block size)."""
    with torch.device("meta"):
        model = GPT(spec, vocabulary, dtype)
    shapes = {name: p.shape for name, p in model.named_parameters()}
    parameters = dict.fromkeys(("token", "position", "attention", "mlp", "norm"), 0)
    flops = dict.fromkeys(("attention", "scores", "mlp", "output"), 0.0)
    for name, shape in shapes.items():
        part = "norm" if "norm" in name else name.split(".")[2] if name.startswith("blocks.") else name
        parameters[part] += shape.numel()
        if part in flops:
            flops[part] += 6 * shape.numel()
    flops["output"] = 6.0 * shapes["token"].numel()
    # A position attends to itself and what is before it: (context + 1) / 2 on average, one product with keys and one
    # with values, two operations for each unit.
    flops["scores"] = 3 * 4 * spec.n_layer * spec.d_model * (context + 1) / 2
    itemsize = torch.empty(0, dtype=dtype).element_size()
    squares = sum((stop - start) * stop for start, stop in query_blocks(context))
    return Description(
        context=context,
        dtype=str(dtype).removeprefix("torch."),
        parameters=parameters,
        flops=flops,
        activation=activation(spec, vocabulary, context, dtype),
        scores=2 * itemsize * spec.n_layer * spec.n_head * squares,
        kv_cache=2 * itemsize * spec.n_layer * spec.kv_heads * spec.d_head,
    )


def activation(spec: ModelSpec, vocabulary: int, context: int, dtype: torch.dtype) -> int:
    """Bytes that each sequence of a batch adds to what is kept for backward. Layers of one width keep alike, so one of
    each is traced, and one twice to tell a layer from what lies around them."""

    def of(*ratios: float) -> int:
        with torch.device("meta"):
            model = GPT(replace(spec, n_layer=len(ratios), mlp_ratio=ratios), vocabulary, dtype)
        # Weights that are cast for the products are kept too, the same ones for any batch.
        return kept(model, 2, context) - kept(model, 1, context)

    once, first = {ratio: of(ratio) for ratio in set(spec.ratios)}, spec.ratios[0]
    around = 2 * once[first] - of(first, first)
    return around + sum(once[ratio] - around for ratio in spec.ratios)


def kept(model: GPT, batch: int, context: int) -> int:
    """Bytes that a forward pass on the meta device keeps for backward, parameters not counted."""
    storages: dict[int, Tensor] = {}

    def pack(t: Tensor) -> Tensor:
        storages[t.untyped_storage()._cdata] = t  # kept alive, so that no other storage gets its address
        return t

    x_BT = torch.zeros(batch, context, dtype=torch.long, device="meta")
    keys = site_keys(0, 0, dropout_sites(model.spec)).to("meta")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = model.loss(x_BT, x_BT, keys)
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    total = sum(t.untyped_storage().nbytes() for address, t in storages.items() if address not in own)
    del loss
    return total
