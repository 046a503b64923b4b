"""Which encoder sees which clip."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidskim.errors import UsageError
from vidskim.model.schedule import (
    CHEAP,
    EXPENSIVE,
    FIRST,
    MAX_PERIOD,
    Pattern,
    Routed,
    Schedule,
    parse_pattern,
)

PERIODS = st.lists(st.sampled_from([EXPENSIVE, CHEAP]), min_size=1, max_size=40).map(tuple)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


def letters(pattern: Schedule, num_clips: int) -> str:
    return "".join("EC"[place] for place in pattern(num_clips))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:7", "ECCCCCCCECCC"),
        ("1:1", "ECECECECECEC"),
        ("2:6", "EECCCCCCEECC"),
        ("3:1", "EEECEEECEEEC"),
        ("1:31", "ECCCCCCCCCCC"),
        ("1:0", "EEEEEEEEEEEE"),
        ("0:1", "CCCCCCCCCCCC"),
        ("all", "EEEEEEEEEEEE"),
        ("none", "CCCCCCCCCCCC"),
        ("first", "ECCCCCCCCCCC"),
        (" First ", "ECCCCCCCCCCC"),
        ("ALL", "EEEEEEEEEEEE"),
        ("ECCEC", "ECCECECCECEC"),
        ("cce", "CCECCECCECCE"),
        ("E", "EEEEEEEEEEEE"),
        ("C", "CCCCCCCCCCCC"),
    ],
)
def test_what_people_type(text, expected):
    pattern = parse_pattern(text)
    assert letters(pattern, 12) == expected
    assert letters(pattern, 5) == expected[:5]
    assert "".join("EC"[pattern.at(n)] for n in range(12)) == expected
    assert pattern(0) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ":",
        "1:",
        ":7",
        "0:0",
        "1:-1",
        "-1:7",
        "1:7:1",
        "1.5:2",
        "1 : 7",
        "1:7x",
        "ECX",
        "E C",
        "alle",
        "99999:1",
        "4096:1",
        "9999:9999",
        "\u0661:\u0667",
        "E" * (MAX_PERIOD + 1),
        "1:7\n1:7",
        "\x1b[2J",
    ],
)
def test_what_is_no_pattern_is_told(text):
    with pytest.raises(UsageError, match="1:7") as error:
        parse_pattern(text)
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1:7", "1:7"),
        ("ECCCCCCC", "1:7"),
        ("EECC", "2:2"),
        ("EEE", "all"),
        ("5:0", "all"),
        ("CC", "none"),
        ("first", "first"),
        ("eccec", "ECCEC"),
        ("CE", "CE"),
    ],
)
def test_how_a_pattern_prints(text, told):
    assert str(parse_pattern(text)) == told


@given(period=PERIODS, num_clips=st.integers(0, 100))
def test_what_is_printed_reads_as_the_same_pattern(period, num_clips):
    pattern = Pattern(period)
    again = parse_pattern(str(pattern))
    assert again(num_clips) == pattern(num_clips)
    assert str(again) == str(pattern)
    assert [pattern.at(n) for n in range(num_clips)] == pattern(num_clips)


def test_first_is_kept_apart_from_its_period():
    assert parse_pattern(str(FIRST)) == FIRST
    assert FIRST(5) == [EXPENSIVE, CHEAP, CHEAP, CHEAP, CHEAP]
    assert parse_pattern("1:1") != FIRST


@given(a=st.integers(0, 60), b=st.integers(0, 60), periods=st.integers(1, 5))
def test_a_ratio_is_kept_in_whole_periods(a, b, periods):
    if a + b == 0:
        return
    places = parse_pattern(f"{a}:{b}")(periods * (a + b))
    assert (places.count(EXPENSIVE), places.count(CHEAP)) == (a * periods, b * periods)


@pytest.mark.parametrize(
    ("period", "repeats"),
    [
        ((), True),
        ((0, 2), True),
        ((-1,), True),
        (("E",), True),
        ((0,) * (MAX_PERIOD + 1), True),
        ((1, 0), False),
        ((0, 0, 1), False),
    ],
)
def test_what_is_no_period_is_refused(period, repeats):
    with pytest.raises(UsageError, match="pattern"):
        Pattern(period, repeats=repeats)


def test_the_longest_period_is_read_as_it_was_printed():
    pattern = Pattern((EXPENSIVE, CHEAP) * (MAX_PERIOD // 2))
    assert parse_pattern(str(pattern)) == pattern


@pytest.mark.parametrize(
    ("pattern", "scores", "expected"),
    [
        ("1:3", [0.1, 0.9, 0.2, 0.3], "CECC"),
        ("2:2", [0.1, 0.9, 0.2, 0.3], "CECE"),
        ("1:1", [0.5, 0.5, 0.5, 0.5], "EECC"),
        ("1:3", [0.5, 0.7, 0.7, 0.1], "CECC"),
        ("1:3", [float("nan"), 0.1, 0.0, 0.05], "CECC"),
        ("2:1", [float("nan"), float("-inf"), 1.0], "CEE"),
        ("all", [0.1, 0.2, 0.3, 0.4], "EEEE"),
        ("none", [0.1, 0.2, 0.3, 0.4], "CCCC"),
        ("first", [0.1, 0.2, 0.3, 0.4], "CCCE"),
        ("1:7", [0.3], "E"),
        ("1:7", [0.3, 0.4, 0.2], "CEC"),
        ("1:1", [], ""),
    ],
)
def test_the_expensive_encoder_goes_to_the_most_salient(pattern, scores, expected):
    routed = Routed(parse_pattern(pattern))
    places = routed(len(scores), torch.tensor(scores))
    assert "".join("EC"[p] for p in places) == expected


@given(period=PERIODS, scores=st.lists(NUMBERS, max_size=30))
def test_routing_keeps_the_cost_and_takes_the_best(period, scores):
    pattern = Pattern(period)
    places = Routed(pattern)(len(scores), torch.tensor(scores))
    assert sorted(places) == sorted(pattern(len(scores)))
    real = [(s if s == s else float("-inf"), p) for s, p in zip(scores, places, strict=True)]
    best = [s for s, p in real if p == EXPENSIVE]
    rest = [s for s, p in real if p == CHEAP]
    assert not best or not rest or min(best) >= max(rest)


def test_routing_without_scores_is_refused():
    with pytest.raises(UsageError, match="nothing scored them"):
        Routed(parse_pattern("1:7"))(8)
    assert str(Routed(parse_pattern("1:7"))) == "1:7 by saliency"


def test_both_are_schedules():
    assert isinstance(FIRST, Schedule)
    assert isinstance(Routed(FIRST), Schedule)
