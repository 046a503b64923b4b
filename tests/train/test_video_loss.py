"""Equation 1 written out, and its multi-label form."""

import numpy as np
import pytest
import torch

from vidskim.train.video_loss import video_loss


def softmax_loss(scores: np.ndarray, y: int) -> float:
    return float(np.log(np.exp(scores).sum()) - scores[y])


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_equation_1(alpha):
    logits = np.random.default_rng(0).normal(size=(2, 3, 4))
    y = [3, 1]
    wanted = np.mean(
        [
            alpha * softmax_loss(logits[b].mean(0), y[b])
            + (1 - alpha) * np.mean([softmax_loss(logits[b, n], y[b]) for n in range(3)])
            for b in range(2)
        ]
    )
    found = video_loss(torch.from_numpy(logits), torch.tensor(y), alpha=alpha)
    assert float(found) == pytest.approx(float(wanted), abs=1e-12)


def test_multilabel():
    logits = np.random.default_rng(0).normal(size=(2, 3, 4))
    y = np.array([[1, 0, 1, 0], [0, 0, 0, 0]], float)

    def bce(scores, true):
        p = 1 / (1 + np.exp(-scores))
        return -(true * np.log(p) + (1 - true) * np.log(1 - p)).mean()

    wanted = np.mean(
        [
            0.25 * bce(logits[b].mean(0), y[b])
            + 0.75 * np.mean([bce(logits[b, n], y[b]) for n in range(3)])
            for b in range(2)
        ]
    )
    found = video_loss(torch.from_numpy(logits), torch.from_numpy(y), alpha=0.25)
    assert float(found) == pytest.approx(float(wanted), abs=1e-12)


def test_one_clip_is_plain_cross_entropy():
    logits = torch.randn(5, 1, 3)
    y = torch.tensor([0, 1, 2, 0, 1])
    for alpha in (0.0, 0.5, 1.0):
        found = video_loss(logits, y, alpha=alpha, label_smoothing=0.1)
        plain = torch.nn.functional.cross_entropy(logits[:, 0], y, label_smoothing=0.1)
        torch.testing.assert_close(found, plain)
