"""Method ``sfc`` by name: which model, which frames, and its parts for a recognizer.

Liu et al., "Selective Feature Compression", ICCV 2021: a trimmed video goes in as it is; of a long
one eight segments, spread evenly, are joined (section 6).
"""

from dataclasses import replace

import torch
from torch import Tensor

from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network
from vidskim.backbones.resolution import resized_transform
from vidskim.errors import UsageError
from vidskim.look import selection
from vidskim.look.look import Look
from vidskim.model.around import Around
from vidskim.model.compressed import Compressed, map_channels, own_size
from vidskim.model.compressed_file import is_compressed, load_compressed
from vidskim.model.compression import TemporalCompression

METHOD = "sfc"

MAX_FRAMES = 4096
"""Frames of a video up to which it goes in whole: the paper's "approximately 4k frames (2 minutes
of videos at 30 FPS)"; counted before the stride."""

NUM_SEGMENTS = 8
"""Of a longer one (section 6)."""


def untrained_sfc(backbone: Network, *, at: str | None = None) -> Compressed:
    """Put an untrained compression into a backbone, the same each time; see `default_stage`."""
    at = at or default_stage(backbone)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        compression = TemporalCompression(map_channels(backbone, at))
    return Compressed(backbone, at=at, compression=compression).eval()


def default_stage(backbone: Network) -> str:
    """Return where the paper cuts: after res3, TPN after res4; other networks in their middle."""
    if "neck" in backbone.stages:
        return "res4"
    return "res3" if "res3" in backbone.stages else backbone.stages[(len(backbone.stages) - 1) // 2]


def told(model: Compressed) -> str:
    """Return what a model's compression is, in a few words."""
    return f"compressed {model.compression.ratio} to 1 after {model.at}"


AROUND = Around(
    METHOD,
    "compression",
    "a compression inside",
    holds=is_compressed,
    load=load_compressed,
    untrained=untrained_sfc,
    told=lambda model: f"{model.backbone.name}, {told(model)}",
)
is_sfc_model, open_sfc = AROUND.is_file, AROUND.open


def sfc_look(model: Compressed, *, segment: ClipSpec | None = None, k: int | None = None) -> Look:
    """Return the look of the method.

    That is what the model was trained on: segments spread evenly, or the whole video, and eight
    segments where it is longer than `MAX_FRAMES`. With k, so many segments.

    Args:
        model: whose.
        segment: length of one, by default the model's; see `segment_of`.
        k: number of segments.

    Raises:
        UsageError: k below 1.
    """
    if k is None and model.segments is not None:
        k = model.segments[0]
    if k is not None:
        selection.check_k(k)
        return Look(METHOD, selection.by_place(k), k=k)
    clip = segment or model.segment
    span = clip.num_frames * clip.stride

    def choose(scores: Tensor | None, num_clips: int, generator: torch.Generator) -> list[int]:
        if num_clips * span <= max(MAX_FRAMES, span):
            return selection.dense(num_clips)
        return selection.uniform(num_clips, k=NUM_SEGMENTS)

    return Look(METHOD, choose)


def set_whole_size(model: Compressed, size: int) -> None:
    """Let a model look at whole frames of another short side.

    Raises:
        UsageError: no size in pixels, or a network of position embeddings, which takes no other.
    """
    if type(size) is not int or size < 1:
        raise UsageError(f"a test size is a whole number of pixels above zero, got {size!r}")
    own = own_size(model.backbone)
    if own is not None:
        raise UsageError(f"{model.name} takes frames of {own[0]}x{own[1]} only: leave out the size")
    model.transform = replace(resized_transform(model.transform, size), crop=None)


def segment_of(model: Compressed, num_frames: int | None) -> ClipSpec:
    """Return the candidates for segments: the model's own, or clips of so many frames.

    Args:
        model: whose.
        num_frames: of one segment, before the stride: 32 and 128 in the paper's table 7.

    Raises:
        UsageError: fewer than the stride, or more than go in whole.
    """
    clip = model.segment
    if num_frames is None:
        return clip
    if type(num_frames) is not int or not clip.stride <= num_frames <= MAX_FRAMES:
        raise UsageError(
            f"a segment has at least {clip.stride} frames, the stride of {model.name}, and at most "
            f"{MAX_FRAMES}, got {num_frames!r}"
        )
    return replace(clip, num_frames=num_frames // clip.stride)
