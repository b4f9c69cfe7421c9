import json
import math

import pandas as pd
import pytest

from analysis.study import arms, baselines
from analysis.study.results import Results
from runner.errors import UserError
from runner.evidence import baselines as kept
from runner.evidence.baselines import Baseline, Counted
from tests.analysis import fake

UNIFORM = Baseline("uniform", 0, 0, [], {"val": 4.0, "test": 4.0})
BEST = Baseline("6-gram", 6, 1234, [1.0] * 6, {"val": 2.2, "test": 2.1})
FEWER = Baseline("6-gram", 6, 321, [1.0] * 6, {"val": 2.5, "test": 2.4})


def sweep_of(root):
    return arms.read(root, "mlp-ratio", "laptop", arms.setting("model.mlp_ratio"))


@pytest.fixture
def sweep(tmp_path):
    fake.write_logs(tmp_path, seeds=2, ratios=(1, 4))
    return sweep_of(tmp_path)


def count(root, sweep, read=None, sha=fake.SHA):
    one = Counted(
        sweep.spec["data"], {"name": "tiny-shakespeare", "sha256": sha}, 1, 65, 40_000, "val", "", [UNIFORM, BEST]
    )  # fmt: skip
    one.read.update(read or {})
    kept.write(root / "mlp-ratio" / "laptop", {kept.key(one.data, sha, 1): one})
    return baselines.read(root, sweep_of(root))


FRAME = pd.DataFrame([{"r": "1", "parameters": "7", "loss": "3.000", "onset": "5"}])


def test_where_nothing_is_counted_no_trace_is_left(tmp_path, sweep):
    nothing = baselines.read(tmp_path, sweep)
    assert (nothing.levels(), nothing.note, nothing.reported) == ({}, "", "val")
    assert nothing.below(FRAME, "loss") is FRAME
    results = Results(tmp_path / "out")
    nothing.report(results, [1.0, 2.0], "nats")
    assert results.as_dict()["numbers"] == {}
    assert count(tmp_path, sweep, sha="ab" * 32).levels() == {}  # those of another text


def test_levels_and_rows_are_of_the_validation_split(tmp_path, sweep):
    counts = count(tmp_path, sweep)
    assert counts.levels() == {"uniform": 4.0, "6-gram": 2.2}
    assert counts.levels("test", bits=True)["6-gram"] == pytest.approx(2.1 / math.log(2))  # a byte a token
    assert counts.levels("val", bits=True)["6-gram"] == pytest.approx(2.2 / math.log(2) / 2)  # two
    assert counts.below(FRAME, "loss").to_numpy().tolist() == [
        ["1", "7", "3.000", "5"],
        ["uniform", "0", "4.000", "–"],
        ["6-gram", "1,234", "2.200", "–"],
    ]
    unsized = counts.below(FRAME.drop(columns="parameters"), "loss", digits=1)
    assert unsized.to_numpy().tolist()[-1] == ["6-gram, 1,234 counts", "2.2", "–"]
    assert "of the training split, 40,000 characters; their parameters" in counts.note


@pytest.mark.parametrize(
    ("best", "side", "gap"), [([2.301, 2.299], 1, 0.2), ([2.001, 1.999], -1, 0.1), ([2.0, 2.2], 0, 0)]
)
def test_numbers_are_of_the_test_split_whichever_is_lower(tmp_path, sweep, best, side, gap):
    results = Results(tmp_path / "out")
    count(tmp_path, sweep).report(results, best, "nats", prefix="web-")
    found = {name: entry["value"] for name, entry in results.as_dict()["numbers"].items()}
    assert found["web-baseline-6-gram"] == 2.1
    assert found["web-baseline-side"] == side
    assert found["web-baseline-gap"] == pytest.approx(gap)
    assert (found["web-baseline-on-test"], found["web-baseline-counts"]) == (1, 1234)
    assert "web-baseline-read" not in found
    assert json.loads(results.save().read_text())["numbers"]["web-baseline-tokens"]["unit"] == "characters"


def test_as_much_text_as_a_run_reads(tmp_path, sweep):
    many = kept.tokens_read(sweep.spec)
    assert many == 1000 * 32 * 64
    counts = count(tmp_path, sweep, {str(many): FEWER})
    name, parameters, loss, _ = counts.below(FRAME, "loss").to_numpy().tolist()[-1]
    assert (name, parameters, loss) == ("6-gram, first 2,048,000 characters", "321", "2.500")
    assert "or of its first 2,048,000, as many as a run reads" in counts.note
    results = Results(tmp_path / "out")
    counts.report(results, [2.0, 2.0], "nats")
    assert results.as_dict()["numbers"]["baseline-read"]["value"] == 2.4


def test_a_damaged_file_is_a_line(tmp_path, sweep):
    count(tmp_path, sweep)
    path = tmp_path / "mlp-ratio" / "laptop" / "baselines.json"
    path.write_text(path.read_text().replace("2.2", "2.3"))
    with pytest.raises(UserError, match="does not match its checksum"):
        baselines.read(tmp_path, sweep)
