"""What a model costs: closed formulas, written here once more, and what PyTorch itself counts."""

import sys
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from runner.cli import main
from runner.models.cost import Description, describe
from runner.models.dropout import site_keys
from runner.models.gpt.network import GPT
from runner.models.gpt.spec import GPTSpec
from runner.plan import presets

PLAIN = GPTSpec(n_layer=2, n_head=4, d_model=32, block_size=160, mlp_ratio=4.0, dropout=0.0)
VARIANTS = {
    "plain": {},
    "dropout": {"dropout": 0.2},
    "ratios": {"mlp_ratio": (1.0, 2.5)},
    "silu": {"activation": "silu"},
    "relu2": {"activation": "relu2"},
    "swiglu": {"activation": "swiglu"},
    "rounded": {"activation": "swiglu", "mlp_ratio": 8 / 3, "d_ff_multiple": 64},
    "grouped": {"n_kv_head": 2},
    "one key": {"n_kv_head": 1},
    "qk norm": {"qk_norm": True},
    "post norm": {"post_norm": True},
    "rotary": {"positions": "rotary"},
    "everything": {
        "n_kv_head": 2,
        "qk_norm": True,
        "post_norm": True,
        "positions": "rotary",
        "activation": "swiglu",
        "mlp_ratio": (3.0, 1.5),
        "init": "zero",
    },
}
MODELS = {name: replace(PLAIN, **more) for name, more in VARIANTS.items()}
NAMED = {name: spec for name, spec in presets.CONFIGS.items() if name != "custom_mlp2x"}
VOCAB = 11


