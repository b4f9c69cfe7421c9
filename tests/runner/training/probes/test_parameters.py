import pytest
import torch

from runner.evidence.log import Seen
from runner.plan.spec import EvalSpec
from runner.training.probes import parameters, registry
from runner.training.probes.names import OBSERVING
from runner.training.probes.probe import Change, Updated, Watching, by_layer


def test_ratios_are_of_a_layers_matrices():
    matrix = Change(torch.full((2, 2), 4.0), torch.full((2, 2), 3.0), torch.full((2, 2), 3.5))
    vector = Change(torch.full((4,), 1.0), torch.full((4,), 4.0), torch.full((4,), 9.0))
    assert parameters.update_ratio([matrix, vector]).item() == pytest.approx(0.125)
    assert parameters.update_ratio([vector]).item() == pytest.approx(8), "unless it has nothing else"
    assert parameters.gradient_norm([matrix, vector]).item() == pytest.approx(10)


def test_parameters_belong_to_the_layer_that_their_name_counts():
    names = ["token", "a.blocks.0.up", "a.blocks.0.mlp.3.w", "a.blocks.2.up", "b.blocks.0.up", "norm"]
    assert by_layer(names) == {
        None: ["token", "norm"],
        0: ["a.blocks.0.up", "a.blocks.0.mlp.3.w"],
        1: ["a.blocks.2.up"],
        2: ["b.blocks.0.up"],
    }


def test_a_step_is_watched_before_and_after():
    probes = [
        Updated("moved", lambda changes: sum((c.after - c.before).sum() for c in changes)),
        Updated("gradients", lambda changes: torch.cat([c.gradient.flatten() for c in changes])),
    ]
    found, watch = {}, Watching(probes)
    for name in ("token", "blocks.0.w", "unused"):
        found[name] = torch.nn.Parameter(torch.zeros(2))
        found[name].grad = None if name == "unused" else torch.tensor([1.0, 2.0])
    watch.before(found)
    with torch.no_grad():
        for parameter in found.values():
            parameter += 0.5
            parameter.grad = None
    watch.after(found)
    assert watch.found["moved"] == [Seen(None, None, 1.0), Seen(0, None, 1.0)]
    assert watch.found["gradients"] == [Seen(layer, i, i + 1.0) for layer in (None, 0) for i in (0, 1)]


def test_all_are_all_and_a_name_is_taken_once():
    assert [p.name for p in registry.named(EvalSpec(probes=("all", "dead_units")))] == list(OBSERVING)
    names = [p.name for p in registry.named(EvalSpec(probes=("dead_units", "update_ratio", "dead_units")))]
    assert names == ["dead_units", "update_ratio"]
    assert registry.named(EvalSpec()) == []
