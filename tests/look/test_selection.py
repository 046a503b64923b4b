import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidskim.errors import UsageError
from vidskim.look import selection

COUNTS = st.integers(1, 60)


def is_choice(indices: list[int], *, num_clips: int, k: int) -> bool:
    return (
        indices == sorted(set(indices))
        and len(indices) == min(k, num_clips)
        and all(type(i) is int and 0 <= i < num_clips for i in indices)
    )


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), COUNTS)
def test_top_k_against_a_loop(values: list[int], k: int):
    left = list(enumerate(values))
    expected = []
    for _ in range(min(k, len(values))):
        best = left[0]
        for candidate in left:  # the first of the largest
            if candidate[1] > best[1]:
                best = candidate
        left.remove(best)
        expected.append(best[0])
    chosen = selection.top_k(torch.tensor(values).float() / 9, k=k)
    assert chosen == sorted(expected)
    assert is_choice(chosen, num_clips=len(values), k=k)


def test_top_k_never_prefers_what_is_no_number():
    scores = torch.tensor([float("nan"), 0.0, float("-inf"), 0.1, float("nan")])
    assert selection.top_k(scores, k=2) == [1, 3]
    assert selection.top_k(scores, k=3) == [1, 2, 3]


@given(COUNTS, COUNTS)
def test_uniform_is_the_middle_of_equal_parts(num_clips: int, k: int):
    chosen = selection.uniform(num_clips, k=k)
    assert is_choice(chosen, num_clips=num_clips, k=k)
    parts = min(k, num_clips)
    centers = (np.arange(parts) + 0.5) * num_clips / parts
    assert all(abs(i + 0.5 - center) <= 0.5 for i, center in zip(chosen, centers))


@given(COUNTS, COUNTS, st.integers(0, 2**40))
def test_random_is_drawn_by_the_generator_alone(num_clips: int, k: int, seed: int):
    draws = [
        selection.random(num_clips, k=k, generator=torch.Generator().manual_seed(seed))
        for _ in range(2)
    ]
    assert draws[0] == draws[1]
    assert is_choice(draws[0], num_clips=num_clips, k=k)


def test_random_draws_every_clip_equally_often():
    generator = torch.Generator().manual_seed(0)
    counts = np.zeros(6)
    for _ in range(3000):
        counts[selection.random(6, k=2, generator=generator)] += 1
    # 1000 expected each, standard deviation 26
    assert np.abs(counts - 1000).max() < 130


def test_the_selections_of_looks_are_these():
    scores = torch.tensor([0.3, 0.9, 0.1, 0.8])
    assert selection.by_score(2)(scores, 4, torch.Generator()) == [1, 3]
    assert selection.by_place(2)(None, 4, torch.Generator()) == [1, 3]
    assert selection.by_place(None)(None, 4, torch.Generator()) == [0, 1, 2, 3]
    first, second = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    expected = sorted(torch.randperm(9, generator=second)[:4].tolist())
    assert selection.by_chance(4)(None, 9, first) == expected


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
@pytest.mark.parametrize("build", [selection.by_score, selection.by_place, selection.by_chance])
def test_an_impossible_k_is_refused(build, k):
    with pytest.raises(UsageError, match="at least 1"):
        build(k)


def test_empirical_draws_follow_the_histogram():
    histogram = torch.tensor([1.0, 0.0, 3.0, 0.0])
    counts = torch.zeros(40)
    for seed in range(2000):
        generator = torch.Generator().manual_seed(seed)
        (chosen,) = selection.empirical(40, k=1, histogram=histogram, generator=generator)
        counts[chosen] += 1
    parts = counts.reshape(4, 10).sum(1) / 2000
    assert parts.tolist() == pytest.approx([0.25, 0, 0.75, 0], abs=0.04)
    assert counts[:10].min() > 20  # even inside a part
    generator = torch.Generator().manual_seed(0)
    assert selection.empirical(8, k=8, histogram=histogram, generator=generator) == list(range(8))


@pytest.mark.parametrize("wrong", [[], [0.0, 0.0], [1.0, -1.0], [float("nan"), 1.0]])
def test_an_impossible_histogram_is_refused(wrong):
    with pytest.raises(UsageError, match="histogram"):
        selection.empirical(
            4, k=1, histogram=torch.tensor(wrong), generator=torch.Generator().manual_seed(0)
        )