def parameters(spec: GPTSpec, vocabulary: int) -> dict[str, int]:
    L, D, H, kv = spec.n_layer, spec.d_model, spec.n_head, spec.n_kv_head or spec.n_head
    return {
        "token": vocabulary * D,
        "position": spec.block_size * D if spec.positions == "learned" else 0,
        "attention": L * (D * D * (H + 2 * kv) // H + D * D),
        "mlp": sum((3 if spec.activation == "swiglu" else 2) * D * F for F in spec.d_ffs),
        "norm": D + L * (2 * D + (2 * D if spec.post_norm else 0) + (2 * D // H if spec.qk_norm else 0)),
    }


def squares(context: int) -> int:
    """How much of the attention matrix is looked at: all of it, or without its upper right quarter."""
    first = (context + 1) // 2
    return context**2 if context < 128 else first * first + (context - first) * context


@pytest.mark.parametrize("name", [*MODELS, *NAMED])
def test_costs_follow_closed_formulas(name):
    spec = (MODELS | NAMED)[name]
    vocabulary, context = (VOCAB, 160) if name in MODELS else (50_257, 1024)
    costs = describe(spec, vocabulary, context)
    own = parameters(spec, vocabulary)
    assert costs.parameters == own
    assert costs.total() == sum(own.values())
    assert costs.flops == {
        "attention": 6 * own["attention"],
        "mlp": 6 * own["mlp"],
        "output": 6 * own["token"],
        "scores": 6 * spec.n_layer * spec.d_model * (context + 1),
    }
    assert costs.work() == sum(costs.flops.values())
    assert costs.work(output=False) == costs.work() - 6 * own["token"]
    assert costs.activation == activation(spec, vocabulary, context, 2)
    assert costs.kv_cache == 2 * 2 * spec.n_layer * (spec.n_kv_head or spec.n_head) * spec.d_model // spec.n_head


@pytest.mark.parametrize("context", [40, 128])
@pytest.mark.parametrize("name", MODELS)
def test_flops_are_those_that_pytorch_counts_but_for_what_causal_attention_does_not_need(name, context):
    """A real step, forward and backward. The products with weights are the same to the last operation. Of attention
    the description counts what a causal mask leaves, (context + 1) / 2 keys a query; this code multiplies whole
    blocks, `squares` of them, and that is what PyTorch sees."""
    spec, batch = MODELS[name], 2
    model = GPT(spec, VOCAB)
    model.init_weights(0)
    x_BT = torch.randint(VOCAB, (batch, context), generator=torch.Generator().manual_seed(0))
    counter = FlopCounterMode(display=False)
    with counter:
        model.loss(x_BT, x_BT, site_keys(0, 0, model.sites)).backward()
    costs = describe(spec, VOCAB, context)
    blocks = 3 * 4 * spec.n_layer * spec.d_model * squares(context) / context
    assert counter.get_total_flops() == batch * context * (costs.work() - costs.flops["scores"] + blocks)
    assert costs.flops["scores"] < blocks


def activation(spec: GPTSpec, vocabulary: int, T: int, size: int) -> int:
    """Bytes that backward needs of a sequence of T tokens, matrix products in numbers of `size` bytes."""
    D, H, kv = spec.d_model, spec.n_head, spec.n_kv_head or spec.n_head
    normed = size * T * D + 4 * T  # after each branch: the LayerNorm's result, and 1 / standard deviation in float32
    total = 8 * T + normed  # tokens as int64, and the first LayerNorm
    for F in spec.d_ffs:
        total += size * 4 * T * D  # queries, keys and values (shared ones repeated), and the heads' outputs
        total += 2 * size * H * squares(T) + 4 * H * T  # the weights with signs and after dropout, and their sums
        total += size * T * F * (3 if spec.activation == "swiglu" else 2)  # before and after the activation
        total += 2 * normed
        if spec.qk_norm or spec.positions == "rotary" or kv < H:
            total += size * T * D * (H + 2 * kv) // H  # the projection, from which these are computed again
        if spec.post_norm:
            total += 2 * size * T * D  # both branches
    return total + size * T * vocabulary  # the gradient of the logits


@pytest.mark.parametrize(("dtype", "size"), [(torch.bfloat16, 2), (torch.float32, 4)])
@pytest.mark.parametrize("name", MODELS)
def test_activation_bytes_follow_a_closed_formula_at_any_length_and_precision(name, dtype, size):
    spec, context = MODELS[name], 40
    costs = describe(spec, VOCAB, context, dtype)
    assert costs.activation == activation(spec, VOCAB, context, size)
    assert costs.scores == spec.n_layer * 2 * size * spec.n_head * squares(context)
    assert costs.dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("name", ["dropout", "everything"])
def test_a_real_step_keeps_what_the_description_says(name):
    spec = MODELS[name]
    model = GPT(spec, VOCAB, torch.bfloat16)
    model.init_weights(0)

    def kept(batch: int) -> int:
        sizes: dict[int, int] = {}
        alive = []

        def pack(t: torch.Tensor) -> torch.Tensor:
            alive.append(t)
            sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        x_BT = torch.zeros(batch, 40, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            loss = model.loss(x_BT, x_BT, site_keys(0, 0, model.sites))
        total = sum(sizes.values())
        del loss
        return total

    assert kept(3) - kept(2) == describe(spec, VOCAB, 40).activation


def test_nothing_is_allocated_for_it():
    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            for t in result if isinstance(result, tuple | list) else [result]:
                if isinstance(t, torch.Tensor) and t.device.type != "meta":
                    Largest.numel = max(Largest.numel, t.numel())
            return result

    with Largest():
        assert describe(presets.named("d12_mlp3x"), 50_257, 1024).activation > 0
    assert Largest.numel == 1 + 3 * 2, "the keys of dropout alone are real"


def test_half_the_context_is_a_quarter_of_the_weights_and_half_of_the_rest():
    long, short = (describe(presets.named("d12"), 50_257, context) for context in (1024, 512))
    assert long.scores == 4 * short.scores
    assert long.activation - long.scores == 2 * (short.activation - short.scores)
    assert isinstance(long, Description)


def run(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    """Call the command in this process: its status and what it printed."""
    monkeypatch.setattr(sys, "argv", ["runner", *words])
    with pytest.raises(SystemExit) as left:
        main.main()
    return left.value.code or 0, *capsys.readouterr()


def test_the_command_prints_what_was_computed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = run(capsys, monkeypatch, "describe", "d12_mlp3x_gqa", "--context", "256", "--set", "n_layer=3")
    spec = replace(presets.named("d12_mlp3x_gqa"), n_layer=3)
    costs = describe(spec, 50_257, 256)
    assert code == 0
    lines = {line.split("  ")[0].strip(): line.split() for line in out.splitlines()}
    assert "d12_mlp3x_gqa: 3 layers, width 768, MLP 2,304" in out
    assert "12 heads of 64, keys and values for 4" in out
    assert "sequences of 256 tokens, products in bfloat16" in out
    assert lines["parameters"][-1] == f"{costs.total():,}"
    assert lines["parameters: mlp"][2] == f"{3 * 2 * 768 * 2304:,}"
    assert lines["training FLOPs per token"][-2:] == [f"{costs.work() / 1e6:,.1f}", "M"]
    assert lines["KV cache per token"][-2:] == ["3,072", "bytes"]  # 2 x 2 bytes x 3 layers x 4 heads x 64
    shares = [float(word[:-1]) for line in out.splitlines() for word in line.split() if word.endswith("%")]
    assert sum(shares) == pytest.approx(200, abs=0.5), "parameters and FLOPs each add up to a whole"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["custom_mlp2x"], "heads of 900 / 12 = 75 units are odd"),
        (["d24"], "unknown model 'd24'; did you mean d12?"),
        (["wavnet"], "unknown model 'wavnet'; did you mean wavenet?"),
        (["zzz"], "unknown model 'zzz'; known: d12, d12_norms"),
        (["d12", "--context", "1025"], "--context 1025 must lie between 1 and the model's block_size = 1024"),
        (["d12", "--context", "0"], "--context 0 must lie between 1 and the model's block_size = 1024"),
        (["d12", "--set", "n_kv_head=5"], "n_kv_head = 5 does not divide n_head = 12"),
        (["d12", "--set", "d_ff=5"], "unknown setting 'd_ff'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(capsys, monkeypatch, words, message):
    code, out, err = run(capsys, monkeypatch, "describe", *words)
    assert (code, out) == (2, "")
    assert err.startswith("runner: ")
    assert message in err
    assert err.count("\n") == 1
