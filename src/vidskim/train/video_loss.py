"""The joint loss on the clips of a video and on what they say together.

Yang et al., "Beyond Short Clips", CVPR 2021, eq. 1. H_n are the class scores of clip n before
softmax, H their mean over the N clips::

    L = alpha CE(H, y) + (1 - alpha) (1 / N) sum over n of CE(H_n, y)

The printed formula is lost in the text we have, which says that alpha balances the two terms: this
reading of it, its value (0.5 in the recipes) and that scores are averaged rather than
probabilities are our choice.
"""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy


def video_loss(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the mean loss over videos, a scalar.

    Args:
        logits: of each clip, ``[B, N, K]``.
        target: class indices ``[B]``; or, where several classes may be true at once, 0 or 1 for
            each ``[B, K]``: the loss is then the mean binary cross entropy over classes.
        alpha: weight of the video-level term, in [0, 1]; with one clip both terms are the same.
        label_smoothing: share of a single label that is spread over all classes.
    """
    N = logits.shape[1]
    video = _loss(logits.mean(1), target, label_smoothing)
    clips = _loss(logits.flatten(0, 1), target.repeat_interleave(N, dim=0), label_smoothing)
    return alpha * video + (1 - alpha) * clips


def _loss(logits: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
    if target.ndim == 2:
        return binary_cross_entropy_with_logits(logits, target.to(logits.dtype))
    return cross_entropy(logits, target, label_smoothing=label_smoothing)
