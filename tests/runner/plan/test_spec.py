import dataclasses
from dataclasses import replace

import pytest
import torch

from runner.errors import UserError
from runner.models.gpt.network import GPT
from runner.plan.spec import (
    DataSpec,
    EvalSpec,
    GPTSpec,
    RunSpec,
    TrainSpec,
    as_dict,
    check,
    differences,
    from_dict,
    identity,
)


def test_the_identity_is_pinned():
    """Published evidence is named by it: a change of the hash orphans every log."""
    assert identity(as_dict(RunSpec()), "0" * 64) == "8aa04def3b85"


def test_the_identity_follows_every_setting_and_the_corpus():
    spec = RunSpec()
    known = {identity(as_dict(spec), "0" * 64)}
    for other in (
        replace(spec, seed=1),
        replace(spec, model=GPTSpec(mlp_ratio=3)),
        replace(spec, data=DataSpec(train=(0, 9999))),
    ):
        known.add(identity(as_dict(other), "0" * 64))
    known.add(identity(as_dict(spec), "1" * 64))
    assert len(known) == 5


PUBLISHED = {
    "data": {"corpus", "train", "val", "test"},
    "model": {"n_layer", "n_head", "d_model", "block_size", "mlp_ratio", "dropout"},
    "train": {
        "steps",
        "batch_size",
        "learning_rate",
        "min_learning_rate",
        "warmup_steps",
        "beta1",
        "beta2",
        "weight_decay",
        "grad_clip",
    },
    "eval": {"every", "mode", "batches"},
}  # the settings that the first published runs have
LATER = {
    "data": {
        "tokenizer": "gpt2",
        "task": "context",
        "unit": "documents",
        "arithmetic": {"functions": 3, "modulus": 97, "draw": 0},
        "sentencepiece": {"vocabulary": 32_000, "coverage": 1.0, "max_piece": 16, "leaky": True},
    },
    "model": {
        "activation": "silu",
        "match_params": True,
        "d_ff_multiple": 64,
        "n_kv_head": 3,
        "qk_norm": True,
        "post_norm": True,
        "norm": "after",
        "positions": "rotary",
        "init": "zero",
        "dropout_sites": ["weights", "mlp"],
    },
    "train": {
        "grad_accumulation": 2,
        "warmdown_steps": 10,
        "warmup_from": 1e-5,
        "drop_at": 1000,
        "optimizer": "sgd",
        "max_norm": 3.0,
    },
    "eval": {
        "splits": ["val"],
        "attention_logits": True,
        "probes": ["attention_logit"],
        "probe_every": 7,
        "train_tokens": 1000,
        "stride": 9,
    },
}  # those that came later, away from their defaults
ADDED = {
    "task": {"model": {"kind": "mlp"}},
    "match_params": {"model": {"activation": "swiglu"}},
    "arithmetic": {"data": {"task": "arithmetic", "corpus": "none", "train": [0, 9], "val": [9, 19]}}
    | {"model": {"block_size": 4}},
    "sentencepiece": {"data": {"tokenizer": "sentencepiece", "unit": "characters"}},
}  # what such a setting cannot be without


def test_what_came_later_is_in_no_plain_form_at_its_default():
    plain = as_dict(RunSpec())
    assert {table: set(values) for table, values in plain.items() if table != "seed"} == PUBLISHED
    defaults = {
        table: {name: value for name, value in dataclasses.asdict(part()).items() if name in LATER[table]}
        for table, part in (("data", DataSpec), ("model", GPTSpec), ("train", TrainSpec), ("eval", EvalSpec))
    }
    assert as_dict(from_dict(defaults, "here")) == plain, "said or left out, a default is the default"
    parts = ((RunSpec().data, "data"), (RunSpec().model, "model"), (RunSpec().train, "train"), (RunSpec().eval, "eval"))
    every = {table: {f.name for f in dataclasses.fields(part)} - {"kind"} for part, table in parts}
    assert every == {table: PUBLISHED[table] | set(LATER[table]) for table in LATER}, "a new setting has to be later"


@pytest.mark.parametrize(("table", "name"), [(table, name) for table, names in LATER.items() for name in names])
def test_what_came_later_is_in_the_identity_when_it_is_set(table, name):
    value = LATER[table][name]
    tables = ADDED.get(name, {})
    spec = from_dict(tables | {table: tables.get(table, {}) | {name: value}}, "here")
    plain = as_dict(spec)
    assert plain[table][name] == value
    assert identity(plain, "0" * 64) != identity(as_dict(RunSpec()), "0" * 64)
    assert from_dict(plain, "there") == spec, "a manifest gives the spec back"


