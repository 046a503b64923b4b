"""What the command line answers today is what it answered when the record was made.

One case is one command on the files beside this one. Classes, clips, texts and whole numbers are
equal, other numbers to 1e-4; an answer may tell more than it did, not less.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from record import GOLDEN, answer, cases

RECORD = json.loads(GOLDEN.read_text(encoding="utf-8"))
CASES = [(group, line) for group, answers in RECORD.items() for line in answers]
TOLERANCE = 1e-4
IN_BF16 = 3e-2
"""Digits of bf16 depend on the processor."""


def differences(old: Any, new: Any, *, within: float, place: str = "answer") -> Iterator[str]:
    """Yield each place at which an answer is not the recorded one."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key, value in old.items():
            if key not in new:
                yield f"{place}.{key}: is gone, was {value!r}"
            else:
                yield from differences(value, new[key], within=within, place=f"{place}.{key}")
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{place}: {len(new)} entries, were {len(old)}: {new!r}, were {old!r}"
        for n, (one, other) in enumerate(zip(old, new)):
            yield from differences(one, other, within=within, place=f"{place}[{n}]")
    elif isinstance(old, float) and type(new) in (float, int):
        if not math.isclose(old, new, rel_tol=1e-6, abs_tol=within):
            yield f"{place}: {new!r}, was {old!r}"
    elif type(old) is not type(new) or old != new:
        yield f"{place}: {new!r}, was {old!r}"


def test_the_record_has_every_case():
    assert {group: list(answers) for group, answers in RECORD.items()} == cases()


@pytest.mark.parametrize(("group", "line"), CASES, ids=[line or "nothing" for _, line in CASES])
def test_the_answer_is_the_recorded_one(group, line):
    within = IN_BF16 if "bf16" in line else TOLERANCE
    found = list(differences(RECORD[group][line], answer(group, line), within=within))
    assert not found, f"vidskim {line}\n" + "\n".join(found[:40])


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ({"a": 1, "b": [0.50001, "x"], "c": 2}, []),
        ({"a": 1.0, "b": [0.5, "x"]}, ["answer.a: 1.0, was 1"]),
        ({"a": 1, "b": [0.6, "x"]}, ["answer.b[0]: 0.6, was 0.5"]),
        ({"b": [0.5, "x"]}, ["answer.a: is gone, was 1"]),
    ],
)
def test_a_difference_is_told(new, told):
    assert list(differences({"a": 1, "b": [0.5, "x"]}, new, within=TOLERANCE)) == told
