"""The paper's combinations against sets computed as section 3.3.3 words them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidskim.errors import UsageError
from vidskim.look.fusion import RULES, fuse, places
from vidskim.look.selection import top_k

LISTS = st.integers(1, 14).flatmap(
    lambda n: st.tuples(st.permutations(range(n)), st.permutations(range(n)), st.integers(1, n))
)


def scores_of(order: list[int]) -> torch.Tensor:
    """Return scores in which the clips stand in this order, best first."""
    scores = torch.empty(len(order))
    for place, clip in enumerate(order):
        scores[clip] = 1 - place / len(order)
    return scores


@given(LISTS, st.data())
def test_the_union_is_the_best_seen_and_the_best_heard_of_the_others(lists, data):
    seen, heard, k = lists
    visual_k = data.draw(st.integers(0, k))
    scores = fuse(scores_of(seen), scores_of(heard), rule="union_list", k=k, visual_k=visual_k)
    first = set(seen[:visual_k])
    added = [clip for clip in heard if clip not in first][: k - visual_k]
    assert top_k(scores, k=k) == sorted(first | set(added))
    assert scores.min() >= 0
    assert scores.max() <= 1


@given(LISTS)
def test_the_intersection_grows_until_it_holds_k(lists):
    seen, heard, k = lists
    m = next(m for m in range(1, len(seen) + 1) if len({*seen[:m]} & {*heard[:m]}) >= k)
    common = [clip for clip in seen[:m] if clip in heard[:m]]  # trimmed from the visual list's end
    scores = fuse(scores_of(seen), scores_of(heard), rule="intersect_list", k=k)
    assert top_k(scores, k=k) == sorted(common[:k])


@given(LISTS, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_the_convex_list_averages_places(lists, alpha):
    seen, heard, k = lists
    mean = {c: alpha * heard.index(c) + (1 - alpha) * seen.index(c) for c in seen}
    expected = sorted(seen, key=lambda c: (mean[c], seen.index(c)))[:k]
    scores = fuse(scores_of(seen), scores_of(heard), rule="convex_list", k=k, alpha=alpha)
    assert top_k(scores, k=k) == sorted(expected)


def test_scores_are_mixed_as_they_are():
    visual, audio = torch.tensor([0.2, 0.8]), torch.tensor([0.6, 0.0])
    mixed = fuse(visual, audio, rule="convex_score", k=1, alpha=0.25)
    torch.testing.assert_close(mixed, torch.tensor([0.3, 0.6]))
    joint = fuse(visual, audio, rule="joint", k=1, alpha=0.9)
    torch.testing.assert_close(joint, torch.tensor([0.4, 0.4]))


def test_eight_of_ten_are_seen_by_default():
    visual = torch.linspace(1, 0, 30)  # the first clips
    audio = torch.linspace(0, 1, 30)  # the last ones
    chosen = top_k(fuse(visual, audio, rule="union_list", k=10), k=10)
    assert chosen == [*range(8), 28, 29]


def test_ties_go_to_the_earlier_clip():
    assert places(torch.tensor([0.5, 0.9, 0.5])).tolist() == [1, 0, 2]
    same = torch.full((5,), 0.5)
    for rule in RULES:
        assert top_k(fuse(same, same, rule=rule, k=2), k=2) == [0, 1]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"rule": "union-list"}, "did you mean 'union_list'"),
        ({"alpha": 1.5}, "between 0 and 1"),
        ({"alpha": float("nan")}, "between 0 and 1"),
        ({"visual_k": 3}, "of the 2 clips"),
        ({"visual_k": -1}, "of the 2 clips"),
    ],
)
def test_impossible_rules_are_refused(wrong, words):
    values = {"rule": "union_list", "k": 2} | wrong
    with pytest.raises(UsageError, match=words):
        fuse(torch.rand(4), torch.rand(4), **values)


@pytest.mark.parametrize("k", [11, 10**30, 10**400])
def test_more_clips_than_there_are_can_be_asked_for(k):
    seen, heard = torch.rand(2, 6, generator=torch.Generator().manual_seed(0))
    expected = fuse(seen, heard, rule="union_list", k=6, visual_k=6)
    assert torch.equal(fuse(seen, heard, rule="union_list", k=k), expected)
    assert torch.equal(fuse(seen, heard, rule="union_list", k=k, visual_k=k), expected)
