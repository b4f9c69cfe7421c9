import matplotlib.pyplot as plt
import numpy as np
import pytest

from analysis.study import style
from analysis.study.law import Law, exponents
from analysis.study.stats import estimate


def test_the_exponent_is_that_of_each_seed():
    at = [1.0, 10.0, 100.0]
    found = exponents(at, [[4, 3], [4 * 10**-0.1, 3 * 10**-0.3], [4 * 100**-0.1, 3 * 100**-0.3]])
    assert found.values == pytest.approx((0.1, 0.3))
    assert found.n == 2


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_law_draws_and_tells_what_it_shows(seeds):
    at, values = [1.05, 3.4, 7.07], np.array([[3.9] * seeds, [3.4] * seeds, [3.2] * seeds])
    points = [estimate(one + 0.01 * np.arange(seeds)) for one in values]
    panel = Law("Loss", "size", "loss", at=at, lines={"ours": points}, falls={"ours": exponents(at, values)})
    with style.scheme("dark"):
        figure, ax = plt.subplots()
        panel(ax)
        figure.canvas.draw()
        plt.close(figure)
    shown = panel.values()["series"]
    assert [one["name"].partition(",")[0] for one in shown] == ["ours", "ours"]
    assert "exponent 0.10" in shown[1]["name"]
    assert ("low" in shown[0]) == (seeds > 1)
