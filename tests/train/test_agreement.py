"""How samplers are measured: against loops, a hand-made video set, and the whole recognizer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tinyset import CLASSES
from vidskim.data.cache.answers import Answers
from vidskim.data.manifest import read_manifest
from vidskim.train.agreement import agreement, spearman

RNG = np.random.default_rng(0)


def rank_by_loop(values):
    """The mean place of each value among all, ties sharing theirs."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


@pytest.mark.parametrize("digits", [1, 8])
def test_spearman_is_the_correlation_of_ranks(digits):
    a, b = RNG.random(20).round(digits), RNG.random(20).round(digits)
    x, y = np.array(rank_by_loop(a)), np.array(rank_by_loop(b))
    x, y = x - x.mean(), y - y.mean()
    expected = (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())
    assert spearman(a, b) == pytest.approx(expected)
    assert spearman(a, a) == pytest.approx(1)
    assert spearman(a, -a) == pytest.approx(-1)


def test_spearman_where_there_is_none():
    assert spearman(np.ones(4), np.arange(4.0)) is None
    assert spearman(np.array([1.0]), np.array([2.0])) is None
    some = np.array([0.3, np.nan, 0.1, 0.2])
    assert spearman(some, np.array([3.0, -9.0, 1.0, 2.0])) == pytest.approx(1)


@pytest.fixture
def rows(tiny_csv):
    """Two videos of five clips of eight frames, left and right."""
    return read_manifest(tiny_csv, split="test").rows


def answers_of(rows, tmp_path, tables) -> Answers:
    files = []
    for n, table in enumerate(tables):
        np.save(tmp_path / f"{n}.npy", np.array(table, np.float32))
        files.append(tmp_path / f"{n}.npy")
    return Answers(tuple(rows), CLASSES, tuple(files))


def test_against_a_classifier(rows, tmp_path):
    left = [[0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.8, 0.2], [0.1, 0.9]]  # clips 0 and 3 show it
    right = [[0.6, 0.4], [0.9, 0.1], [np.nan, np.nan], [0.1, 0.9], [0.9, 0.1]]  # 3, then 0
    answers = answers_of(rows, tmp_path, [left, right])
    scores = [torch.tensor([0.9, 0.1, 0.2, 0.8, 0.3]), torch.tensor([0.1, 0.2, 0.9, 0.8, 0.3])]
    found = agreement(scores, rows, k=2, num_frames=8, stride=1, answers=answers)
    # first video: both of the oracle's; second: clip 3 of its {0, 3}, and the unreadable clip 2
    assert found["oracle_precision"] == found["oracle_recall"] == 0.75
    assert found["oracle_recall_by_chance"] == 0.4
    first = spearman(scores[0].numpy(), np.array(left)[:, 0])
    kept = [0, 1, 3, 4]
    second = spearman(scores[1].numpy()[kept], np.array(right)[kept, 1])
    assert found["spearman"] == pytest.approx((first + second) / 2, abs=1e-4)
    # left: mean of all five is 0.42 left; of clips 0 and 3 it is 0.85
    # right: mean of the four readable is 0.375; of clip 3 alone 0.9; of 0 and 3 it is 0.65
    assert found["classifier_dense"] == 0.0
    assert found["classifier_sampler_at_2"] == 1.0
    assert found["classifier_oracle_at_2"] == 1.0
    assert found["classifier_uniform_at_2"] == 0.5  # clips 1 and 3: 0.5 (the first wins), 0.5


def test_against_moments(rows):
    moments = {str(Path(rows[0].path).resolve()): [(0.64, 1.28)]}  # clips 2 and 3 of five
    scores = [torch.tensor([0.1, 0.9, 0.2, 0.8, 0.3]), torch.zeros(5)]
    found = agreement(scores, rows, k=2, num_frames=8, stride=1, moments=moments)
    assert found == {
        "moment_precision_sampler_at_2": 0.5,
        "moment_recall_sampler_at_2": 1.0,
        "moment_precision_uniform_at_2": 0.5,
        "moment_recall_uniform_at_2": 1.0,
    }
