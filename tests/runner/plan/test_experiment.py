from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from runner.errors import UserError
from runner.plan import experiment


def test_the_paper_profile_is_the_sources():
    spec = experiment.load("mlp-ratio").plans("paper")[0].spec
    assert (spec.model.n_layer, spec.model.n_head, spec.model.d_model, spec.model.block_size) == (6, 6, 384, 256)
    assert (spec.train.steps, spec.train.batch_size, spec.train.learning_rate) == (5000, 64, 1e-3)
    assert spec.data.train == (0, 1_003_854)
    assert spec.data.val[1] - spec.data.val[0] == 111_540


@pytest.mark.parametrize(("profile", "runs"), [("paper", 15), ("laptop", 25), ("smoke", 10)])
def test_five_ratios_with_paired_seeds(profile, runs):
    plans = experiment.load("mlp-ratio").plans(profile)
    assert len({plan.name for plan in plans}) == len(plans) == runs
    assert [plan.name for plan in plans[:6]] == ["r1-s0", "r2-s0", "r3-s0", "r4-s0", "r5-s0", "r1-s1"]
    arms = {replace(plan.spec, model=replace(plan.spec.model, mlp_ratio=1)) for plan in plans if plan.spec.seed == 0}
    assert len(arms) == 1, "arms of a seed differ in their ratio alone"


def test_laptop_splits_do_not_overlap():
    spans = sorted(experiment.load("mlp-ratio").plans("laptop")[0].spec.data.splits().values())
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_seeds_are_shared_out_over_the_sittings(tmp_path: Path):
    text = (experiment.FOLDER / "ratio" / "mlp-ratio.toml").read_text()
    assert experiment.load("mlp-ratio").sittings("smoke") == [range(2)]
    path = tmp_path / "timed.toml"
    path.write_text(text.replace("seeds = 2", "seeds = 6\nsittings = 3"))
    timed = experiment.load(str(path))
    assert timed.sittings("smoke") == [range(0, 2), range(2, 4), range(4, 6)]
    assert len(timed.plans("smoke")) == 30
    assert replace(timed, limit=3).sittings("smoke") == [range(0, 2), range(2, 3)]


def test_the_first_seeds_are_planned_up_to_a_limit(tmp_path: Path):
    text = (experiment.FOLDER / "ratio" / "mlp-ratio.toml").read_text()
    assert experiment.load("mlp-ratio").first_seeds("smoke") == 2, "all, where the file says nothing"
    path = tmp_path / "some.toml"
    path.write_text(text.replace("seeds = 2", "seeds = 4\nfirst_seeds = 3"))
    loaded = experiment.load(str(path))
    assert loaded.first_seeds("smoke") == 3
    assert len(loaded.plans("smoke")) == 20
    first = replace(loaded, limit=3).plans("smoke")
    assert first == loaded.plans("smoke")[:15]
    assert replace(loaded, limit=9).plans("smoke") == loaded.plans("smoke")


@pytest.mark.parametrize("wrong", ["0", "3", "true", '"two"'])
def test_first_seeds_that_are_none_of_the_seeds(tmp_path: Path, wrong: str):
    text = (experiment.FOLDER / "ratio" / "mlp-ratio.toml").read_text()
    path = tmp_path / "some.toml"
    path.write_text(text.replace("seeds = 2", f"seeds = 2\nfirst_seeds = {wrong}"))
    with pytest.raises(UserError, match=r"first_seeds = .* must be a whole number from 1 to seeds = 2$"):
        experiment.load(str(path)).first_seeds("smoke")


def test_the_first_seeds_of_shipped_experiments():
    for name in experiment.names():
        loaded = experiment.load(name)
        for profile in loaded.profiles:
            assert 1 <= loaded.first_seeds(profile) <= loaded.seeds(profile)


def test_unknown_names_are_told_with_the_known_ones():
    with pytest.raises(UserError, match="unknown experiment 'mlp-ration'; did you mean mlp-ratio"):
        experiment.load("mlp-ration")
    with pytest.raises(UserError, match="unknown profile 'desktop' of mlp-ratio; known: paper, laptop, smoke"):
        experiment.load("mlp-ratio").plans("desktop")


