import pytest

from analysis.build import evidence
from runner.errors import UserError
from tests.analysis import fake


def test_runs_come_in_natural_order_and_only_ended_ones(tmp_path):
    for ratio in (10, 2, 0.5):
        fake.write_run(tmp_path, ratio, 0)
    fake.write_run(tmp_path, 3, 0, status="running")
    assert [run.name for run in evidence.runs(tmp_path, "mlp-ratio", "laptop")] == ["r0.5-s0", "r2-s0", "r10-s0"]


def test_profiles_that_there_are_come_the_most_telling_first(tmp_path):
    for profile in ("smoke", "laptop"):
        fake.write_run(tmp_path, 1, 0, profile)
    assert evidence.choose_profiles(tmp_path, ["mlp-ratio"], None, "logs") == ["laptop", "smoke"]
    assert evidence.choose_profiles(tmp_path, ["mlp-ratio"], "smoke", "logs") == ["smoke"]
    with pytest.raises(UserError, match="no logs of profile 'paper' of mlp-ratio under logs; there are: laptop, smoke"):
        evidence.choose_profiles(tmp_path, ["mlp-ratio"], "paper", "logs")
    with pytest.raises(UserError, match="unknown experiment 'other'; known: activations, "):
        evidence.choose_profiles(tmp_path, ["other"], None, "logs")


def test_without_experiments_one_profile_is_as_good_as_another(tmp_path):
    assert evidence.choose_profiles(tmp_path, [], None, "logs") == ["laptop"]
    assert evidence.choose_profiles(tmp_path, [], "smoke", "logs") == ["smoke"]


def test_timing_decides_nothing_and_baselines_something(tmp_path):
    folder = fake.write_run(tmp_path, 1, 0)
    before = evidence.fingerprint(tmp_path, "mlp-ratio", "laptop")
    (folder / "timing.parquet").write_bytes(b"other")
    assert evidence.fingerprint(tmp_path, "mlp-ratio", "laptop") == before
    (folder.parent / "baselines.json").write_text("{}")
    assert evidence.fingerprint(tmp_path, "mlp-ratio", "laptop").keys() == {"r1-s0", "baselines.json"}
    (folder.parent / "baselines.json").unlink()
    fake.write_run(tmp_path, 1, 0, shift=0.1)
    assert evidence.fingerprint(tmp_path, "mlp-ratio", "laptop") != before
