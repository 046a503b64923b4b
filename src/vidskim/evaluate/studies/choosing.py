"""The selections of SCSampler's tables as arithmetic: a case to the clips that are looked at.

A selection returns one list of places, or several where chance decides: the mean over draws is what
is reported, since a draw costs nothing here.
"""

import zlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vidskim.data.cache.answers import oracle_places, place_histogram
from vidskim.evaluate.studies.cases import Case
from vidskim.look import selection

Draws = Sequence[Sequence[int]]
"""Sorted places into the grid, for each draw."""
Chooser = Callable[[Case], Draws]

BINS = 100
"""Of the empirical histogram: the paper does not say; a part is a hundredth of a video."""


def dense(case: Case) -> Draws:
    """Every clip."""
    return [selection.dense(len(case))]


def uniform(k: int) -> Chooser:
    """K clips spread evenly."""
    return lambda case: [selection.uniform(len(case), k=k)]


def random(k: int, *, draws: int, seed: int) -> Chooser:
    """K clips by chance, several times."""

    def choose(case: Case) -> Draws:
        return [
            selection.random(len(case), k=k, generator=_generator(case, seed=seed, draw=d))
            for d in range(draws)
        ]

    return choose


def empirical(k: int, *, histogram: Tensor, draws: int, seed: int) -> Chooser:
    """K clips drawn from where the training split has its best ones, several times."""

    def choose(case: Case) -> Draws:
        return [
            selection.empirical(
                len(case),
                k=k,
                histogram=histogram,
                generator=_generator(case, seed=seed, draw=d),
            )
            for d in range(draws)
        ]

    return choose


def oracle(k: int) -> Chooser:
    """The k clips that the classifier scores highest for the true label."""
    return lambda case: [oracle_places(case.answers, label=case.target, k=k)]


def moments(k: int) -> Chooser:
    """K clips that meet a true moment, spread evenly over them; all of them if there are fewer.

    What a sampler that knows where the class shows would reach with this classifier: unlike the
    oracle's, its choice does not depend on the classifier. Where no moment is known, or no clip
    meets one, uniform's clips.
    """

    def choose(case: Case) -> Draws:
        met = [] if case.meets is None else case.meets.any(1).nonzero().flatten().tolist()
        if not met:
            return uniform(k)(case)
        return [[met[n] for n in selection.uniform(len(met), k=k)]]

    return choose


def by_scores(scores: Callable[[Case], Tensor], k: int) -> Chooser:
    """The k clips of highest score."""
    return lambda case: [selection.top_k(scores(case), k=k)]


def histogram(cases: Sequence[Case], *, k: int, bins: int = BINS) -> Tensor:
    """Return where the oracle finds its k clips, float64 ``[bins]`` summing to 1."""
    places = [oracle(k)(case)[0] for case in cases]
    return place_histogram(places, [len(case) for case in cases], bins=bins)


def _generator(case: Case, *, seed: int, draw: int) -> torch.Generator:
    """Return the generator of one draw: of the file's bytes, not its name or place in a list."""
    start = zlib.crc32(f"{case.grid.content} {seed} {draw}".encode())
    return torch.Generator().manual_seed(start)
