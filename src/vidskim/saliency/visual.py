"""Saliency from the motion that the encoder already found: energy, and a small trained network."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vidskim.errors import CheckpointError
from vidskim.saliency.packets import PacketSaliency
from vidskim.types import Clip

if TYPE_CHECKING:
    from vidskim.video import Video

MOTION_SCALE = 4.0
"""Network input is motion in units of this many pixels per frame, cut at plus and minus 5 units."""


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


def network_input(vectors: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
    """Scale motion maps ``[P, 2, h, w]`` for a network, resized to ``size`` if one is given."""
    x = (vectors / MOTION_SCALE).clamp(-5, 5)
    if size is not None and tuple(x.shape[-2:]) != size:
        x = nn.functional.interpolate(x, size=size, mode="bilinear", antialias=True)
    return x


def mean_per_clip(values: Tensor, *, clip_index: Tensor, num_clips: int) -> tuple[Tensor, Tensor]:
    """Average rows that belong to one clip.

    Args:
        values: ``[P, ...]``.
        clip_index: ``[P]``, the clip each row belongs to.
        num_clips: N.

    Returns:
        Means ``[N, ...]`` (0 where a clip has no row) and the number of rows ``[N]``.
    """
    count = torch.zeros(num_clips).index_add_(0, clip_index, torch.ones(len(clip_index)))
    total = torch.zeros(num_clips, *values.shape[1:]).index_add_(0, clip_index, values.float())
    return total / count.clamp_min(1).reshape(-1, *[1] * (values.ndim - 1)), count


class MotionEnergy:
    """A `Saliency` from motion energy: no training, one decode without pixels."""

    def __call__(self, video: "Video", clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]`` in [0, 1): 1 - exp(-energy), energy in pixels per frame."""

        def score(vectors: Tensor, intra: Tensor) -> Tensor:
            return 1 - torch.exp(-motion_energy(vectors, intra=intra))

        return _score_motion(video, clips, score)


class MotionSaliency:
    """SCSampler's visual saliency on motion displacements, objective AC (sections 3.2.1, 3.3.1).

    A small classifier g sees every motion map of a clip alone; its class probabilities are averaged
    over the clip's maps and the largest is the score: s(clip) = max_c mean_p g_c(map_p).

    Args:
        network: motion maps ``[P, 2, h, w]`` to class logits ``[P, K]``.
        size: (h, w) the maps are resized to; None leaves them at 1/16 of the video.
        batch_size: maps per forward pass.
    """

    def __init__(
        self, network: nn.Module, *, size: tuple[int, int] | None = None, batch_size: int = 128
    ) -> None:
        self.network = network.eval()
        self.size = size
        self.batch_size = batch_size

    def probabilities(self, vectors: Tensor, intra: Tensor) -> Tensor:
        """Return class probabilities ``[P, K]`` of single maps."""
        return torch.softmax(self.network(network_input(vectors, size=self.size)).float(), dim=1)

    @torch.inference_mode()
    def __call__(self, video: "Video", clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]`` in [0, 1].

        Raises:
            CheckpointError: the network answers with something that is no number.
        """
        scores = _score_motion(video, clips, self.probabilities, batch_size=self.batch_size)
        if not scores.isfinite().all():
            raise CheckpointError(
                "the saliency network answers with something that is no number; its weights are "
                "damaged, give others"
            )
        return scores


def _score_motion(
    video: "Video",
    clips: Sequence[Clip],
    score: Callable[[Tensor, Tensor], Tensor],
    *,
    batch_size: int = 128,
) -> Tensor:
    """Average per-map values over clips (the largest class of it); memory flat in the length.

    Maps that are all intra are left out, as in training: they tell of no motion. Clips without any
    map (key pictures only) get the mean score of the others; a video without any map at all (codecs
    whose decoders export no vectors) is scored by its packet sizes, and a warning says so.
    """
    total: Tensor | None = None
    count = torch.zeros(len(clips))
    place = {clip.index: n for n, clip in enumerate(clips)}
    for vectors, intra, owner in _batches(video, clips, place, batch_size):
        values = score(vectors, intra)  # [P] or [P, K]
        mean, rows = mean_per_clip(values, clip_index=owner, num_clips=len(clips))
        part = mean * rows.reshape(-1, *[1] * (mean.ndim - 1))
        total = part if total is None else total + part
        count += rows
    if total is None:
        warning = "no motion vectors in this file: clips were scored by packet sizes instead"
        if warning not in video.warnings:
            video.warnings.append(warning)
        return PacketSaliency()(video, clips)
    mean = total / count.clamp_min(1).reshape(-1, *[1] * (total.ndim - 1))
    scores = mean if mean.ndim == 1 else mean.max(dim=1).values  # [N]
    seen = count > 0
    scores[~seen] = scores[seen].mean()
    return scores


def _batches(
    video: "Video", clips: Sequence[Clip], place: dict[int, int], batch_size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield vectors ``[P, 2, h, w]``, intra ``[P, h, w]``, clips ``[P]``; P near batch_size."""
    vectors: list[Tensor] = []
    intra: list[Tensor] = []
    owner: list[Tensor] = []
    stream = video.iter_motion(clips)
    for clip, motion in tqdm(stream, "looking", len(clips), leave=False, delay=2, disable=None):
        known = motion.intra.flatten(1).amin(1) < 1  # [P]
        if not known.any():
            continue
        vectors.append(motion.vectors[known])
        intra.append(motion.intra[known])
        owner.append(torch.full((int(known.sum()),), place[clip.index]))
        if sum(map(len, owner)) >= batch_size:
            yield torch.cat(vectors), torch.cat(intra), torch.cat(owner)
            vectors, intra, owner = [], [], []
    if owner:
        yield torch.cat(vectors), torch.cat(intra), torch.cat(owner)
