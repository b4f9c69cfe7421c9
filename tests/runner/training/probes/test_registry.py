from runner.training.probes.names import NAMES
from runner.training.probes.registry import PROBES


def test_the_names_that_are_known_without_torch_are_those_of_the_probes():
    assert tuple(PROBES) == NAMES
