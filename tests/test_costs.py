import pytest

from vidskim.costs import cost_of, read_shape
from vidskim.errors import UsageError
from vidskim.paper_costs import paper_rows

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


@pytest.mark.parametrize(
    ("name", "text", "macs"),
    [
        ("slow_r50_8x8", "3x8x256x256", 54_518_382_592),
        ("resnet_18", "2x14x14", 15_454_336),
        ("l3_audio", "1X40X400", 2 * 1_626_624_000 + 512 * 400),
    ],
)
def test_another_input(name, text, macs):
    counted = cost_of(name, input_shape=read_shape(text))
    assert counted.macs == macs
    assert counted.input_shape == (1, *read_shape(text))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r3d_18", f"3x{10**20}x1x1", "written like"),
        ("r3d_18", f"3x{'9' * 5000}x1x1", "written like"),
        ("r3d_18", "3x112x112", "takes channels x frames x height x width, got 3x112x112"),
        ("resnet_18", "3x8x112x112", "takes channels x height x width, got 3x8x112x112"),
        ("r3d_18", "2x16x112x112", "does not take an input of shape"),
        ("r3d_18", "3x0x112x112", "written like 3x32x256x256, got '3x0x112x112'"),
        ("r3d_18", "3x", "written like"),
        ("r3d_18", "", "written like"),
        ("r3d_18", "-3x16x112x112", "written like"),
    ],
)
def test_an_impossible_input_is_refused(name, text, message):
    with pytest.raises(UsageError, match=message):
        cost_of(name, input_shape=read_shape(text))


@pytest.fixture(scope="module")
def rows():
    return paper_rows()


def test_the_papers_figures_beside_ours(rows):
    for row in rows:
        error = abs(row.ours - row.published) / row.published
        limits = {"reproduced": (0, 0.02), "close": (0.02, 0.05), "not reproducible": (0.05, 99)}
        low, high = limits[row.verdict]
        assert low - 1e-3 <= error <= high + 1e-3, row
        assert row.counter in ("MAC", "MAC+2BN", "parameters")
        assert (row.unit == "M") == (row.counter == "parameters")
    assert {row.counter for row in rows if row.paper != "SFC"} == {"MAC", "parameters"}
    assert {row.paper for row in rows} == {"SCSampler", "FASTER", "Collaborative memory", "SFC"}
    labels = [(row.paper, row.table, row.row) for row in rows]
    assert len(set(labels)) == len(labels)


def test_what_does_not_fit_is_known_and_explained(rows):
    found = {(r.paper, r.row): r.verdict for r in rows if r.verdict != "reproduced"}
    assert found == {
        ("SCSampler", "I3D-RGB"): "close",
        ("SCSampler", "MC3-18 on all clips"): "not reproducible",
        ("SCSampler", "sampler"): "not reproducible",
        ("FASTER", "R2D-26, 16 frames"): "not reproducible",
        ("FASTER", "I3D (cited)"): "close",
        ("SFC", "TPN-50 8x8, SFC"): "close",
        ("SFC", "res1234 / res5"): "close",
        ("SFC", "res12 / res345"): "close",
        ("SFC", "res1 / res2345"): "close",
    }
    assert all(row.note for row in rows if row.verdict != "reproduced")


def test_table_4_of_faster_is_met_in_every_digit_but_its_misprint(rows):
    cells = [row for row in rows if row.table.startswith("Table 4") and row.paper == "FASTER"]
    assert len(cells) == 15
    (misprint,) = [row for row in cells if row.ours != row.published]
    assert (misprint.published, misprint.ours) == (980.2, 980.8)
    assert "misprint of 980.8" in misprint.note


def test_collaborative_memory_is_met_in_the_printed_digit(rows):
    cells = [row for row in rows if row.paper == "Collaborative memory" and row.unit == "GMACs"]
    assert len(cells) == 18
    off = {row.row: row.ours for row in cells if round(row.ours) != row.published}
    assert off == {"SlowFast-101 8x8 (cited)": 106.514}  # printed: 106


def test_the_caveats_are_told(rows):
    notes = " ".join(row.note for row in rows)
    figures = "304.8 G", "19%", "219.6, 173.1, 149.9", "170.0 G", "4063 G", "305.2 G", "374.8 G"
    for figure in figures:
        assert figure in notes, figure
