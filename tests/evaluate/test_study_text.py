"""Names in tables and figures come from files and may hold anything."""

from vidskim.evaluate.metrics import Interval
from vidskim.evaluate.studies.chart import draw_points
from vidskim.evaluate.studies.entry import Entry, Result
from vidskim.evaluate.studies.text import to_markdown

HOSTILE = "a|b\x1b[2J\n# $\\frac{$ <script>"


def result() -> Result:
    entry = Entry(
        classifier=HOSTILE,
        method=f"Tr: {HOSTILE}",
        accuracy=Interval(0.5, 0.4, 0.6),
        vs_dense=None,
        vs_uniform=None,
        gap_closed=None,
        precision=None,
        recall=None,
        clips=3.0,
        look_gmacs=None,
        look_seconds=None,
        seconds=None,
        varied={"features": HOSTILE},
    )
    return Result(
        name="features",
        title="Features",
        beside="Table 2",
        entries=(entry,),
        draw=lambda path: None,
        notes=(f"{HOSTILE}: a note",),
    )


def test_a_table_keeps_its_lines_and_the_terminal_its_cursor():
    text = to_markdown(result())
    assert "\x1b" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert len({row.count("|") for row in rows}) == 1
    assert len([line for line in text.splitlines() if line.startswith("#")]) == 1


def test_a_figure_takes_names_as_they_are(tmp_path):
    for suffix in ("png", "svg"):
        draw_points(result().entries, tmp_path / f"x.{suffix}", title="t")
        assert (tmp_path / f"x.{suffix}").stat().st_size > 1000
    assert "<script>" not in (tmp_path / "x.svg").read_text()
