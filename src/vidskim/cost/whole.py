"""What one pass over a whole video costs, compressed inside the network, and what without."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from vidskim.account import Count, count
from vidskim.backbones.contract import Maps
from vidskim.errors import UsageError, by
from vidskim.model.compressed import Compressed
from vidskim.model.compression import attention_macs

VIDEO_FRAMES = 288
"""Of the video that a pass over a whole one is counted for, before the stride: the paper's (Liu et
al., "Selective Feature Compression", ICCV 2021: 36, 72 and 144 at strides 8, 4 and 2)."""

VIDEO_SIZE = (256, 312)
"""(height, width) of its frames before the transform; the paper's, too."""

NUM_CLIPS, NUM_CROPS = 10, 3
"""The views that a pass over a whole video takes the place of."""


@dataclass(frozen=True, slots=True)
class PassCost:
    """What one pass over a whole video costs, and what attention's own two products are of it."""

    counted: Count
    """All that runs."""
    num_steps: int
    """T of the map that is compressed."""
    num_kept: int
    attention_macs: int
    """Of M and of its mixing, which the paper leaves out of its costs."""

    @property
    def as_in_paper(self) -> Count:
        """All that runs but these products."""
        return replace(
            self.counted,
            macs=self.counted.macs - self.attention_macs,
            macs_with_2bn=self.counted.macs_with_2bn - self.attention_macs,
        )


@dataclass(frozen=True, slots=True)
class Compression:
    """What a compression inside a backbone does to a whole video, and what that is instead of."""

    one_pass: PassCost
    at: str
    """Stage after which it compresses."""
    ratio: str
    """Tau."""
    params: int
    is_papers_video: bool
    """The input is a video of the paper's length and shape, as the model's transform gives it."""
    uncompressed: Count
    """One pass over the same input, nothing compressed."""
    views: Count
    """The backbone on ten clips of its own size with three crops each."""

    def to_json(self) -> dict[str, Any]:
        """Return what ``vidskim cost --json`` tells of such a model besides the sum."""
        return {
            "macs_with_2bn": self.one_pass.counted.macs_with_2bn,
            "attention_macs": self.one_pass.attention_macs,
            "compression": {
                "at": self.at,
                "ratio": self.ratio,
                "params": self.params,
                "num_steps": self.one_pass.num_steps,
                "num_kept": self.one_pass.num_kept,
            },
            "uncompressed": _to_json(self.uncompressed),
            "views": _to_json(self.views),
        }


class OnePass(nn.Module):
    """A model on all frames of a video at once, as it answers, with or without its compression."""

    def __init__(self, model: Compressed, *, compresses: bool = True) -> None:
        super().__init__()
        self.model = model
        self.compresses = compresses

    def forward(self, x: Tensor) -> Tensor:
        """Map a video ``[1, 3, T, h, w]`` to its logits ``[1, K]``."""
        model = self.model
        maps = model.encode_parts(iter([x])) if model.takes_own_length() else model.encode(x)
        if self.compresses:
            maps = model.compression(maps)
        logits: Tensor = model.classify(model.late(maps))
        return logits


def pass_cost(model: Compressed, input_shape: Sequence[int]) -> PassCost:
    """Count a pass over a whole video, on the meta device.

    A long video goes through the early part in windows that overlap, which costs a little more.

    Args:
        model: whose compression and size of frames are taken as they are.
        input_shape: ``(1, 3, T, h, w)``, T after the stride.

    Raises:
        UsageError: the network does not take this shape.
    """
    seen: list[Maps] = []
    hook = model.compression.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        counted = count(OnePass(model), input_shape)
    finally:
        hook.remove()
    compression, maps = model.compression, seen[-1]
    first, *others = maps if isinstance(maps, tuple) else (maps,)
    _, C, T, H, W = first.shape
    K = compression.num_kept(T)
    # the abstraction's stride: half of the height and width, rounded up
    small = (H, W) if compression.abstraction is None else ((H + 1) // 2, (W + 1) // 2)
    mixed = small if compression.value == "abstracted" else (H, W)
    macs = attention_macs((C, T, *mixed), num_kept=K, small=small)
    for _, c, t, h, w in (other.shape for other in others):
        if (t, h, w) != (1, 1, 1):  # a class token passes as it is
            macs += attention_macs((c, T, t // T * h, w), num_kept=K, small=(0, 0))
    return PassCost(counted, T, K, macs)


def whole_cost(
    model: Compressed, *, name: str, input_shape: tuple[int, ...] | None = None
) -> Compression:
    """Count a backbone with a compression inside on a whole video, beside what it saves.

    Args:
        model: any.
        name: what it is called where it does not fit.
        input_shape: ``(C, T, h, w)``, T after the stride; by default that of `VIDEO_FRAMES` of
            `VIDEO_SIZE`.

    Raises:
        UsageError: an input that the network does not take.
    """
    if input_shape is not None:
        check_dimensions(name, input_shape, wanted=4)
    shape = whole_input(model) if input_shape is None else (1, *input_shape)
    clip = count(model.backbone, model.own_clip.input_shape)
    times = NUM_CLIPS * NUM_CROPS
    return Compression(
        pass_cost(model, shape),
        model.at,
        str(model.compression.ratio),
        sum(p.numel() for p in model.compression.parameters()),
        input_shape is None,
        count(OnePass(model, compresses=False), shape),
        replace(
            clip,
            macs=times * clip.macs,
            macs_with_2bn=times * clip.macs_with_2bn,
            input_shape=(times, *clip.input_shape[1:]),
        ),
    )


def whole_input(model: Compressed) -> tuple[int, int, int, int, int]:
    """Return ``(1, 3, T, h, w)`` of the paper's video as a model sees it.

    Where a model takes more frames, or a multiple of some number, the video is as much longer, as
    an answer's is.
    """
    least = max(VIDEO_FRAMES // model.own_clip.stride, model.min_frames)
    multiple = model.frame_multiple
    if model.takes_own_length():
        multiple = model.own_clip.num_frames
    size = model.transform.crop or model.transform.resized_size(*VIDEO_SIZE)
    return (1, 3, -(-least // multiple) * multiple, *size)


def check_dimensions(name: str, input_shape: tuple[int, ...], *, wanted: int) -> None:
    """Raise for an input with other dimensions than a network takes.

    Raises:
        UsageError: not channels x (frames x) height x width.
    """
    if len(input_shape) != wanted:
        size = "height x width" if wanted == 3 else "frames x height x width"
        given = by(input_shape)
        raise UsageError(f"{name} takes channels x {size}, got {given}")


def _to_json(counted: Count) -> dict[str, Any]:
    return {
        "macs": counted.macs,
        "macs_with_2bn": counted.macs_with_2bn,
        "input": list(counted.input_shape),
    }
