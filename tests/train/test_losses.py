"""The objectives against loops in NumPy, and their gradients against finite differences."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from vidskim.train.losses import (
    action_loss,
    clip_scores,
    mean_action_loss,
    membership_loss,
    ranking_loss,
)

RNG = np.random.default_rng(0)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def number(loss):
    return loss.detach().item()


def ranking_by_loop(scores, truth, margin):
    """Every pair of a video, one after another, as the paper's formula reads."""
    found = []
    for s, f in zip(scores, truth):
        for i in range(len(s)):
            for j in range(i + 1, len(s)):
                if f[i] != f[j]:
                    z = 1.0 if f[i] > f[j] else -1.0
                    found.append(max(0.0, margin - z * (s[i] - s[j])))
    return np.mean(found) if found else 0.0


@pytest.mark.parametrize("margin", [0.05, 0.1, 0.7])
def test_ranking_is_a_loop_over_pairs(margin):
    scores, truth = RNG.random((3, 6)), RNG.random((3, 6)).round(1)  # rounded: with ties
    assert len(np.unique(truth[0])) < 6 or len(np.unique(truth[1])) < 6
    loss = ranking_loss(tensor(scores), torch.from_numpy(truth), margin=margin)
    assert number(loss) == pytest.approx(ranking_by_loop(scores, truth, margin), abs=1e-12)
    assert loss > 0


def test_ranking_is_torch_s_margin_loss_and_knows_no_first():
    scores, truth = RNG.random((1, 2)), np.array([[0.3, 0.8]])
    loss = ranking_loss(tensor(scores), torch.from_numpy(truth), margin=0.2)
    a, b = torch.from_numpy(scores[0])
    torch_s = torch.nn.functional.margin_ranking_loss(
        a[None], b[None], torch.tensor([-1.0]), margin=0.2
    )
    assert number(loss) == pytest.approx(number(torch_s))
    swapped = ranking_loss(
        tensor(scores[:, ::-1].copy()), torch.from_numpy(truth[:, ::-1].copy()), margin=0.2
    )
    assert number(swapped) == pytest.approx(number(loss))


def test_ties_alone_cost_nothing_and_move_nothing():
    scores = tensor(RNG.random((2, 4)))
    loss = ranking_loss(scores, torch.full((2, 4), 0.5), margin=0.1)
    loss.backward()
    assert number(loss) == 0
    assert torch.equal(scores.grad, torch.zeros_like(scores))


def test_ordered_pairs_beyond_the_margin_cost_nothing():
    truth = torch.tensor([[0.1, 0.5, 0.9]])
    assert number(ranking_loss(torch.tensor([[0.1, 0.3, 0.5]]), truth, margin=0.19)) == 0
    assert number(ranking_loss(torch.tensor([[0.1, 0.3, 0.5]]), truth, margin=0.21)) > 0
    scores = tensor([[0.5, 0.3, 0.1]])
    ranking_loss(scores, truth, margin=0.1).backward()
    assert scores.grad[0, 0] > 0 > scores.grad[0, 2]  # a step down the slope puts them in order


def test_membership_by_hand():
    scores, member = RNG.random(9), RNG.integers(0, 2, 9)
    expected = -np.mean(member * np.log(scores) + (1 - member) * np.log(1 - scores))
    assert number(membership_loss(tensor(scores), torch.from_numpy(member))) == pytest.approx(
        expected, rel=1e-6
    )
    certain = membership_loss(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]))
    assert certain.isfinite()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_action_by_hand(smoothing):
    logits, target = RNG.normal(size=(5, 3)), RNG.integers(0, 3, 5)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    wanted = (1 - smoothing) * np.eye(3)[target] + smoothing / 3
    expected = -(wanted * log_p).sum(1).mean()
    loss = action_loss(tensor(logits), torch.from_numpy(target), label_smoothing=smoothing)
    assert number(loss) == pytest.approx(expected)
    probability = torch.from_numpy(np.exp(log_p))
    plain = -log_p[np.arange(5), target].mean()
    assert number(mean_action_loss(probability, torch.from_numpy(target))) == pytest.approx(plain)


def test_clip_scores_are_means_over_neighbors():
    values = RNG.random((6, 2))
    expected = [[values[0:3, c].mean() for c in (0, 1)], [values[3:6, c].mean() for c in (0, 1)]]
    assert clip_scores(torch.from_numpy(values), num_inputs=3).numpy() == pytest.approx(
        np.array(expected)
    )


def test_gradients():
    logits = tensor(RNG.normal(size=(8, 1)))
    truth, member = torch.from_numpy(RNG.random((2, 2))), torch.tensor([1.0, 0, 0, 1])

    def scores(x):
        return clip_scores(torch.sigmoid(x), num_inputs=2)[:, 0]

    assert gradcheck(lambda x: ranking_loss(scores(x).view(2, 2), truth, margin=0.31), logits)
    assert gradcheck(lambda x: membership_loss(scores(x), member), logits)
    wide, target = tensor(RNG.normal(size=(4, 3))), torch.tensor([0, 2, 1, 1])
    assert gradcheck(lambda x: action_loss(x, target), wide)
    assert gradcheck(lambda x: mean_action_loss(torch.softmax(x, 1), target), wide)
