"""Tasks other than windows, trained through the loop."""

import json
import math
from dataclasses import replace
from pathlib import Path

from runner.data.spec import DataSpec
from runner.data.tasks.arithmetic import ArithmeticSpec
from runner.evidence import log
from runner.plan.plan import Plan
from runner.plan.spec import check
from tests.conftest import train_here


def test_modular_arithmetic_is_trained_and_evaluated(tiny: Plan, tmp_path: Path):
    data = DataSpec("none", (0, 100), (100, 169), task="arithmetic", arithmetic=ArithmeticSpec(2, 13))
    spec = replace(tiny.spec, data=data, model=replace(tiny.spec.model, block_size=4))
    plan = replace(tiny, spec=check(spec, "here"))
    assert train_here(plan, tmp_path) == "finished"
    folder = plan.folder(tmp_path)
    rows = log.read(folder / "metrics.parquet", log.METRICS).to_pylist()
    first = next(row for row in rows if row["split"] == "val")
    assert abs(first["loss"] - math.log(16)) < 0.5, "nats an answer, not nats a token"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["corpus"]["vocabulary"] == 16
    assert manifest["corpus"]["bytes_per_token"] == {}, "it is no text"
    assert not (folder / "samples.txt").exists(), "its answers are no next tokens"
