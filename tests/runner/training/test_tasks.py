"""Tasks other than windows, trained through the loop."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from runner.data.spec import DataSpec
from runner.data.tasks.arithmetic import ArithmeticSpec
from runner.evidence import log
from runner.plan.plan import Plan
from runner.plan.spec import check
from runner.training.probes.prediction import at_positions, averaged, correct
from tests.conftest import train_here


def test_modular_arithmetic_is_trained_and_evaluated(tiny: Plan, tmp_path: Path):
    data = DataSpec("none", (0, 100), (100, 169), task="arithmetic", arithmetic=ArithmeticSpec(2, 13))
    asked = replace(tiny.spec.eval, probes=("accuracy",))
    spec = replace(tiny.spec, data=data, model=replace(tiny.spec.model, block_size=4), eval=asked)
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
    seen = log.read(folder / "probes.parquet", log.PROBES).to_pylist()
    shares = [row["value"] * 2 * 69 for row in seen if row["split"] == "val"]
    assert shares == pytest.approx(list(map(round, shares)), abs=1e-3), "whole answers of 69 pairs and two functions"
    assert max(shares) <= 2 * 69


def test_accuracy_is_the_weight_of_the_right_answers():
    logits = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    targets, weights = torch.tensor([1, 1, 1, 0]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert float(correct(logits, targets, weights, 2)) == pytest.approx(0.1 + 0.3 + 0.4)


def test_the_loss_at_a_position_is_the_weighted_mean_over_sequences():
    """Two batches of two sequences of two positions; the second position of one sequence is not predicted."""
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.8, 0.2], [0.1, 0.9]]))
    targets, weights = torch.tensor([0, 0, 1, 1]), torch.tensor([0.1, 0.1, 0.3, 0.0])
    sums = at_positions(logits, targets, weights, 2)
    found = averaged(torch.stack([sums, sums])[:, None])
    first = -(0.1 * math.log(0.5) + 0.3 * math.log(0.2)) / 0.4
    assert found.tolist() == [pytest.approx([first, -math.log(0.25)])]
