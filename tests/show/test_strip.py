"""The time line of a terminal: right columns, right width, blanks where nothing was seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidskim.show.strip import BLOCKS, LABEL_WIDTH, PLAIN_BLOCKS, Canvas, draw_strip


def strip(scores, *, seconds=1.0, marks=(), lesser=(), width=80, plain=False):
    count = len(next(iter(scores.values())))
    edges = np.arange(count + 1) * seconds
    canvas = Canvas(width, plain)
    return draw_strip(
        scores,
        edges=edges,
        marks=marks,
        lesser=lesser,
        duration_seconds=count * seconds,
        canvas=canvas,
    )


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=300),
    st.integers(20, 250),
    st.booleans(),
    st.floats(0.01, 500),
)
def test_it_fits_and_is_made_of_known_letters(row, width, plain, seconds):
    end = len(row) * seconds
    lines = strip({"a": row}, width=width, plain=plain, seconds=seconds, marks=[(0.0, end)])
    assert len(lines) == 3
    shown = max(width, LABEL_WIDTH + 16 + 11)  # a time line narrower than this tells nothing
    assert all(len(line) <= shown for line in lines)
    blocks = lines[0][LABEL_WIDTH:].rsplit("  ", 1)[0] if any(v is not None for v in row) else ""
    assert set(blocks) <= {*(PLAIN_BLOCKS if plain else BLOCKS), " "}
    assert set(lines[1][LABEL_WIDTH:]) == {"^" if plain else "▲"}
    if plain:
        assert all(line.isascii() for line in lines)


def test_columns_are_the_clips_they_belong_to():
    row = [0.0] * 59
    row[20], row[30] = 1.0, None
    line, chosen, clock = strip({"motion": row}, marks=[(20.0, 21.0), (57.5, 59.0)])
    blocks = line[LABEL_WIDTH : LABEL_WIDTH + 59]
    assert line.startswith("motion    ")
    assert line.endswith("  0.00-1.00")
    assert blocks == "▁" * 20 + "█" + "▁" * 9 + " " + "▁" * 28
    assert chosen == "chosen    " + " " * 20 + "▲" + " " * 36 + "▲▲"
    assert clock[LABEL_WIDTH:].startswith("0:00      0:10      0:20 ")
    assert clock.endswith("0:59.0")


@pytest.mark.parametrize(("plain", "letters"), [(False, "▲△"), (True, "^.")])
def test_what_was_chosen_for_less_never_hides_the_rest(plain, letters):
    much, less = letters
    assert Canvas(plain=plain).marks == (much, less)
    row = {"a": [0.0] * 59}
    lesser = [(0.0, 3.0), (10.0, 11.0)]
    _, chosen, _ = strip(row, marks=[(1.0, 2.0)], lesser=lesser, plain=plain)
    assert chosen == f"chosen    {less}{much}{less}{' ' * 7}{less}"


def test_the_highest_of_many_is_shown_and_few_are_stretched():
    row = [0.2] * 5900
    row[2950] = 0.9
    blocks = strip({"a": row})[0][LABEL_WIDTH : LABEL_WIDTH + 59]
    assert blocks == "▁" * 29 + "█" + "▁" * 29
    blocks = strip({"a": [0.0, 1.0]})[0][LABEL_WIDTH : LABEL_WIDTH + 59]
    assert blocks in ("▁" * 29 + "█" * 30, "▁" * 30 + "█" * 29)


def test_equal_scores_are_a_flat_line_and_none_a_blank_one():
    lines = strip({"a": [0.3] * 4, "b\x1b[2J": [None] * 4})
    assert set(lines[0][LABEL_WIDTH:].split()[0]) == {"▁"}
    assert lines[1].startswith(r"b\x1b[2J")
    assert lines[1][LABEL_WIDTH:].strip() == ""


@pytest.mark.parametrize("hours", [0.001, 0.4, 3, 30])
def test_times_do_not_run_into_each_other(hours):
    clock = strip({"a": [0.5] * 100}, seconds=hours * 36)[-1]
    labels = clock.split()
    assert labels[0] == "0:00"
    assert all(":" in label and len(label) <= 8 for label in labels)
    assert len(labels) == len(set(labels))
