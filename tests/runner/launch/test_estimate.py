import math
from dataclasses import replace

import pytest

from runner.data import openwebtext
from runner.launch import estimate
from runner.plan import experiment
from runner.plan.placement import Placement


def test_a_few_steps_stand_for_a_run(monkeypatch):
    monkeypatch.setattr(estimate, "BRIEF", 0.0)
    plans = experiment.load("mlp-ratio").plans("smoke")
    found = estimate.measure(plans, {"jobs": 2, "threads": 1, "compile": False, "device": "cpu"})
    assert found.measured
    assert 0.1 < found.seconds < 600


def test_what_ends_in_seconds_is_not_measured(monkeypatch):
    monkeypatch.setattr(estimate, "pace", None)
    plans, here = experiment.load("mlp-ratio").plans("smoke"), {"compile": False, "device": "cpu"}
    found = estimate.measure(plans, here)
    assert not found.measured
    assert 0.1 < found.seconds < estimate.BRIEF
    long = [replace(one, spec=replace(one.spec, train=replace(one.spec.train, steps=4000))) for one in plans]
    with pytest.raises(TypeError):
        estimate.measure(long, here)


def test_what_diverges_at_once_is_measured_too():
    plan = experiment.load("divergence").plans("smoke")[0]
    wild = replace(plan, spec=replace(plan.spec, train=replace(plan.spec.train, learning_rate=1e30, grad_clip=1e30)))
    assert estimate.pace(wild, Placement()).micro_batch > 0


def test_a_rough_estimate_is_measured_on_little(monkeypatch):
    took, seen = {"train": [0.25], "eval": [2.0, 4.0]}, []

    def timed(plan, placement):
        seen.append((plan.spec.train.steps, plan.spec.train.batch_size, placement.threads))
        return took, 5.0

    monkeypatch.setattr(estimate, "_timed", timed)
    plan = experiment.load("mini-gpt").plans("paper")[0]
    rows, few = plan.spec.train.batch_size, estimate.FEW // plan.spec.model.block_size
    assert few < rows
    found = estimate.rough_pace(plan, Placement(threads=2))
    assert seen == [(1, few, 1), (estimate.STEPS, few, 1)]
    once = estimate.pace(plan, Placement(), few)
    assert (found.micro_batch, found.token, found.setup) == (0.25 / 2 * rows / few, once.token / 2, 5.0)
    took["train"] = [2.0]
    del seen[:]
    found = estimate.rough_pace(plan, Placement())
    assert (found.micro_batch, found.setup) == (2.0 * rows / few, 0.0)
    assert seen == [(1, few, 1)], "a long step is not measured again"
    estimate.rough_pace(plan, Placement(device="cuda"))
    assert seen[1:] == [(1, rows, 1), (estimate.STEPS, rows, 1)]


def test_seconds_count_micro_batches_and_evaluations():
    spec = experiment.load("mlp-ratio").plans("smoke")[0].spec
    pace = estimate.Pace(setup=0.0, compile=0.0, micro_batch=2.0, token=0.0)
    assert estimate.seconds(spec, pace) == 2.0 * spec.train.steps
    split = replace(spec, train=replace(spec.train, grad_accumulation=4))
    assert estimate.seconds(split, pace) == 8.0 * spec.train.steps
    tokens = sum(stop - start for name, (start, stop) in spec.data.splits().items() if name != "train")
    tokens += spec.eval.train_tokens
    looked = math.ceil(spec.train.steps / spec.eval.every) + 1
    assert estimate.seconds(spec, replace(pace, micro_batch=0.0, token=1.0)) == pytest.approx(looked * tokens)


def test_splits_of_documents_are_counted_in_tokens():
    spec = experiment.load("mini-gpt").plans("laptop")[0].spec
    spec = replace(
        spec, data=replace(spec.data, unit="documents", train=(0, 1000), val=(1000, 1010), test=(1010, 1040))
    )
    spec = replace(spec, eval=replace(spec.eval, every=spec.train.steps, train_tokens=5_000))
    of_each = [5_000, 10 * estimate.DOCUMENT, 30 * estimate.DOCUMENT]  # of the training split a part
    assert estimate.seconds(spec, estimate.Pace(0.0, 0.0, 0.0, 1.0)) == 2 * sum(of_each)
    short = estimate.shortened(spec, 3)
    assert short.data.test == (1010, 1010 + -(-8 * 256 // estimate.DOCUMENT)), "one batch of 8 windows of 256"


def test_token_shards_that_are_not_here_are_not_loaded(monkeypatch, tmp_path):
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path))
    spec = experiment.load("web-ratio").plans("paper")[0].spec
    assert spec.data.corpus == openwebtext.NAME
    short = estimate.shortened(spec, 3)
    assert short.data.corpus == estimate.STAND_IN
    assert short.train.batch_size == spec.train.batch_size // spec.train.grad_accumulation
    assert short.train.grad_accumulation == 1


