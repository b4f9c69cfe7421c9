import torch

from benchmarks import grid
from benchmarks.reference import Answers
from benchmarks.stepper import CPU
from runner.data import dataset
from runner.plan import experiment
from runner.training.batches import Batches
from runner.training.group import Group

PLANS = experiment.load("tasks").plans("smoke")


def test_the_stacked_loss_is_that_of_the_plain_model():
    plan = PLANS[0]
    tokens = dataset.load(plan.spec.data)
    batch = Batches(plan.spec, tokens, CPU, Group()).train(0)
    torch.manual_seed(plan.spec.seed)
    model = Answers(plan.spec.model, tokens.vocabulary + 3)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    named = {name.removesuffix(".weight").split(".")[-1]: t for name, t in model.state_dict().items()}
    allowed_V = (torch.arange(tokens.vocabulary + 3) < tokens.vocabulary).float().log()
    found = grid.answer_loss(named, batch.inputs_BT, batch.targets_BU[:, -1], allowed_V, plan.spec.model.n_head)
    logits_BV = model.head(model.stream(batch.inputs_BT)[:, -1]) + allowed_V
    wanted = torch.nn.functional.cross_entropy(logits_BV, batch.targets_BU[:, -1])
    assert abs(found.item() - wanted.item()) < 0.03, "but for bfloat16"
    assert set(grid.weights(plan, 9)) <= set(named)


def test_every_run_is_in_one_job():
    for way in grid.WAYS:
        names = [plan.name for job in grid.jobs(PLANS, way) for plan in job]
        assert sorted(names) == sorted(plan.name for plan in PLANS)
        assert all(len({plan.spec.model.mlp_ratio for plan in job}) == 1 for job in grid.jobs(PLANS, way))
