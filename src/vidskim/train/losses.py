"""SCSampler's three objectives as pure functions (section 3.2).

With f_y(i) the frozen classifier's probability of the true class on clip i, O the oracle's k clips
and s(i) in [0, 1] the sampler's score::

    AC         cross entropy of the video's label on every input          (section 3.2.1)
    SAL-CL     binary cross entropy of s(i) and [i in O]                   (section 3.2.2)
    SAL-RANK   max(0, margin - z (s(i) - s(j))),  z = sign(f_y(i) - f_y(j))

The third is sometimes seen typeset as ``max(0, -z (s(i) - s(j) + margin))``. Read literally, that
asks for a margin only where z = -1 and grants one where z = +1, so that the loss of a pair would
depend on which clip is named first; here both orders of a pair cost the same.
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, cross_entropy, nll_loss

TINY = 1e-7
"""Below this a probability counts as this, so that no logarithm is infinite."""


def action_loss(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return AC: the cross entropy of inputs with their video's label.

    Args:
        logits: ``[P, K]``.
        target: class indices ``[P]``.
        label_smoothing: share of the target spread over all classes.
    """
    return cross_entropy(logits, target, label_smoothing=label_smoothing)


def mean_action_loss(probability: Tensor, target: Tensor) -> Tensor:
    """Return AC for class probabilities that were averaged over several networks.

    Args:
        probability: ``[B, K]``.
        target: class indices ``[B]``.
    """
    return nll_loss(probability.clamp_min(TINY).log(), target)


def membership_loss(scores: Tensor, member: Tensor) -> Tensor:
    """Return SAL-CL: the binary cross entropy of scores and membership in the oracle's choice.

    Args:
        scores: ``[B]`` in [0, 1].
        member: ``[B]``, 1 for clips of the oracle's choice, else 0.
    """
    return binary_cross_entropy(scores.clamp(TINY, 1 - TINY), member.to(scores.dtype))


def ranking_loss(scores: Tensor, truth: Tensor, *, margin: float) -> Tensor:
    """Return SAL-RANK over all pairs of clips of the same video.

    Pairs that the classifier scores exactly alike have no order and are skipped; without any other
    pair the loss is 0.

    Args:
        scores: ``[V, M]`` in [0, 1], M clips of each of V videos.
        truth: ``[V, M]``, the classifier's probability f_y of each clip.
        margin: by how much the better clip should score higher, above 0.

    Returns:
        The mean over the pairs.
    """
    M = scores.shape[1]
    first, second = torch.triu_indices(M, M, offset=1, device=scores.device)
    order = torch.sign(truth[:, first] - truth[:, second]).to(scores.dtype)  # [V, pairs]
    difference = scores[:, first] - scores[:, second]
    ordered = order != 0
    loss = (margin - order * difference).clamp_min(0) * ordered
    return loss.sum() / ordered.sum().clamp_min(1)


def clip_scores(values: Tensor, *, num_inputs: int) -> Tensor:
    """Average over each clip's inputs, as a sampler does when it looks.

    Args:
        values: ``[B * num_inputs, K]``, what `NetworkSaliency.read_out` gives; the inputs of one
            clip are neighbors.
        num_inputs: inputs per clip.

    Returns:
        ``[B, K]``.
    """
    return values.reshape(-1, num_inputs, values.shape[1]).mean(1)
