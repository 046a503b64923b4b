"""Whole videos by hand: written, decoded and chosen from without a recognizer."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch

from vidskim.io.write.video import write_video
from vidskim.model.compression import Attention
from vidskim.model.full_precision import full_precision


def write_varied(path: Path, num_frames: int) -> Path:
    """Write frames of 128x96 pixels whose ground changes every eight of them and drifts."""
    grounds = np.random.default_rng(4).integers(0, 256, (32, 6, 8, 3), dtype=np.uint8)
    frames = (
        np.roll(grounds[n // 8 % 32].repeat(16, 0).repeat(16, 1), n, axis=1)
        for n in range(num_frames)
    )
    write_video(path, frames, options={"g": "12"})
    return path


def decoded(path: Path) -> torch.Tensor:
    """All frames, uint8 ``[F, 3, H, W]``."""
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def numbers_of(total: int, *, num_frames: int, stride: int, clips: list[int] | None = None):
    """The frames that go in: all, or those of these clips, where a rest of half a clip counts."""
    if clips is None:
        return list(range(0, total, stride))
    chosen, span = [], num_frames * stride
    for index, start in enumerate(range(0, total, span)):
        numbers = list(range(start, min(start + span, total), stride))
        if index and 2 * len(numbers) < num_frames:
            continue
        if index in clips:
            chosen += numbers
    return chosen


@torch.no_grad()
def whole_answer(model, frames: torch.Tensor, numbers: list[int], *, at_least: int = 0):
    """Class probabilities ``[K]`` and attention of one pass over frames of these numbers."""
    numbers = numbers + [numbers[-1]] * max(0, at_least - len(numbers))
    x = model.transform(frames[numbers])[None]
    attention = model.compression.compress(model.encode(x))[1]
    return model(x).softmax(1)[0].tolist(), attention


@dataclass
class Answered:
    logits: torch.Tensor
    attention: Attention
    num_steps: int


def answer_of(model, parts, **options) -> Answered:
    """Logits and attention of frames that come part by part, as a recognizer takes them."""
    features, attention, num_steps = model.attend(parts, **options)
    with full_precision(features):
        features = features if features.dtype == torch.float64 else features.float()
        return Answered(model.classify(features), attention, num_steps)
