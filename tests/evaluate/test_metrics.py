import math

import numpy as np
import pytest
import torch

from vidskim.clips.grid import hits
from vidskim.errors import UsageError
from vidskim.evaluate.metrics import (
    bootstrap_interval,
    mean_class_accuracy,
    paired_bootstrap_difference,
    precision_at_k,
    recall,
    top_k_accuracy,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_top_k_equals_sorting_each_video(k):
    scores = torch.randint(0, 6, (200, 7), generator=generator()).float()  # many ties
    targets = torch.randint(0, 7, (200,), generator=generator(1))
    right = 0
    for row, target in zip(scores.numpy(), targets.tolist()):
        order = sorted(range(7), key=lambda c: (-row[c], c))
        right += target in order[:k]
    assert top_k_accuracy(scores, targets, k=k) == pytest.approx(right / 200)


def test_top_1_equals_argmax():
    scores = torch.randint(0, 4, (300, 5), generator=generator()).float()
    targets = torch.randint(0, 5, (300,), generator=generator(1))
    first = torch.from_numpy(scores.numpy().argmax(1))
    assert top_k_accuracy(scores, targets) == pytest.approx((first == targets).double().mean())


def test_mean_class_accuracy_equals_a_loop_over_classes():
    targets = torch.randint(0, 9, (150,), generator=generator())
    targets[targets == 4] = 5  # a class that never occurs does not count
    predicted = torch.where(
        torch.rand(150, generator=generator(1)) < 0.6,
        targets,
        torch.randint(0, 9, (150,), generator=generator(2)),
    )
    shares = [np.mean(predicted.numpy()[targets.numpy() == c] == c) for c in set(targets.tolist())]
    assert len(shares) == 8
    assert mean_class_accuracy(predicted, targets) == pytest.approx(np.mean(shares))


def test_the_interval_of_right_and_wrong_equals_the_binomial_quantiles():
    """A resampled accuracy is exactly Binomial(n, p) / n: a closed form to hold against."""
    stats = pytest.importorskip("scipy.stats")
    n, right = 120, 90
    correct = torch.arange(n) < right
    found = bootstrap_interval(correct, num_samples=40_000, generator=generator())
    assert found.estimate == right / n
    exact = stats.binom(n, right / n)
    assert abs(found.low * n - exact.ppf(0.025)) <= 1
    assert abs(found.high * n - exact.ppf(0.975)) <= 1


def test_the_interval_equals_scipys_percentile_bootstrap():
    stats = pytest.importorskip("scipy.stats")
    values = torch.randn(60, generator=generator()) ** 2
    values = values.double()
    found = bootstrap_interval(values, num_samples=20_000, confidence=0.9, generator=generator())
    other = stats.bootstrap(
        (values.numpy(),), np.mean, n_resamples=20_000, confidence_level=0.9, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    low, high = map(float, other)
    assert found.low == pytest.approx(low, abs=0.03 * (high - low))
    assert found.high == pytest.approx(high, abs=0.03 * (high - low))


def test_the_paired_interval_equals_a_loop():
    a = torch.rand(50, generator=generator()) < 0.8
    b = torch.rand(50, generator=generator(1)) < 0.6
    found = paired_bootstrap_difference(a, b, num_samples=2000, generator=generator(2))
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(2000):
        take = rng.integers(0, 50, 50)
        draws.append(a.numpy()[take].mean() - b.numpy()[take].mean())
    assert found.estimate == pytest.approx(a.double().mean() - b.double().mean())
    assert found.low == pytest.approx(np.quantile(draws, 0.025), abs=0.025)
    assert found.high == pytest.approx(np.quantile(draws, 0.975), abs=0.025)


def test_pairing_takes_out_what_both_share():
    hard = torch.rand(400, generator=generator()) < 0.5
    better = hard.clone()
    better[:20] = True
    pair = paired_bootstrap_difference(better, hard, generator=generator(1))
    alone = [bootstrap_interval(x, generator=generator(1)) for x in (better, hard)]
    assert pair.excludes_zero
    assert pair.low > 0
    assert alone[0].low < alone[1].high  # unpaired, the same gain drowns


def test_the_interval_covers_the_truth_as_often_as_it_says():
    truth, n, trials = 0.7, 100, 300
    draws = torch.rand(trials, n, generator=generator()) < truth
    inside = 0
    for trial, correct in enumerate(draws):
        found = bootstrap_interval(correct, num_samples=500, generator=generator(trial))
        inside += found.low <= truth <= found.high
    assert 0.90 <= inside / trials <= 0.985


def test_draws_depend_on_the_generator_alone(monkeypatch):
    correct = torch.rand(33, generator=generator()) < 0.5
    first = bootstrap_interval(correct, generator=generator(5))
    assert first == bootstrap_interval(correct, generator=generator(5))
    assert first == bootstrap_interval(correct.double() * 1.0, generator=generator(5))
    monkeypatch.setattr("vidskim.evaluate.metrics.BLOCK", 100)  # in many small blocks
    assert first == bootstrap_interval(correct, generator=generator(5))


def test_one_video_and_perfect_methods_have_no_width():
    found = bootstrap_interval(torch.tensor([True]), num_samples=10, generator=generator())
    assert (found.low, found.estimate, found.high) == (1.0, 1.0, 1.0)
    assert not paired_bootstrap_difference(
        torch.ones(5), torch.ones(5), generator=generator()
    ).excludes_zero


def loop_hits(clips, moments, share):
    table = []
    for a, b in clips:
        line = []
        for c, d in moments:
            overlap = min(b, d) - max(a, c)
            line.append(overlap >= share * min(b - a, d - c) - 1e-9)
        table.append(line)
    return np.array(table).reshape(len(clips), len(moments))


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_hits_precision_and_recall_equal_a_loop(share):
    start = torch.rand(40, generator=generator()).double() * 100
    clips = torch.stack([start, start + 2], 1)
    start = torch.rand(6, generator=generator(1)).double() * 100
    moments = torch.stack([start, start + 12 * torch.rand(6, generator=generator(2)) + 0.5], 1)
    expected = loop_hits(clips.tolist(), moments.tolist(), share)
    assert 0 < expected.sum() < expected.size
    assert np.array_equal(hits(clips, moments, min_overlap=share).numpy(), expected)
    found = precision_at_k(clips, moments, min_overlap=share)
    assert found == pytest.approx(expected.any(1).mean())
    assert recall(clips, moments, min_overlap=share) == pytest.approx(expected.any(0).mean())


def test_hits_at_the_edges():
    moment = torch.tensor([[10.0, 13.0]])
    clips = torch.tensor([[8.0, 10.0], [9.0, 11.0], [9.1, 10.0], [5.0, 20.0], [13.0, 15.0]])
    assert hits(clips, moment).flatten().tolist() == [False, True, False, True, False]


def test_precision_without_moments_and_recall_without_clips_are_zero():
    some, none = torch.tensor([[0.0, 1.0]]), torch.zeros(0, 2)
    assert precision_at_k(some, none) == 0.0
    assert recall(none, some) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: top_k_accuracy(torch.zeros(0, 3), torch.zeros(0).long()), "at least one video"),
        (lambda: top_k_accuracy(torch.zeros(2, 3), torch.zeros(3).long()), r"\[2, 3\] and \[3\]"),
        (lambda: top_k_accuracy(torch.zeros(1, 3), torch.zeros(1).long(), k=0), "k is 0"),
        (lambda: top_k_accuracy(torch.full((1, 3), math.nan), torch.zeros(1).long()), "NaN"),
        (lambda: mean_class_accuracy(torch.zeros(2), torch.zeros(3)), "one length"),
        (lambda: bootstrap_interval(torch.zeros(0), generator=generator()), "at least one value"),
        (
            lambda: bootstrap_interval(torch.zeros(3), confidence=95, generator=generator()),
            "between 0 and 1",
        ),
        (
            lambda: paired_bootstrap_difference(
                torch.zeros(3), torch.zeros(4), generator=generator()
            ),
            "the same videos",
        ),
        (lambda: hits(torch.tensor([[2.0, 1.0]]), torch.zeros(0, 2)), "start before end"),
        (lambda: hits(torch.zeros(0, 2), torch.zeros(0, 2), min_overlap=0), "min_overlap is 0"),
        (lambda: precision_at_k(torch.zeros(0, 2), torch.zeros(0, 2)), "at least one chosen"),
        (lambda: recall(torch.zeros(0, 2), torch.zeros(0, 2)), "at least one true moment"),
    ],
)
def test_impossible_calls_say_why(call, message):
    with pytest.raises(UsageError, match=message):
        call()
