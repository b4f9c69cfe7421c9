import math

import pytest

from runner.errors import UserError
from runner.plan import experiment, rules
from tests.conftest import RULED


def final(losses: dict[str, float | None]):
    """The last loss by a run's name."""
    return lambda plan, split: losses[plan.name]


def test_it_waits_for_results(ruled):
    losses = {"relu2-s0": 2.0, "silu-s0": 1.0, "relu2-s1": 2.0, "silu-s1": None}
    assert rules.decide(ruled, "smoke", final(losses)).more is None


def test_one_pair_that_is_lost_calls_the_others_in(ruled):
    losses = {"relu2-s0": 2.0, "silu-s0": 1.0, "relu2-s1": 2.0, "silu-s1": math.inf}
    decision = rules.decide(ruled, "smoke", final(losses))
    assert [plan.name for plan in decision.more] == ["gelu-s0", "gelu-s1"]
    assert "in 1 of 2 pairs" in decision.reason
    losses["silu-s1"] = 1.0
    assert rules.decide(ruled, "smoke", final(losses)).more == []


def test_others_may_run_outside_the_rule(tmp_path):
    path = tmp_path / "rule.toml"
    path.write_text(RULED.replace('split = "val"\n', 'split = "val"\nanyway = true\n'))
    losses = {"relu2-s0": 2.0, "silu-s0": 1.0, "relu2-s1": 2.0, "silu-s1": 1.0}
    decision = rules.decide(experiment.load(str(path)), "smoke", final(losses))
    assert [plan.name for plan in decision.more] == ["gelu-s0", "gelu-s1"]
    assert decision.reason.endswith("it wins, and gelu run all the same, outside the rule")
    losses["silu-s1"] = 3.0
    assert "outside" not in rules.decide(experiment.load(str(path)), "smoke", final(losses)).reason
    path.write_text(path.read_text().replace("anyway = true", 'anyway = "yes"'))
    with pytest.raises(UserError, match="anyway must be true or false"):
        rules.decide(experiment.load(str(path)), "smoke", final(losses))


def test_an_experiment_without_a_rule_has_no_decision():
    assert rules.decide(experiment.load("mlp-ratio"), "smoke", final({})) is None


def test_a_rule_that_lacks_a_key_is_named(tmp_path):
    path = tmp_path / "rule.toml"
    path.write_text(RULED.replace('split = "val"\n', ""))
    with pytest.raises(UserError, match="missing key split"):
        rules.decide(experiment.load(str(path)), "smoke", final({}))


@pytest.mark.parametrize(
    ("arm", "message"), [('"sillu"', "sillu"), ("{ model.n_head = 1 }", "an arm of axis model.activation has no name")]
)
def test_a_further_arm_that_cannot_be_is_said_before_any_run_has_ended(tmp_path, arm, message):
    path = tmp_path / "rule.toml"
    path.write_text(RULED.replace('if_it_loses = ["gelu"]', f"if_it_loses = [{arm}]"))
    waiting = dict.fromkeys(("relu2-s0", "silu-s0", "relu2-s1", "silu-s1"))
    with pytest.raises(UserError, match=message):
        rules.decide(experiment.load(str(path)), "smoke", final(waiting))
