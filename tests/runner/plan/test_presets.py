"""The named models against the source's listing (the 3x note), and their sizes against closed formulas."""

from dataclasses import replace

import pytest
import torch

from runner.errors import UserError
from runner.models.gpt.network import GPT
from runner.plan import presets
from runner.plan.experiment import model
from runner.plan.spec import RunSpec, check

SOURCE = {  # n_embd, n_head, key-value heads, expansion factor, gated, post_norm and qk_norm
    "d12": (768, 12, 12, 4, False, False),
    "d12_mlp3x": (832, 13, 13, 3, False, True),
    "custom_mlp2x": (900, 12, 12, 2, False, True),
    "d12_mlp3x_gqa": (768, 12, 4, 3, False, True),
    "d12_mlp3x_swiglu": (832, 13, 13, 3, True, True),
}
CONTROLS = {  # what the source does not list: one thing at a time
    "d12_norms": (768, 12, 12, 4, False, True),
    "d12_r3": (768, 12, 12, 3, False, False),
    "d12_r3_norms": (768, 12, 12, 3, False, True),
    "d12_mlp3x_plain": (832, 13, 13, 3, False, False),
    "d12_gqa": (768, 12, 4, 4, False, False),
    "d12_mlp3x_swiglu_matched": (832, 13, 13, 2, True, True),  # two thirds of 3
    "custom_mlp2x_896": (896, 14, 14, 2, False, True),
}


def test_all_of_the_sources_models_are_there_and_no_other_is_untold():
    assert set(presets.CONFIGS) == set(SOURCE | CONTROLS)


@pytest.mark.parametrize("name", sorted(SOURCE | CONTROLS))
def test_a_model_is_what_its_source_says_and_has_as_many_parameters_as_a_formula(name):
    D, H, kv, factor, gated, norms = (SOURCE | CONTROLS)[name]
    spec = presets.named(name)
    F, K, L, V = factor * D, D // H, 12, 50_257
    assert (spec.d_model, spec.n_head, spec.kv_heads, spec.n_layer) == (D, H, kv, L)
    assert (set(spec.d_ffs), spec.gated, spec.post_norm, spec.qk_norm) == ({F}, gated, norms, norms)
    assert (spec.positions, spec.dropout, spec.init, spec.block_size) == ("rotary", 0.0, "gpt2", 1024)
    if name == "custom_mlp2x":  # its heads of 75 units cannot be turned, but its parameters can be counted
        spec = replace(spec, positions="learned")
    with torch.device("meta"):
        parameters = dict(GPT(spec, presets.VOCABULARY).named_parameters())
    attention = (H + 2 * kv) * K * D + D * D
    mlp = (3 if gated else 2) * D * F
    scales = 2 * D + (2 * D + 2 * K if norms else 0)
    total = V * D + L * (attention + mlp + scales) + D
    counted = sum(p.numel() for n, p in parameters.items() if n != "position")
    assert counted == total
    assert ("position" in parameters) == (name == "custom_mlp2x")


def test_the_sources_two_sizes_are_nearly_one():
    sizes = {}
    for name in ("d12", "d12_mlp3x"):
        with torch.device("meta"):
            sizes[name] = sum(p.numel() for p in GPT(presets.named(name), presets.VOCABULARY).parameters())
    assert sizes == {"d12": 123_551_232, "d12_mlp3x": 124_923_008}


@pytest.mark.parametrize("name", sorted(presets.CONFIGS))
def test_every_model_can_be_trained_but_the_one_with_odd_heads(name):
    if name == "custom_mlp2x":
        with pytest.raises(UserError, match=r"heads of 900 / 12 = 75 units are odd: .* such as 896 / 14 = 64") as error:
            model(name, {})
        assert "\n" not in str(error.value)
    else:
        assert model(name, {}) == presets.named(name) == check(RunSpec(model=presets.named(name)), "here").model


def test_a_person_may_set_more():
    assert model("custom_mlp2x", {"model.positions": "learned"}).d_head == 75
    assert model("d12", {"model.mlp_ratio": 2}) == replace(presets.D12, mlp_ratio=2.0)
    assert model("d12", {"model.mlp_expansion_factor": 3}) == presets.named("d12_r3")
    with pytest.raises(UserError, match="one setting; give one of them"):
        model("d12", {"model.mlp_expansion_factor": 3, "model.mlp_ratio": 3})
    with pytest.raises(UserError, match=r"unknown setting model\.depth"):
        model("d12", {"model.depth": 3})


def test_a_kind_is_a_model_at_its_defaults():
    assert model("wavenet", {"model.kernel": 3, "model.block_size": 81}).receptive_field == 81
    with pytest.raises(UserError, match="mlp: width = 0 must be at least 1"):
        model("mlp", {"model.width": 0})


def test_unknown_models_are_told_with_the_known_ones():
    with pytest.raises(UserError, match="unknown model 'd24'; known: d12, d12_norms"):
        presets.named("d24")
