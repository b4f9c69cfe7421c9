import math

import numpy as np
import torch

from runner.evidence.log import bin_edges
from runner.training.probes.histogram import shares


def test_the_shares_are_those_between_the_edges():
    random = np.random.default_rng(0)
    values = np.exp2(random.uniform(-30, 12, 5000)) * random.choice([-1, 1], 5000)
    counted, _ = np.histogram(values, bins=[-1e99, *bin_edges()[1:-1], 1e99])
    found = shares([torch.tensor(values[:1000]), torch.tensor(values[1000:]).view(40, 100)])
    assert found.tolist() == (counted / 5000).tolist()
    assert found[0] > 0, "what is beyond the last edge is in the last bin"


def test_zeros_and_powers_of_two_lie_where_the_edges_say():
    edges = bin_edges()
    for value in (0.0, -0.0, 2.0**-25, 2.0**-24, 0.5, 128.0, 1e30):
        (index,) = shares([torch.tensor([value])]).nonzero().flatten().tolist()
        assert edges[index] <= value < edges[index + 1] < math.inf or (index == 64 and value >= 128)
    (index,) = shares([torch.tensor([-0.5], dtype=torch.bfloat16)]).nonzero().flatten().tolist()
    assert (edges[index], edges[index + 1]) == (-1.0, -0.5)
