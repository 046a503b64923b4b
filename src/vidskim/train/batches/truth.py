"""From a classifier's answers to what a sampler should say: labels of SAL-CL and SAL-RANK."""

from collections.abc import Sequence

import numpy as np
import torch

from vidskim.data.cache.answers import Answers, oracle_places
from vidskim.data.cache.inputs import FeatureStore
from vidskim.train.batches.inputs import Group, groups_of


def groups_by_answers(
    features: Sequence[FeatureStore],
    answers: Answers,
    *,
    objective: str,
    oracle_k: int,
    balance: bool,
) -> tuple[Group, ...]:
    """Return the clips of each video with what the classifier's answers say of them.

    Videos whose clips the classifier scores exactly alike teach nothing and are left out, as are
    those of a single clip and those that it could not read.

    Args:
        features: inputs, of the same rows for each source.
        answers: of the classifier on the same videos.
        objective: "sal_cl" or "sal_rank".
        oracle_k: clips of a video in the oracle's choice, of "sal_cl"; at most half of them, so
            that there are others too.
        balance: draw as many clips of the oracle's choice as others, in "sal_cl".

    Raises:
        ManifestError: no video is left.
    """
    rows = features[0].rows
    place = {row: n for n, row in enumerate(answers.rows)}

    def answer(row: int) -> np.ndarray:
        """Return f_y ``[N]``, NaN where it is not known."""
        if rows[row] not in place:
            return np.full(len(features[0].counts(row)), np.nan, np.float32)
        return answers.of_label(place[rows[row]]).numpy()

    def member(row: int) -> np.ndarray:
        return membership(answer(row), oracle_k=oracle_k)

    return groups_of(
        features,
        member if objective == "sal_cl" else answer,
        usable=lambda truth: len(np.unique(truth)) > 1,
        reason="two clips that the classifier scores differently",
        choice=balance and objective == "sal_cl",
    )


def membership(truth: np.ndarray, *, oracle_k: int) -> np.ndarray:
    """Return 1 for clips of the oracle's choice, 0 for others, NaN where the truth is not known.

    The choice holds ``oracle_k`` clips, at most half of those that are known. Where all are alike
    there is no choice: all are 0.

    Args:
        truth: f_y ``[N]``, NaN for clips that could not be read.
        oracle_k: clips in the choice.

    >>> membership(np.array([0.1, 0.7, 0.3, np.nan, 0.9], np.float32), oracle_k=5)
    array([ 0.,  1.,  0., nan,  1.], dtype=float32)
    """
    known = np.isfinite(truth)
    member = np.where(known, 0.0, np.nan).astype(np.float32)
    half = int(known.sum()) // 2
    if half and len(np.unique(truth[known])) > 1:
        scores = torch.from_numpy(truth)[:, None]
        member[oracle_places(scores, label=0, k=min(oracle_k, half))] = 1.0
    return member
