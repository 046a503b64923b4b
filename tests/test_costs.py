import pytest

from vidskim.costs import cost_of, paper_rows
from vidskim.errors import UsageError

# What torchvision publishes with its weights: 1e9 multiply-adds (to the digits given), parameters.
TORCHVISION = {
    "r3d_18": (40.697, 33_371_472),
    "mc3_18": (43.343, 11_695_440),
    "r2plus1d_18": (40.519, 31_505_325),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_cost_of_networks_that_torchvision_has(name):
    counted = cost_of(name)
    assert (round(counted.macs / 1e9, 3), counted.params) == TORCHVISION[name]
    assert counted.input_shape == (1, 3, 16, 112, 112)


def test_an_unknown_network_is_refused():
    with pytest.raises(UsageError, match="did you mean 'r3d_18'"):
        cost_of("r3d_81")


def test_the_papers_figures_beside_ours():
    rows = paper_rows()
    for row in rows:
        error = abs(row.ours - row.published) / row.published
        limits = {"reproduced": (0, 0.02), "close": (0.02, 0.05), "not reproducible": (0.05, 9)}
        low, high = limits[row.verdict]
        assert low - 1e-3 <= error <= high + 1e-3, row
    zoo = [row for row in rows if row.table.startswith("VMZ")]
    assert len(zoo) == 8
    assert {row.verdict for row in zoo} == {"reproduced"}
    assert all(row.note for row in rows if row.verdict == "not reproducible")