def test_a_sixth_ratio_is_one_number_more(tmp_path: Path):
    text = (experiment.FOLDER / "ratio" / "mlp-ratio.toml").read_text()
    path = tmp_path / "wider.toml"
    path.write_text(text.replace("[1, 2, 3, 4, 5]", "[1, 2, 3, 4, 5, 6]"))
    names = [plan.name for plan in experiment.load(str(path)).plans("smoke")]
    assert len(names) == 12
    assert "r6-s1" in names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "Invalid value"),
        ('title = "t"', "name is missing"),
        ('title = "t"\nname = "n"\nprofiles = {}\naxes = { "model.mlp_ratio" = 4 }', "must be a list of values"),
        (
            'title = "t"\nname = "n"\nprofiles = {}\naxes = { mix = [{ name = "a" }, 3] }',
            "axis mix has arms and values",
        ),
        (
            'title = "t"\nname = "n"\nprofiles = {}\naxes = { "model.mlp_ratio" = [1, 4, 4] }',
            "axis model.mlp_ratio has 4 twice: remove one",
        ),
        ('title = "t"\nname = "n"\naxes = {}\n[profiles."a/b"]', "a profile cannot be called 'a/b'"),
        (
            'title = "t"\nname = "n"\nprofiles = {}\naxes = { "model.mlp_ratio" = [] }',
            "axis model.mlp_ratio is empty: give it at least one value, or remove the axis",
        ),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        experiment.load(str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[axes]", '[axes]\n"model.dropout" = [0, 0.1]', "several runs are called r1-s0"),
        ("r{mlp_ratio:g}-s{seed}", "../{mlp_ratio}-{seed}", "a run cannot be called '../1.0-0'"),
        ("r{mlp_ratio:g}-s{seed}", "r{ratio}", "name = 'r{ratio}' cannot be formatted"),
        (
            "seeds = 2",
            'seeds = 2\naxes = { "model.mlp_ratio" = [] }',
            "axis model.mlp_ratio is empty: give it at least",
        ),
        ("seeds = 2", "seeds = 0", "seeds = 0 must be a whole number of at least 1"),
        ("seeds = 2", 'seeds = "two"', "seeds = 'two' must be a whole number"),
        ("seeds = 2", "seeds = true", "seeds = True must be a whole number"),
        ("seeds = 2", "seeds = 2\nsittings = 3", "sittings = 3 must be .* divides seeds = 2: 1, 2$"),
        ("seeds = 2", "seeds = 2\nsittings = 0", "sittings = 0 must be a whole number"),
        ("seeds = 2", "seeds = 2\naxes = { seed = [1, 2] }", "seed is no axis; seeds = 2 in a profile trains"),
        ("seeds = 2", 'seeds = 2\nstand_in = { corpus = "shakespeare-plays" }', "stand_in needs data.corpus"),
        ("d_model = 32", 'd_model = 32\nkind = ["gpt"]', r"unknown kind of model \['gpt'\]; known: gpt"),
        ("d_model = 32", 'd_model = 32\nconfig = ["d12"]', r"unknown model \['d12'\]; known: "),
        ("[axes]", "baseline = false\n[axes]", "unknown key baseline; did you mean baselines?"),
        (
            "train = [0, 10_000]",
            "train = [0, 1_004_000]",
            "data.train and data.val overlap: train ends at 1004000, val begins at 1003854",
        ),
    ],
)
def test_runs_that_could_not_be_told_apart_are_refused(tmp_path: Path, old, new, message):
    path = tmp_path / "bad.toml"
    path.write_text((experiment.FOLDER / "ratio" / "mlp-ratio.toml").read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        experiment.load(str(path)).plans("smoke")


@pytest.mark.parametrize("name", ["scratch", "mlp-ratio"])
def test_a_file_whose_runs_would_lie_among_others_is_refused(tmp_path: Path, name):
    path = tmp_path / f"{name}.toml"
    path.write_text((experiment.FOLDER / "ratio" / "mlp-ratio.toml").read_text())
    with pytest.raises(UserError, match=f"among those of '{name}', which is another experiment's name"):
        experiment.load(str(path))


@pytest.mark.parametrize("name", ["*", "", "/tmp/x", "mlp-rati?"])
def test_a_name_is_no_pattern(name):
    with pytest.raises(UserError, match="unknown experiment"):
        experiment.load(name)


def test_variants_that_no_experiment_plans_are_kept_apart():
    loaded = experiment.load("mlp-ratio")
    planned = loaded.variant("smoke", {"model.mlp_ratio": 3}, 1)
    assert (planned.experiment, planned.name) == ("mlp-ratio", "r3-s1")
    own = loaded.variant("smoke", {"model.mlp_ratio": 2.5, "train.steps": 7}, 0)
    assert (own.experiment, own.name) == ("scratch", "mlp-ratio-r2.5-s0-steps=7")
    assert own.spec.train.steps == 7


@pytest.mark.parametrize("name", experiment.names())
def test_a_variant_without_settings_is_a_planned_run(name):
    loaded = experiment.load(name)
    for profile in loaded.profiles:
        assert loaded.variant(profile, {}, 0).experiment == name, profile


def test_of_a_setting_that_is_swept_a_variant_has_its_default():
    loaded = experiment.load("mlp-ratio")
    assert loaded.variant("laptop", {}, 0).name == "r4-s0"
    assert experiment.load("step-counts").variant("laptop", {}, 0).spec.train.steps == 250
    assert loaded.variant("smoke", {"model.mlp_expansion_factor": 3}, 0).name == "r3-s0"


def test_of_a_setting_that_is_swept_a_variant_has_what_its_profile_says(tmp_path):
    path = tmp_path / "two.toml"
    text = (experiment.FOLDER / "ratio" / "mlp-ratio.toml").read_text()
    path.write_text(text.replace("[profiles.smoke.model]", "[profiles.smoke.model]\nmlp_ratio = 2"))
    assert experiment.load(str(path)).variant("smoke", {}, 0).name == "r2-s0"


def test_a_name_that_is_too_long_for_a_folder_is_cut():
    loaded = experiment.load("mlp-ratio")
    settings = {
        f"train.{name}": 0.123456789 for name in ("learning_rate", "min_learning_rate", "weight_decay", "grad_clip")
    }
    long = [
        loaded.variant("smoke", settings | {"train.beta1": beta, "eval.every": 12345}, 0).name for beta in (0.5, 0.6)
    ]
    assert len(set(long)) == 2
    assert {len(name) for name in long} == {experiment.LONGEST}


def test_an_experiment_is_called_as_a_folder_can_be(tmp_path):
    path = tmp_path / "a b.toml"
    path.write_text('title = "One"\nname = "s{seed}"\n[axes]\n[profiles.smoke]\n')
    with pytest.raises(UserError, match="an experiment cannot be called 'a b'"):
        experiment.load(str(path))


def test_seed_in_place_of_seeds_is_named(tmp_path):
    path = tmp_path / "one.toml"
    path.write_text('title = "One"\nname = "s{seed}"\naxes = {}\n[profiles.smoke]\nseed = 2\n')
    with pytest.raises(
        UserError, match=r"one\.toml \[profiles\.smoke\]: seed is no setting; seeds = 2 trains the seeds 0 and 1"
    ):
        experiment.load(str(path)).plans("smoke")


@pytest.mark.parametrize("key", ["model", "train", "placement"])
def test_what_has_to_be_a_table_is_said(tmp_path: Path, key):
    path = tmp_path / "flat.toml"
    path.write_text(f'title = "t"\nname = "s{{seed}}"\naxes = {{}}\n[profiles.smoke]\n{key} = 4\n')
    loaded = experiment.load(str(path))
    with pytest.raises(UserError, match=rf"flat.toml \[profiles.smoke\]: {key} must be a table, not 4"):
        loaded.placement("smoke") if key == "placement" else loaded.plans("smoke")


def test_a_profile_has_to_be_a_table(tmp_path: Path):
    path = tmp_path / "flat.toml"
    path.write_text('title = "t"\nname = "s{seed}"\naxes = {}\nprofiles = { smoke = 3 }\n')
    with pytest.raises(UserError, match=r"flat.toml \[profiles\]: smoke must be a table, not 3"):
        experiment.load(str(path)).plans("smoke")


def test_two_files_of_one_name_are_refused(tmp_path):
    for subject in ("one", "another"):
        (tmp_path / subject).mkdir()
        (tmp_path / subject / "twice.toml").write_text("")
    with pytest.raises(UserError, match="are experiments of one name: rename one of them"):
        experiment.load("twice", tmp_path)
