"""What a selection of clips comes to: is the answer right, do the clips meet the moments."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidskim.evaluate.studies.cases import Case
from vidskim.evaluate.studies.choosing import Chooser
from vidskim.look import selection

TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One method on all cases; where chance decides, means over its draws."""

    correct: Tensor
    """``[n]`` in [0, 1]."""
    precision: Tensor
    """``[n]`` share of the chosen clips that meet a true moment; NaN where none is known."""
    recall: Tensor
    """``[n]`` share of the true moments that a chosen clip meets; NaN where none is known."""
    clips: Tensor
    """``[n]`` how many were chosen."""


def judge(cases: Sequence[Case], choose: Chooser) -> Outcomes:
    """Return how a method does on every case.

    Args:
        cases: one or more.
        choose: the method.
    """
    return Outcomes(*(torch.tensor(c, dtype=torch.float64) for c in zip(*_judged(cases, choose))))


def _judged(cases: Sequence[Case], choose: Chooser) -> list[tuple[float, float, float, float]]:
    rows: list[tuple[float, float, float, float]] = []
    for case in cases:
        answers = case.answers
        marks: list[tuple[float, float, float, float]] = []
        for chosen in choose(case):
            right = float(int(answer(answers, chosen).argmax()) in case.targets)
            marks.append((right, *_against_moments(case, chosen), float(len(chosen))))
        rows.append(tuple(sum(column) / len(marks) for column in zip(*marks)))
    return rows


def answer(answers: Tensor, chosen: Sequence[int]) -> Tensor:
    """Return a video's class probabilities ``[K]`` from those of the chosen clips.

    The mean over the clips that can be read (SCSampler, section 3.1); where none of the chosen ones
    can, others are seen instead, as in `vidskim.answer.recognizer.Recognizer`.

    Args:
        answers: ``[N, K]``, NaN for clips that cannot be read, at least one of which can.
        chosen: places, at least one.
    """
    seen = _readable(answers, chosen)
    if not len(seen):
        taken = set(chosen)
        rest = [n for n in range(len(answers)) if n not in taken]
        places = selection.uniform(len(rest), k=max(1, len(chosen)))
        seen = _readable(answers, [rest[i] for i in places])
    if not len(seen):
        seen = _readable(answers, range(len(answers)))
    return seen.mean(0).clamp_min(TINY)


def _readable(answers: Tensor, places: Sequence[int]) -> Tensor:
    rows = answers[torch.tensor(list(places), dtype=torch.int64)]
    return rows[~rows.isnan().any(dim=1)]


def _against_moments(case: Case, chosen: Sequence[int]) -> tuple[float, float]:
    """Return precision and recall of chosen clips, NaN where no moment is known."""
    meets = case.meets
    if meets is None or not len(chosen) or not meets.shape[1]:
        return float("nan"), float("nan")
    mine = meets[torch.tensor(list(chosen), dtype=torch.int64)]
    return mine.any(1).double().mean().item(), mine.any(0).double().mean().item()
