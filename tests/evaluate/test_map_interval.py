"""Mean average precision and how sure it is, against loops, scikit-learn and simulations."""

import numpy as np
import pytest
import torch

from vidskim.errors import UsageError
from vidskim.evaluate.map_interval import map_interval, resampled_map
from vidskim.evaluate.metrics import (
    average_precision,
    draws,
    mean_average_precision,
    quantiles,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def videos(n, num_classes=4, *, seed=0, apart=1.0, ties=False):
    """Scores and truth; each video shows a class at least."""
    g = generator(seed)
    truth = torch.rand(n, num_classes, generator=g) < 0.2
    one = torch.randint(num_classes, (n,), generator=g)
    truth[torch.arange(n), one] |= ~truth.any(1)
    scores = torch.randn(n, num_classes, generator=g) + apart * truth
    return (scores.round() if ties else scores), truth


def by_hand(scores, truth):
    """The precision among all that score at least as high, averaged over the true ones."""
    found = []
    for score, true in zip(scores.numpy().T, truth.numpy().astype(bool).T):
        if true.any():
            found.append(np.mean([true[score >= own].mean() for own in score[true]]))
    return float(np.mean(found))


def test_average_precision_in_numbers():
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.1], [0.7, 0.1], [0.6, 0.1]])
    truth = torch.tensor([[1, 0], [0, 0], [1, 1], [0, 0]])
    found = average_precision(scores, truth)
    assert found.tolist() == pytest.approx([(1 / 1 + 2 / 3) / 2, 1 / 4])
    assert mean_average_precision(scores, truth) == pytest.approx((5 / 6 + 1 / 4) / 2)


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_equals_scikit_learn(ties):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, truth = videos(80, 6, ties=ties)
    expected = metrics.average_precision_score(truth.numpy(), scores.numpy(), average=None)
    assert average_precision(scores, truth).numpy() == pytest.approx(expected)
    assert mean_average_precision(scores, truth) == pytest.approx(expected.mean())


@pytest.mark.parametrize("ties", [False, True])
def test_each_draw_is_that_of_the_drawn_videos(ties, monkeypatch):
    """Few videos: many draws miss a class, which then does not count."""
    scores, truth = videos(9, ties=ties)
    found = resampled_map(scores, truth, num_samples=200, generator=generator(1))
    drawn = torch.cat([*draws(9, num_samples=200, generator=generator(1))])
    assert drawn.shape == (200, 9)
    assert sum(not truth[rows].any(0).all() for rows in drawn) > 20
    expected = [by_hand(scores[rows], truth[rows]) for rows in drawn]
    assert found.numpy() == pytest.approx(np.array(expected))
    assert found.std() > 0.01
    monkeypatch.setattr("vidskim.evaluate.metrics.BLOCK", 60)  # in many small blocks
    again = resampled_map(scores, truth, num_samples=200, generator=generator(1))
    torch.testing.assert_close(again, found, rtol=1e-12, atol=0)


def test_the_basic_interval_holds_the_truth_where_the_percentile_interval_does_not():
    """Repeated videos rank better: the draws lie above the estimate, which lies above the truth."""
    apart, n, trials = 0.5, 150, 60
    truth_of_all = mean_average_precision(*videos(20_000, 20, seed=99, apart=apart))
    basic = percentile = 0
    for trial in range(trials):
        scores, truth = videos(n, 20, seed=trial, apart=apart)
        samples = resampled_map(scores, truth, num_samples=300, generator=generator(trial))
        found = map_interval(mean_average_precision(scores, truth), samples)
        low, high = quantiles(samples, confidence=0.95)
        basic += found.low <= truth_of_all <= found.high
        percentile += low <= truth_of_all <= high
    assert basic >= 0.85 * trials
    assert percentile <= 0.4 * trials


def test_the_interval_mirrors_the_draws_and_ends_where_the_measure_does():
    samples = torch.linspace(0.5, 0.7, 1001).double()
    found = map_interval(0.58, samples, confidence=0.9)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.58, 0.47, 0.65))
    assert map_interval(0.95, samples).high == 1.0
    assert map_interval(0.1, samples).low == 0.0
    assert map_interval(0.1, samples, lowest=-1.0).low == pytest.approx(-0.495)
    one_sided = map_interval(0.4, samples)  # all draws above
    assert (one_sided.low, one_sided.high) == (pytest.approx(0.105), 0.4)


@pytest.mark.parametrize(
    ("scores", "truth", "samples", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 2), 1, r"\[2, 3\] and \[3, 2\]"),
        (torch.zeros(2, 3), torch.zeros(2, 3), 1, "a class that is true of some video"),
        (torch.zeros(2, 2), torch.tensor([[1, 0], [0, 0]]), 1, "1 videos without one"),
        (torch.zeros(1, 2), torch.tensor([[1, 0]]), 0, "got 0 samples"),
        (torch.full((1, 2), float("nan")), torch.tensor([[1, 0]]), 1, "NaN"),
    ],
)
def test_what_cannot_be_drawn(scores, truth, samples, message):
    with pytest.raises(UsageError, match=message):
        resampled_map(scores, truth, num_samples=samples, generator=generator())
