"""Saliency from packet sizes alone: no training, no decoding."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vidskim.types import Clip
from vidskim.video import Video


def packet_scores(
    sizes: np.ndarray, picture_types: np.ndarray, *, spans: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Score stretches of a video by how many bytes the encoder spent on change.

    A predicted picture costs what motion compensation could not explain, so bytes follow motion
    and residual energy. Types are not comparable (a B-picture is small because it is a B-picture):
    each packet is measured against the median of its own type, in octaves. Key pictures tell of
    detail rather than change and are left out wherever a stretch has anything else.

    Args:
        sizes: bytes per packet in presentation order, ``[F]``.
        picture_types: "I", "P", "B" or "?" per packet, ``[F]``.
        spans: half-open packet ranges.

    Returns:
        One score in [0, 1] per span, float64 ``[N]``: 0 the least and 1 the most of this video;
        0.5 everywhere if nothing tells the spans apart.
    """
    octaves = np.zeros(len(sizes), dtype=np.float64)
    logs = np.log2(np.maximum(sizes, 1).astype(np.float64))
    for kind in np.unique(picture_types):
        mine = picture_types == kind
        octaves[mine] = logs[mine] - np.median(logs[mine])
    predicted = picture_types != "I"
    raw = np.zeros(len(spans), dtype=np.float64)
    for n, (start, stop) in enumerate(spans):
        part = octaves[start:stop]
        change = part[predicted[start:stop]]
        raw[n] = (change if len(change) else part).mean()
    low, high = (raw.min(), raw.max()) if len(raw) else (0.0, 0.0)
    if high - low < 1e-12:
        return np.full(len(spans), 0.5)
    return np.asarray((raw - low) / (high - low))


class PacketSaliency:
    """A `Saliency` that reads packet sizes and picture types only."""

    def __call__(self, video: Video, clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]`` in [0, 1]."""
        index = video.packets
        spans = [(clip.start_frame, min(clip.stop_frame, len(index.sizes))) for clip in clips]
        scores = packet_scores(index.sizes, index.picture_types, spans=spans)
        return torch.from_numpy(scores).float()
