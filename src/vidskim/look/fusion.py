"""What is seen and what is heard to one order of clips (SCSampler, section 3.3.3).

Every rule puts the clips of a video in an order; the k first are what the paper's rule chooses.

    convex_score    by alpha * audio + (1 - alpha) * visual
    convex_list     by the same mean of the places in both lists
    intersect_list  the k clips that stand in the m first of both lists, for the least such m
    union_list      the k' first of the visual list, then the first of the audio list not among them
    joint           by the mean of both scores, of networks that were trained together for it
"""

import torch
from torch import Tensor

from vidskim.errors import UsageError, unknown_name

RULES = ("convex_score", "convex_list", "intersect_list", "union_list", "joint")
VISUAL_SHARE = 0.8
"""Share of the k clips that the union takes from the visual list: 8 of 10 in the paper."""


def fuse(
    visual: Tensor,
    audio: Tensor,
    *,
    rule: str,
    k: int,
    visual_k: int | None = None,
    alpha: float = 0.5,
) -> Tensor:
    """Combine the scores of both modalities.

    Args:
        visual: ``[N]`` in [0, 1].
        audio: ``[N]`` in [0, 1].
        rule: one of `RULES`.
        k: clips that will be chosen; only ``union_list`` depends on it.
        visual_k: K' of the union, by default `VISUAL_SHARE` of k.
        alpha: weight of the audio list in the convex rules.

    Returns:
        Scores ``[N]`` in [0, 1] whose k highest are the rule's choice. Rules on lists give places,
        not saliencies: 1 for the first clip, 1 / N for the last.

    Raises:
        UsageError: an unknown rule, alpha outside of [0, 1], or a visual_k outside of [0, k].
    """
    check_rule(rule, k=k, visual_k=visual_k, alpha=alpha)
    if rule == "joint":
        return (visual + audio) / 2
    if rule == "convex_score":
        return alpha * audio + (1 - alpha) * visual
    seen, heard = places(visual), places(audio)
    if rule == "convex_list":
        key = alpha * heard.double() + (1 - alpha) * seen.double()
    elif rule == "intersect_list":
        key = torch.maximum(seen, heard).double()
    else:
        k = min(k, 2 * len(visual))  # as good as any more
        share = round(VISUAL_SHARE * k) if visual_k is None else min(visual_k, k)
        key = _union(seen, heard, k=k, visual_k=share).double()
    order = sorted(range(len(key)), key=lambda n: (float(key[n]), int(seen[n])))
    scores = torch.empty(len(key))
    scores[torch.tensor(order, dtype=torch.int64)] = 1 - torch.arange(len(key)) / max(len(key), 1)
    return scores


def check_rule(rule: str, *, k: int, visual_k: int | None = None, alpha: float = 0.5) -> None:
    """Refuse what cannot be meant; see `fuse`.

    Raises:
        UsageError: an unknown rule, alpha outside of [0, 1], or a visual_k outside of [0, k].
    """
    if rule not in RULES:
        raise unknown_name("combination", rule, RULES)
    if not 0 <= alpha <= 1:
        raise UsageError(f"alpha is the weight of sound, between 0 and 1, got {alpha}")
    if visual_k is not None and not 0 <= visual_k <= k:
        raise UsageError(f"visual_k is how many of the {k} clips are chosen by sight, {visual_k}?")


def places(scores: Tensor) -> Tensor:
    """Return the place of each clip in the list sorted by score, int64 ``[N]``, 0 the first.

    Ties go to the earlier clip, as in `vidskim.look.selection.top_k`.
    """
    order = torch.sort(scores.double(), descending=True, stable=True).indices
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))


def _union(seen: Tensor, heard: Tensor, *, k: int, visual_k: int) -> Tensor:
    """Return sort keys ``[N]``: k' clips by sight, k - k' others by sound, the rest by sight."""
    key = seen + len(seen)
    key[seen < visual_k] = seen[seen < visual_k] - len(seen)
    others = torch.where(seen < visual_k, len(seen), heard)
    added = torch.sort(others, stable=True).indices[: k - visual_k]
    added = added[seen[added] >= visual_k]
    key[added] = heard[added]
    return key
