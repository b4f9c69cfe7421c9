from dataclasses import replace

import pytest

from runner.errors import UserError
from runner.spec import DataSpec, ModelSpec, RunSpec, as_dict, check, differences, from_dict, identity


def test_the_identity_is_pinned():
    """Published evidence is named by it: a change of the hash orphans every log."""
    assert identity(as_dict(RunSpec()), "0" * 64) == "8aa04def3b85"


def test_the_identity_follows_every_setting_and_the_corpus():
    spec = RunSpec()
    known = {identity(as_dict(spec), "0" * 64)}
    for other in (
        replace(spec, seed=1),
        replace(spec, model=ModelSpec(mlp_ratio=3)),
        replace(spec, data=DataSpec(train=(0, 9999))),
    ):
        known.add(identity(as_dict(other), "0" * 64))
    known.add(identity(as_dict(spec), "1" * 64))
    assert len(known) == 5


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
        ({"eval": {"mode": "guess"}}, 'eval.mode = "guess" must be "exact" or "sampled"'),
        ({"seed": -1}, "seed = -1 must be at least 0"),
    ],
)
def test_bad_settings_are_named(tables, message):
    with pytest.raises(UserError) as error:
        from_dict(tables, "here.toml")
    assert message in str(error.value)
    assert str(error.value).startswith("here.toml: ")
    assert "\n" not in str(error.value)


def test_a_hidden_width_of_any_positive_ratio():
    assert ModelSpec(d_model=64, mlp_ratio=2.5).d_ffs[0] == 160
    assert ModelSpec(d_model=64, mlp_ratio=0.001).d_ffs[0] == 1


def test_differences_name_paths():
    old = as_dict(RunSpec())
    assert differences(old, as_dict(replace(RunSpec(), model=ModelSpec(mlp_ratio=3.0)))) == [
        "model.mlp_ratio 4.0 → 3.0"
    ]
    assert differences(old, old) == []


def test_the_test_split_is_optional():
    assert list(DataSpec().splits()) == ["train", "val"]
    assert list(check(replace(RunSpec(), data=DataSpec(test=(0, 999))), "here").data.splits()) == [
        "train",
        "val",
        "test",
    ]