def test_a_ratio_for_each_layer_has_an_identity_of_its_own():
    one, each = (from_dict({"model": {"mlp_ratio": ratio}}, "here") for ratio in (4, [4, 4, 4, 4, 4, 3.5]))
    assert one.model.mlp_ratio == 4.0
    assert each.model.mlp_ratio == (4.0, 4.0, 4.0, 4.0, 4.0, 3.5)
    assert as_dict(each)["model"]["mlp_ratio"] == [4.0, 4.0, 4.0, 4.0, 4.0, 3.5]
    assert identity(as_dict(one), "0" * 64) != identity(as_dict(each), "0" * 64)
    assert from_dict(as_dict(each), "there") == each
    assert each.model.d_ffs == (1536, 1536, 1536, 1536, 1536, 1344)


def test_mlp_expansion_factor_is_another_name_of_the_ratio():
    assert from_dict({"model": {"mlp_expansion_factor": 3}}, "here") == from_dict({"model": {"mlp_ratio": 3}}, "here")
    four = from_dict({"model": {"mlp_expansion_factor": 4}}, "here")
    assert identity(as_dict(four), "0" * 64) == identity(as_dict(RunSpec()), "0" * 64)


def test_whole_and_decimal_numbers_name_one_run():
    assert from_dict({"model": {"mlp_ratio": 4}}, "here") == from_dict({"model": {"mlp_ratio": 4.0}}, "here")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"model": {"mlp_ratio": 0}}, "mlp_ratio = 0 must be a positive number"),
        ({"model": {"mlp_ratio": -1.5}}, "mlp_ratio = -1.5 must be a positive number"),
        ({"model": {"mlp_ratio": float("nan")}}, "mlp_ratio = nan must be a positive number"),
        (
            {"model": {"mlp_ratio": "four"}},
            "model.mlp_ratio must be a number or a list of numbers, one a layer, not 'four'",
        ),
        ({"model": {"n_head": 5}}, "n_head = 5 does not divide d_model = 384"),
        ({"model": {"block_size": 2_000_000}}, "block_size = 2000000 is longer than data.train has"),
        ({"model": {"width": 4}}, "unknown setting model.width; known: n_layer"),
        ({"model": 4}, "[model] must be a table"),
        ({"model": {"dropout": 1}}, "dropout = 1 must be at least 0 and below 1"),
        ({"train": {"steps": 1.5}}, "train.steps must be a whole number, not 1.5"),
        ({"train": {"steps": True}}, "train.steps must be a whole number, not True"),
        ({"train": {"steps": 0}}, "steps = 0 must be at least 1"),
        ({"train": {"beta2": 1}}, "beta2 = 1 must be at least 0 and below 1"),
        ({"data": {"train": [5, 5]}}, "data.train = [5, 5] is empty"),
        ({"data": {"val": [1, 2, 3]}}, "data.val must be a pair of token positions"),
        ({"eval": {"probe_every": 0}}, "eval.probe_every = 0 must be at least 1"),
        ({"eval": {"mode": "guess"}}, 'eval.mode = "guess" must be "exact" or "sampled"'),
        ({"seed": -1}, "seed = -1 must be at least 0"),
        ({"model": {"mlp_ratio": [4, 3]}}, "mlp_ratio has 2 numbers for 6 layers: give one number, or one a layer"),
        ({"model": {"mlp_ratio": []}}, "mlp_ratio has 0 numbers for 6 layers"),
        ({"model": {"mlp_ratio": [4, 3, 2, 1, -1, 4]}}, "mlp_ratio = -1 must be a positive number"),
        ({"model": {"mlp_ratio": [4, "3"]}}, "model.mlp_ratio must be a number or a list of numbers, one a layer"),
        (
            {"model": {"mlp_ratio": True}},
            "model.mlp_ratio must be a number or a list of numbers, one a layer, not True",
        ),
        (
            {"model": {"mlp_ratio": 3, "mlp_expansion_factor": 3}},
            "model.mlp_expansion_factor and model.mlp_ratio are one setting; give one of them",
        ),
        ({"model": {"mlp_expansion_factor": "3"}}, "model.mlp_expansion_factor must be a number"),
        ({"model": {"n_kv_head": 4}}, "n_kv_head = 4 does not divide n_head = 6; choose a divisor of it"),
        ({"model": {"n_kv_head": 12}}, "n_kv_head = 12 does not divide n_head = 6"),
        ({"model": {"n_kv_head": 0}}, "n_kv_head = 0 does not divide n_head = 6"),
        ({"model": {"n_kv_head": -6}}, "n_kv_head = -6 does not divide n_head = 6"),
        ({"model": {"n_kv_head": 1.5}}, "model.n_kv_head must be a whole number, not 1.5"),
        ({"model": {"n_kv_head": "all"}}, "model.n_kv_head must be a whole number, not 'all'"),
        (
            {"model": {"positions": "rotary", "d_model": 900, "n_head": 12}},
            "heads of 900 / 12 = 75 units are odd: choose a width and heads that give an even number, "
            "such as 896 / 14 = 64, or learned positions",
        ),
        ({"model": {"activation": "relu"}}, 'activation = "relu" is unknown; known: gelu, silu, relu2, swiglu'),
        ({"model": {"positions": "sine"}}, 'positions = "sine" is unknown; known: learned, rotary'),
        ({"model": {"init": "he"}}, 'init = "he" is unknown; known: gpt2, zero'),
        ({"model": {"activation": 2}}, "model.activation must be a text, not 2"),
        ({"model": {"match_params": True}}, 'activation = "gelu" has no gate: leave it out, or set'),
        ({"model": {"match_params": 1}}, "model.match_params must be true or false, not 1"),
        ({"model": {"qk_norm": "yes"}}, "model.qk_norm must be true or false, not 'yes'"),
        ({"model": {"post_norm": 0}}, "model.post_norm must be true or false, not 0"),
        (
            {"model": {"activation": "swiglu", "match_params": True, "d_model": 64, "n_head": 4}},
            "match_params: two thirds of 256 hidden units must be whole, and not rounded by d_ff_multiple",
        ),
        (
            {"model": {"activation": "swiglu", "match_params": True, "d_ff_multiple": 64}},
            "match_params: two thirds of 1536 hidden units must be whole, and not rounded by d_ff_multiple",
        ),
        ({"model": {"d_ff_multiple": 0}}, "d_ff_multiple = 0 must be at least 1"),
        ({"model": {"d_ff_multiple": 64.0}}, "model.d_ff_multiple must be a whole number, not 64.0"),
        ({"train": {"grad_accumulation": 0}}, "grad_accumulation = 0 does not divide batch_size = 64"),
        (
            {"train": {"grad_accumulation": 3}},
            "grad_accumulation = 3 does not divide batch_size = 64; choose a divisor",
        ),
        ({"train": {"grad_accumulation": 128}}, "grad_accumulation = 128 does not divide batch_size = 64"),
        ({"train": {"warmdown_steps": -1}}, "warmdown_steps = -1 must lie between 0 and steps = 5000"),
        ({"train": {"warmdown_steps": 5001}}, "warmdown_steps = 5001 must lie between 0 and steps = 5000"),
        ({"train": {"warmdown_steps": "half"}}, "train.warmdown_steps must be a whole number, not 'half'"),
        ({"eval": {"train_tokens": 0}}, "eval.train_tokens = 0 must be at least 1"),
        ({"eval": {"train_tokens": 9, "mode": "sampled"}}, 'eval.train_tokens is for eval.mode = "exact"'),
        ({"eval": {"splits": ["val", "dev"]}}, "eval.splits: unknown split dev; known: train, val"),
        ({"eval": {"splits": ["test"]}}, "eval.splits: unknown split test; known: train, val"),
        ({"eval": {"splits": []}}, "eval.splits is empty: name a split, or leave it out for all of them"),
        ({"eval": {"splits": "val"}}, "eval.splits must be a list of texts, not 'val'"),
        ({"eval": {"splits": [1]}}, "eval.splits must be a list of texts, not [1]"),
        ({"data": {"tokenizer": "gpt4"}}, 'tokenizer = "gpt4" is unknown; known: characters, bytes, gpt2'),
        ({"data": {"task": "guess"}}, 'task = "guess" is unknown; known: windows, context, arithmetic'),
        ({"data": {"arithmetic": {"functions": 2}}}, "data.arithmetic is set, but this run has another task"),
        ({"data": {"arithmetic": {"terms": 2}}}, "unknown setting data.arithmetic.terms; known: functions"),
        ({"data": {"task": "arithmetic"}}, 'task = "arithmetic" reads no corpus: set corpus = "none"'),
        ({"data": {"corpus": "none"}}, 'task = "windows" reads a corpus: corpus = "none" is for tasks that make'),
        (
            {"data": {"tokenizer": "sentencepiece"}},
            'tokenizer = "sentencepiece" needs splits that do not depend on it: set unit = "characters" or "documents"',
        ),
        ({"data": {"tokenizer": "bert-base-uncased"}}, "needs splits that do not depend on it"),
        ({"data": {"unit": "words"}}, 'unit = "words" is unknown; known: tokens, characters, documents'),
        (
            {"data": {"unit": "characters", "corpus": "openwebtext", "tokenizer": "gpt2"}},
            'unit = "characters" is for corpora that are texts: corpus = "openwebtext" is read in tokens',
        ),
        ({"data": {"corpus": "openwebtext"}}, 'corpus = "openwebtext" is read as GPT-2\'s tokens: set tokenizer'),
        (
            {"data": {"tokenizer": "sentencepiece", "unit": "characters", "sentencepiece": {"vocabulary": 9}}},
            "data.sentencepiece.vocabulary = 9 must be from 260 to 65536",
        ),
        (
            {"data": {"task": "arithmetic", "corpus": "none", "tokenizer": "gpt2"}},
            'tokenizer = "gpt2" has no text: task = "arithmetic" has tokens of its own',
        ),
        ({"eval": {"stride": 257}}, "eval.stride = 257 must be from 1 to block_size = 256"),
        (
            {"eval": {"stride": 8}, "data": {"task": "context"}},
            "eval.stride = 8 must be from 1 to block_size = 256, for",
        ),
        ({"data": {"test": [1.0, 2]}}, "data.test must be a pair of token positions [start, stop], not [1.0, 2]"),
    ],
)
def test_bad_settings_are_named(tables, message):
    with pytest.raises(UserError) as error:
        from_dict(tables, "here.toml")
    assert message in str(error.value)
    assert str(error.value).startswith("here.toml: ")
    assert "\n" not in str(error.value)


