"""Saliency from the motion that the encoder already found: its energy, without any training."""

from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from vidskim.look.network import NO_VECTORS, fill_unseen, warn
from vidskim.look.packets import PacketSaliency
from vidskim.types import Clip
from vidskim.video import Video


def motion_energy(vectors: Tensor, *, intra: Tensor) -> Tensor:
    """Return how fast things move against their surroundings, in pixels per frame.

    The median vector of a frame stands for the camera and is taken off. Cells without any vector
    (intra) say nothing: they have no part in the median, and in the mean every cell counts with the
    share of its area that has vectors.

    Args:
        vectors: ``[P, 2, h, w]`` source pixels per frame.
        intra: share of every cell without a vector, ``[P, h, w]``.

    Returns:
        ``[P]``; 0 for a frame that is all intra.
    """
    known = 1 - intra
    told = torch.where(known[:, None] > 0, vectors, torch.nan)  # [P, 2, h, w]
    camera = told.flatten(2).nanmedian(dim=2).values[:, :, None, None].nan_to_num()  # [P, 2, 1, 1]
    dx, dy = (vectors - camera).unbind(1)
    speed = (dx * dx + dy * dy).sqrt()  # [P, h, w]; a third of the time of norm(dim=1)
    energy: Tensor = (speed * known).sum((1, 2)) / known.sum((1, 2)).clamp_min(1e-6)
    return energy


class MotionEnergy:
    """A `Saliency` from motion energy: no training, one decode without pixels."""

    def __call__(self, video: Video, clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]`` in [0, 1): 1 - exp(-energy), energy in pixels per frame.

        Frames that are all intra are left out: they tell of no motion. Clips without any other
        (key pictures only) get the mean score of the others; a video without any (codecs whose
        decoders export no vectors) is scored by its packet sizes, and a warning says so.

        Raises:
            VideoError: the file cannot be read.
        """
        scores, seen = torch.zeros(len(clips)), torch.zeros(len(clips), dtype=torch.bool)
        stream = video.iter_motion(clips)
        for _, motion in tqdm(stream, "looking", len(clips), leave=False, delay=2, disable=None):
            known = motion.intra.flatten(1).amin(1) < 1  # [P]
            if known.any():
                energy = motion_energy(motion.vectors[known], intra=motion.intra[known])
                place = int(motion.clip_index[0])
                scores[place] = (1 - torch.exp(-energy)).mean()
                seen[place] = True
        if not seen.any():
            warn(video, NO_VECTORS)
            return PacketSaliency()(video, clips)
        return fill_unseen(scores, seen)
