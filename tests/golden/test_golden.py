"""What the command line answers today is what it answered when the record was made.

One case is one command on the files beside this one. Classes, clips, texts and whole numbers are
equal, other numbers to 1e-4; an answer may tell more than it did, not less.
"""

import json

import pytest
from record import GOLDEN, answer, cases, differences

RECORD = json.loads(GOLDEN.read_text(encoding="utf-8"))
CASES = [(group, line) for group, answers in RECORD.items() for line in answers]
TOLERANCE = 1e-4
IN_BF16 = 3e-2
"""Digits of bf16 depend on the processor."""


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
