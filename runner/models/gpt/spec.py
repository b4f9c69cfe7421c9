"""The settings of the GPT family. Importable without torch."""

from dataclasses import dataclass

from runner.settings import Need, later

ACTIVATIONS = ("gelu", "silu", "relu2", "swiglu")
POSITIONS = ("learned", "rotary")
NORMS = ("before", "after")
INITS = ("gpt2", "zero")
SITES = ("embedding", "weights", "projection", "mlp")


@dataclass(frozen=True)
class GPTSpec:
    """A decoder-only transformer. `mlp_ratio` is d_ff / d_model, one number or one for each layer.

    activation     of the MLP: "gelu", "silu", "relu2" (the square of ReLU), or "swiglu", which has three matrices
    match_params   give SwiGLU two thirds of the hidden width, so that it has exactly the parameters of the others
    d_ff_multiple  round the hidden width up to a multiple of this
    n_kv_head      heads of keys and values, each shared by n_head / n_kv_head queries; None is one for each
    qk_norm        a LayerNorm over each head's queries and keys, before rotary positions
    post_norm      a LayerNorm after each branch, besides the one before; attention's is scaled by 1 / √(2 n_layer)
    norm           "before" each branch, of what it reads; or "after" it, of the stream with the branch added, as in the
                   first transformer (its weights then act on what the branches and the output layer read)
    positions      "learned", or "rotary": turned queries and keys, and no parameters
    init           "gpt2", or "zero": projections into the residual stream start at 0, all other matrices of the
                   blocks uniform within ±√(3 / d_model)
    dropout_sites  where dropout acts: "embedding", the sum of a token's embedding and its position; "weights", those of
                   attention, after its softmax; "projection", attention's output after it; "mlp", the MLP's output
    kind           "gpt", of `runner.models.registry`
    """

    n_layer: int = 6
    n_head: int = 6
    d_model: int = 384
    block_size: int = 256
    mlp_ratio: float | tuple[float, ...] = 4.0
    dropout: float = 0.2
    activation: str = later("gelu")
    match_params: bool = later(False)
    d_ff_multiple: int = later(1)
    n_kv_head: int | None = later(None)
    qk_norm: bool = later(False)
    post_norm: bool = later(False)
    norm: str = later("before")
    positions: str = later("learned")
    init: str = later("gpt2")
    dropout_sites: tuple[str, ...] = later(SITES)
    kind: str = later("gpt")

    @property
    def ratios(self) -> tuple[float, ...]:
        """The MLP ratio of each layer."""
        return self.mlp_ratio if isinstance(self.mlp_ratio, tuple) else (self.mlp_ratio,) * self.n_layer

    @property
    def d_ffs(self) -> tuple[int, ...]:
        """Hidden width of each layer's MLP, in units."""
        share, unit = (2 / 3 if self.match_params else 1), self.d_ff_multiple
        widths = (max(1, round(ratio * self.d_model * share)) for ratio in self.ratios)
        return tuple(-(-width // unit) * unit for width in widths)

    @property
    def gated(self) -> bool:
        """Whether the MLP has a third matrix, the gate."""
        return self.activation == "swiglu"

    @property
    def d_head(self) -> int:
        """Width of one attention head, in units."""
        return self.d_model // self.n_head

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.n_head if self.n_kv_head is None else self.n_kv_head

    def rate(self, site: str) -> float:
        """The probability of dropout at one of `SITES`; 0 where there is none."""
        return self.dropout if site in self.dropout_sites else 0.0

    @property
    def contexts(self) -> bool:
        """Whether it predicts one token, after a whole context: it predicts one after each position."""
        return False

    @property
    def shape(self) -> str:
        """Its sizes in a few words."""
        return f"{self.n_layer} layers, width {self.d_model}, block {self.block_size}"

    def details(self) -> list[str]:
        """Its sizes at length, in lines."""
        hidden = ", ".join(f"{width:,}" for width in sorted(set(self.d_ffs)))
        return [
            f"{self.n_layer} layers, width {self.d_model}, MLP {hidden}",
            f"{self.n_head} heads of {self.d_head}, keys and values for {self.kv_heads}",
        ]

    def check(self, need: Need) -> None:
        """Name the first setting that cannot be."""
        for name in ("n_layer", "n_head", "d_model", "block_size", "d_ff_multiple"):
            need(getattr(self, name) >= 1, f"{name} = {getattr(self, name)} must be at least 1")
        for ratio in self.ratios:
            need(0 < ratio <= 1000, f"mlp_ratio = {ratio:g} must be a positive number up to 1000, such as 4")
        need(
            len(self.ratios) == self.n_layer,
            f"mlp_ratio has {len(self.ratios)} numbers for {self.n_layer} layers: give one number, or one a layer",
        )
        need(
            self.d_model % self.n_head == 0,
            f"n_head = {self.n_head} does not divide d_model = {self.d_model}; choose heads that divide the width",
        )
        need(
            1 <= self.kv_heads <= self.n_head and self.n_head % self.kv_heads == 0,
            f"n_kv_head = {self.n_kv_head} does not divide n_head = {self.n_head}; choose a divisor of it",
        )
        for name, known in (("activation", ACTIVATIONS), ("norm", NORMS), ("positions", POSITIONS), ("init", INITS)):
            given = getattr(self, name)
            need(given in known, f'{name} = "{given}" is unknown; known: {", ".join(known)}')
        need(
            self.positions != "rotary" or self.d_head % 2 == 0,
            f"rotary positions turn pairs of units, and heads of {self.d_model} / {self.n_head} = {self.d_head} units "
            "are odd: choose a width and heads that give an even number, such as 896 / 14 = 64, or learned positions",
        )
        need(
            not self.match_params or self.gated,
            "match_params gives a gated MLP the parameters of a plain one; "
            f'activation = "{self.activation}" has no gate: leave it out, or set activation = "swiglu"',
        )
        for ratio in self.ratios if self.match_params else ():
            plain = max(1, round(ratio * self.d_model))
            need(
                2 * plain % 3 == 0 and self.d_ff_multiple == 1,
                f"match_params: two thirds of {plain} hidden units must be whole, and not rounded by d_ff_multiple: "
                "choose mlp_ratio and d_model whose product is a multiple of 3",
            )
        need(0 <= self.dropout < 1, f"dropout = {self.dropout:g} must be at least 0 and below 1")
        strange = [site for site in self.dropout_sites if site not in SITES]
        need(not strange, f"dropout_sites: unknown {', '.join(strange)}; known: {', '.join(SITES)}")
        need(
            0 < len(self.dropout_sites) == len(set(self.dropout_sites)),
            "dropout_sites must name at least one site, and each once; for no dropout set dropout = 0",
        )
