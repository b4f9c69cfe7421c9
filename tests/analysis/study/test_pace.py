import json

import pytest

from analysis.study import arms, pace, wording
from runner.evidence import log
from runner.files import sha256
from tests.analysis import fake


def timed(root, ratio, seconds):
    """A run of which each entry of `seconds` is a stretch of 10 steps."""
    folder = fake.write_run(root, ratio, 0)
    rows = [{"step": 10 * k, "phase": "train", "seconds": s} for k, s in enumerate(seconds, 1)]
    rows.append({"step": 10, "phase": "eval", "seconds": 100.0})
    log.write(folder / "timing.parquet", log.table(rows, log.TIMING))
    manifest = folder / "manifest.json"
    before = log.read_manifest(folder)["files"]["timing.parquet"]
    manifest.write_text(manifest.read_text().replace(before, sha256(folder / "timing.parquet")))
    return log.read_run(folder)


def test_the_first_stretch_and_a_burst_count_for_nothing(tmp_path):
    timed(tmp_path, 1, [50, 2, 2, 9, 2])
    timed(tmp_path, 4, [50, 4, 4, 4, 4])
    sweep = arms.read(tmp_path, "mlp-ratio", "laptop", arms.setting("model.mlp_ratio"))
    run = sweep.kept[1][0]
    assert pace.steps(run).to_dict() == pytest.approx({10: 5.0, 20: 0.2, 30: 0.2, 40: 0.9, 50: 0.2})
    assert pace.each(sweep) == {1: {0: pytest.approx(0.2)}, 4: {0: pytest.approx(0.4)}}
    assert pace.faster(pace.each(sweep), 1, 4).values == pytest.approx((1.0,))
    assert pace.spent(run) == 165
    assert pace.usual(timed(tmp_path, 2, [50])) == 5.0, "the only one counts"


def begun(root, hours):
    """A sweep of one seed for each of `hours`, started then."""
    for seed, hour in enumerate(hours):
        for ratio in (1, 4):
            path = fake.write_run(root, ratio, seed) / "manifest.json"
            started = f"2026-11-{21 + hour // 24:02}T{hour % 24:02}:00:00+00:00"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"started": started}))
    return arms.read(root, "mlp-ratio", "laptop", arms.setting("model.mlp_ratio"))


def test_seconds_of_one_sitting_decide_nothing(tmp_path):
    sweep = begun(tmp_path, [1, 2, 3])
    assert pace.sittings(sweep) == [[0, 1, 2]]
    assert pace.obstacle(sweep).startswith("all 3 repetitions come from 1 sitting, and it takes 3")
    assert pace.taken(sweep) == "Mean, lowest and highest of 3 repetitions in turn, in one sitting: no interval."


def test_a_sitting_counts_once(tmp_path):
    sweep = begun(tmp_path, [40, 1, 2, 20])
    sat = pace.sittings(sweep)
    assert sat == [[1, 2], [3], [0]]
    assert pace.obstacle(sweep) == ""
    assert pace.taken(sweep) == "Mean over 3 sittings with its 95% interval."
    paces = {"a": dict.fromkeys(range(4), 1.0), "b": {0: 2.0, 1: 1.0, 2: 2.0, 3: 3.0}}
    gain = pace.faster(paces, "a", "b", sat)
    assert gain.values == (0.5, 2.0, 1.0)
    assert wording.findable(gain).startswith("3 sittings would find ")
    assert pace.faster(paces, "a", "b", sat[:2]).n == 4