def test_a_hidden_width_of_any_positive_ratio():
    assert GPTSpec(d_model=64, mlp_ratio=2.5).d_ffs[0] == 160
    assert GPTSpec(d_model=64, mlp_ratio=0.001).d_ffs[0] == 1


def test_eight_thirds_rounded_up_to_64_is_the_rule_of_the_source():
    for d_model in range(64, 1025):
        spec = GPTSpec(d_model=d_model, n_head=1, n_layer=1, mlp_ratio=8 / 3, d_ff_multiple=64)
        assert spec.d_ffs == ((int(8 * d_model / 3) + 63) // 64 * 64,)


def test_a_width_that_is_a_multiple_already_stays():
    assert GPTSpec(n_layer=2, d_model=128, mlp_ratio=(3.0, 3.01), d_ff_multiple=64).d_ffs == (384, 448)


@pytest.mark.parametrize(("d_model", "ratio"), [(48, 4.0), (768, 4.0), (832, 3.0), (66, 2.5), (96, (4.0, 1.5))])
def test_matched_parameters_are_exactly_those_without_a_gate(d_model, ratio):
    layers = len(ratio) if isinstance(ratio, tuple) else 2
    plain = GPTSpec(n_layer=layers, n_head=2, d_model=d_model, block_size=8, mlp_ratio=ratio)
    gated = replace(plain, activation="swiglu", match_params=True)
    check(RunSpec(model=gated), "here")
    sizes = []
    for spec in (plain, gated, replace(gated, match_params=False)):
        with torch.device("meta"):
            sizes.append([sum(p.numel() for p in block.parameters()) for block in GPT(spec, 65).blocks])
    assert sizes[0] == sizes[1]
    assert all(wide > whole for wide, whole in zip(sizes[2], sizes[0], strict=True))


def test_differences_name_paths():
    old = as_dict(RunSpec())
    assert differences(old, as_dict(replace(RunSpec(), model=GPTSpec(mlp_ratio=3.0)))) == ["model.mlp_ratio 4.0 → 3.0"]
    assert differences(old, old) == []


def test_the_test_split_is_optional():
    assert list(DataSpec().splits()) == ["train", "val"]
    held_out = replace(RunSpec(), data=DataSpec(train=(0, 9_000), val=(9_000, 9_500), test=(9_500, 9_999)))
    assert list(check(held_out, "here").data.splits()) == ["train", "val", "test"]
