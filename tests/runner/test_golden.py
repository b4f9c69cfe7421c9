"""A refactor moves no number."""

import json

import pytest

from runner.plan import experiment
from tests import golden

PINNED = json.loads(golden.PLACE.read_text()) if golden.PLACE.is_file() else {"elsewhere": {}, "losses": {}}


def test_every_experiment_is_pinned():
    missing = sorted(set(experiment.names()) - set(PINNED["losses"]))
    assert not missing, f"run: python -m tests.golden {' '.join(missing)}"
    assert set(PINNED["losses"]) <= set(experiment.names()), "take those that are gone out of tests/golden.json"


@pytest.mark.parametrize("name", experiment.names())
def test_the_first_losses_are_the_pinned_ones(name):
    found, pinned = golden.losses(golden.first(name)), PINNED["losses"][name]
    same_kind = golden.kind() == PINNED["elsewhere"].get(name, {key: PINNED[key] for key in ("machine", "torch")})
    assert found == (pinned if same_kind else pytest.approx(pinned, rel=1e-3))