def test_the_heaviest_arm_is_measured(monkeypatch):
    plans, measured = experiment.load("mlp-ratio").plans("smoke"), []

    def pace(plan, placement: Placement) -> estimate.Pace:
        measured.append(plan.name)
        return estimate.Pace(0.0, 0.0, 1.0, 0.0)

    monkeypatch.setattr(estimate, "pace", pace)
    found = estimate.measure(plans, {"jobs": 1, "device": "cpu"})
    assert measured == ["r5-s0"]
    assert found.seconds < len(plans) * plans[0].spec.train.steps


def test_the_longest_run_of_a_seed_begins_first():
    plans = [plan for plan in experiment.load("mini-gpt").plans("laptop") if plan.spec.seed < 2]
    assert [plan.name for plan in plans[:3]] == ["small-s0", "medium-s0", "large-s0"]
    names = [plan.name for plan in estimate.longest_first(plans, Placement())]
    assert names == ["large-s0", "medium-s0", "small-s0", "large-s1", "medium-s1", "small-s1"]
    alike = experiment.load("initial-weights").plans("smoke")
    assert estimate.longest_first(alike, Placement()) == alike


def test_a_run_in_float32_is_longer_where_bf16_is_fast():
    plans = [plan for plan in experiment.load("mini-gpt-ablations").plans("laptop") if plan.spec.seed == 0]
    assert [plan.name for plan in plans][-1] == "float32-s0"
    assert estimate.longest_first(plans, Placement(precision="bf16"))[0].name == "float32-s0"
    same = estimate.longest_first(plans, Placement(precision="float32"))
    assert [plan.name for plan in same][-1] == "float32-s0", "all of them are"


def test_each_precision_is_measured(monkeypatch):
    plans = [plan for plan in experiment.load("mini-gpt-ablations").plans("laptop") if plan.spec.seed == 0]
    measured = []

    def pace(plan, placement: Placement) -> estimate.Pace:
        measured.append(plan.name)
        return estimate.Pace(0.0, 0.0, 3.0 if plan.name == "float32-s0" else 1.0, 0.0)

    monkeypatch.setattr(estimate, "pace", pace)
    found = estimate.measure(plans, {"jobs": 2, "device": "cpu", "precision": "bf16"})
    assert measured == ["untied-learned-s0", "float32-s0"]
    assert found.seconds == pytest.approx(4 * plans[0].spec.train.steps, rel=0.05)


def test_the_longest_run_takes_its_time_however_many_are_beside_it(monkeypatch):
    plans = [plan for plan in experiment.load("mini-gpt").plans("laptop") if plan.spec.seed == 0]
    monkeypatch.setattr(estimate, "pace", lambda plan, placement: estimate.Pace(0.0, 0.0, 1.0, 0.0))
    one, two, three = (
        estimate.measure(plans, {"jobs": jobs, "device": "cpu", "compile": True}).seconds for jobs in (1, 2, 3)
    )
    assert two == three == plans[0].spec.train.steps < one < 2 * two  # small and medium fit beside the large one


def test_each_kind_of_model_is_measured(monkeypatch):
    """A WaveNet uses its parameters at every position, an MLP of a context once."""
    plans, measured = experiment.load("convergence").plans("laptop"), []

    def pace(plan, placement: Placement) -> estimate.Pace:
        measured.append(plan.name.partition("-")[0])
        return estimate.Pace(0.0, 0.0, 1.0 if plan.spec.model.kind == "mlp" else 10.0, 0.0)

    monkeypatch.setattr(estimate, "pace", pace)
    found = estimate.measure(plans, {"jobs": 1, "device": "cpu", "compile": True})
    assert sorted(measured) == ["mlp", "wavenet"]
    steps = plans[0].spec.train.steps * len(plans) // 2
    assert found.seconds == pytest.approx(11 * steps)


@pytest.mark.parametrize(("cold", "times"), [(True, 18), (False, 2)])
def test_runs_that_compile_from_nothing_each_pay_for_it(monkeypatch, cold, times):
    plans = experiment.load("first-step").plans("laptop")  # two of the four arms of its nine seeds are compiled
    monkeypatch.setattr(estimate, "pace", lambda plan, placement: estimate.Pace(0.0, 10.0, 0.0, 0.0))
    here = {"jobs": 1, "device": "cpu", "compile": True, "cold": cold}
    assert estimate.measure(plans, here).seconds == 10.0 * times
