"""What was attended to in a video, where its frames were compressed inside the network."""

from collections.abc import Sequence

import torch

from vidskim.model.compression import Attention
from vidskim.types import TimeAttention

Attended = tuple[Attention, Sequence[int], Sequence[int]]
"""An attention over the steps of a map, the numbers of the frames that went in, and the place among
them of the frame that each step begins with."""


def together(parts: Sequence[Attended], *, times: Sequence[float]) -> TimeAttention:
    """Return the attention of all runs that were compressed, and when its steps are.

    Of several runs it is block diagonal: what is kept of one mixes the steps of that run alone.
    Where the last frame was repeated, the last steps are its; of several crops the center one's
    attention is shown.

    Args:
        parts: of each run, in time order.
        times: of every frame of the video, in seconds.
    """
    indices: list[int] = []
    weights, kept = [], []
    for attention, frames, first_frames in parts:
        center = len(attention.weights) // 2
        weights.append(attention.weights[center].float().cpu())
        if attention.kept is not None:
            kept += [len(indices) + n for n in attention.kept[center].tolist()]
        indices += [frames[min(place, len(frames) - 1)] for place in first_frames]
    has_kept = all(attention.kept is not None for attention, _, _ in parts)
    # in the order of time, which runs of overlapping clips are not
    order = sorted(range(len(indices)), key=indices.__getitem__)
    place = {step: n for n, step in enumerate(order)}
    joined = torch.block_diag(*weights)  # type: ignore[no-untyped-call]
    return TimeAttention(
        frame_indices=tuple(indices[step] for step in order),
        seconds=tuple(times[min(indices[step], len(times) - 1)] for step in order),
        weights=joined[:, order],
        kept=tuple(place[step] for step in kept) if has_kept else None,
    )
