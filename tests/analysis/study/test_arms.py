import json
import math
import shutil

import pytest

from analysis.study import arms
from runner.errors import UserError
from runner.plan.spec import identity
from tests.analysis import fake

RATIO = arms.setting("model.mlp_ratio")


def read(root, **more):
    return arms.read(root, "mlp-ratio", "laptop", RATIO, **more)


def test_arms_are_compared_on_the_seeds_that_all_have(tmp_path):
    fake.write_logs(tmp_path, seeds=3, ratios=(1, 2, 4))
    fake.write_run(tmp_path, 4, 3)
    sweep = read(tmp_path)
    assert (list(sweep), sweep.seeds, sweep.count) == ([1, 2, 4], [0, 1, 2], "3 seeds")
    assert (len(sweep.runs), len(sweep.whole), sweep.dropped, sweep.lost) == (10, 10, [3], [3, 5])
    assert sweep.omitted == " Seeds left out, as not every arm finished them: 3."
    assert sweep.parameters[2] == 60_000 + 2 * 16_384
    assert set(sweep.rows.seed) == {0, 1, 2}


def test_a_diverged_run_is_counted_and_left_out_unless_it_is_asked_for(tmp_path):
    fake.write_logs(tmp_path, seeds=2, ratios=(1, 4))
    fake.write_run(tmp_path, 4, 1, status="diverged")
    assert read(tmp_path).seeds == [0]
    assert read(tmp_path).diverged == ["r4-s1"]
    assert read(tmp_path).omitted.startswith(" Their loss was not finite: r4-s1.")
    assert read(tmp_path, diverged=True).seeds == [0, 1]


def test_runs_that_are_not_planned_are_not_read(tmp_path):
    fake.write_logs(tmp_path, seeds=1, ratios=(1, 4, 9))
    assert list(read(tmp_path)) == [1, 4]


def test_runs_that_are_planned_otherwise_by_now_are_not_read(tmp_path):
    fake.write_logs(tmp_path, seeds=2, ratios=(1, 4))
    path = tmp_path / "mlp-ratio/laptop/r4-s1/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["spec"]["train"]["steps"] += 1
    path.write_text(json.dumps(manifest | {"identity": identity(manifest["spec"], fake.SHA)}))
    assert [run.name for run in read(tmp_path).runs] == ["r1-s0", "r1-s1", "r4-s0"]
    assert read(tmp_path).seeds == [0]
    for ratio, seed in ((1, 0), (1, 1), (4, 0)):
        shutil.rmtree(tmp_path / f"mlp-ratio/laptop/r{ratio}-s{seed}")
    with pytest.raises(arms.Incomplete, match="with the settings that its file has now, and 1 with other ones"):
        read(tmp_path)


def test_two_runs_of_one_arm_and_seed_are_refused(tmp_path):
    fake.write_logs(tmp_path, seeds=2, ratios=(1, 4))
    with pytest.raises(UserError, match="r1-s0 and r4-s0 are the same arm and seed"):
        arms.read(tmp_path, "mlp-ratio", "laptop", arms.setting("model.n_layer"))


def test_curves_ends_and_losses(tmp_path):
    fake.write_logs(tmp_path, seeds=2, ratios=(1, 4))
    sweep = read(tmp_path)
    curve = sweep.curves("val")[4]
    assert list(curve) == [0, 1]
    assert curve.loc[50, 1] == fake.loss("val", 50, 4, 1) == sweep.losses(4, 1).loc[50]
    assert sweep.ends()[4][0] == fake.loss("val", 1500, 4, 0)
    assert sweep.ends(bits=True)[4][0] == pytest.approx(fake.loss("val", 1500, 4, 0) / math.log(2) / 2)
    assert arms.difference(sweep.ends(), 4, 1).values[1] == sweep.ends()[4][1] - sweep.ends()[1][1]


def test_too_little_evidence_is_said(tmp_path):
    with pytest.raises(arms.Incomplete, match="no run of mlp-ratio in profile laptop has finished"):
        read(tmp_path)
    fake.write_run(tmp_path, 1, 0)
    fake.write_run(tmp_path, 4, 1)
    with pytest.raises(arms.Incomplete, match="no seed has ended in every arm"):
        read(tmp_path)
    with pytest.raises(arms.Incomplete, match=r"nothing has ended of 2\.0, 3\.0, 5\.0"):
        read(tmp_path, all_planned=True)


def test_keys_and_their_order(tmp_path):
    fake.write_logs(tmp_path, seeds=1, ratios=(1, 4))
    named = arms.read(tmp_path, "mlp-ratio", "laptop", order=["r4"])
    assert list(named) == ["r4", "r1"]
    assert arms.setting("model.activation", "gelu")("r1-s0", named.spec) == "gelu"
    assert arms.by_name("d12-norms-s3", {}) == "d12-norms"
    wide = arms.read(tmp_path, "mlp-ratio", "laptop", lambda name, spec: name[:2] if "r4" in name else None)
    assert (list(wide), [run.name for run in wide.runs], wide.lost) == (["r4"], ["r4-s0"], [])


def test_what_pairing_is_worth():
    """Two arms that move together by seed differ by little; by two that do not, nothing is gained."""
    values = {"a": [1.0, 2.0, 3.0, 4.0], "b": [1.1, 2.0, 3.1, 4.0], "d": [2.0, 3.0, 4.0, 5.0]}
    values |= {"c": [1.0, -1.0, -1.0, 1.0], "e": [1.0, -1.0, 1.0, -1.0]}
    assert arms.pairing(values, "a", "b") > 10
    assert arms.pairing(values, "c", "e") == pytest.approx(1.0)
    assert arms.pairing(values, "a", "d") is None
    assert arms.pairing({"a": [1.0], "b": [2.0]}, "a", "b") is None
