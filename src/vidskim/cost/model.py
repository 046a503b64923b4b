"""What backbones cost on the clips they were made for, or on a whole video in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidskim.account import Count, count
from vidskim.backbones.contract import ClipSpec, Maps
from vidskim.backbones.files.checkpoint import load_backbone
from vidskim.backbones.files.header import read_raw
from vidskim.backbones.hf.create import create_hf, is_hf
from vidskim.backbones.network import Network
from vidskim.backbones.registry import IMAGE_BACKBONES, list_networks, shapes_of
from vidskim.errors import UsageError, unknown_name
from vidskim.look.methods import METHODS
from vidskim.model.card import is_around
from vidskim.model.compressed import Compressed
from vidskim.model.compression import attention_macs
from vidskim.model.file import is_bare, load_model
from vidskim.model.model import Model
from vidskim.model.presets import compressed, faster, sfc

CHEAP_ENCODER = "r2d_26"

SUFFIXES = (".safetensors", ".pth", ".pt", ".pyth")
"""By which a name is known to be a checkpoint's path."""

VIDEO_FRAMES = 288
"""Of the video that a pass over a whole one is counted for, before the stride: the paper's (Liu et
al., "Selective Feature Compression", ICCV 2021: 36, 72 and 144 at strides 8, 4 and 2)."""

VIDEO_SIZE = (256, 312)
"""(height, width) of its frames before the transform; the paper's, too."""

NUM_CLIPS, NUM_CROPS = 10, 3
"""The views that a pass over a whole video takes the place of."""


def cost_of(name: str, *, input_shape: tuple[int, ...] | None = None) -> Count:
    """Count a backbone, by default on the clip it was made for.

    Networks on images are counted on 3 x 224 x 224, those on sound on 1 x 40 x 200.

    Args:
        name: of the registry, ``hf:<id or folder>``, or the path of a checkpoint; a memory in it is
            counted as each clip writes and reads it.
        input_shape: another input, ``(C, T, H, W)`` or, of an image, ``(C, H, W)``. Image networks
            are built for its channels.

    Raises:
        UsageError: an unknown name, or an input that the network does not take.
        CheckpointError: a configuration or checkpoint that cannot be read.
    """
    model = _of_file(name)
    if model is not None and model.context is not None:
        shape = model.clip.input_shape if input_shape is None else (1, *input_shape)
        return count(OneClip(model), shape)
    channels = input_shape[0] if input_shape is not None and name in IMAGE_BACKBONES else None
    network = _without_numbers(name, in_channels=channels)
    if input_shape is not None:
        _check_dimensions(name, input_shape, wanted=3 if network.clip is None else 4)
        return count(network, (1, *input_shape))
    if network.clip is None:
        return count(network, (1, network.options["in_channels"], *network.image_size))
    return count(network, network.clip.input_shape)


class OneClip(nn.Module):
    """A backbone and its memory on a single clip, which writes the memory and reads it."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.encoder = model.networks[0]
        self.context: Any = model.context

    def forward(self, x: Tensor) -> Tensor:
        """Map a clip ``[1, 3, T, h, w]`` to its logits ``[1, K]``."""
        maps = self.encoder.features(x)[:, None]
        if self.context is not None:
            maps = self.context.read(maps, self.context.write(maps))
        logits: Tensor = self.encoder.classify(maps[:, 0])
        return logits


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
class WholeCost:
    """What a backbone with a compression inside costs for a whole video, and what without it."""

    one_pass: PassCost
    at: str
    """Stage after which it compresses."""
    ratio: str
    """Tau."""
    compression_params: int
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
                "params": self.compression_params,
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
) -> WholeCost:
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
        _check_dimensions(name, input_shape, wanted=4)
    shape = whole_input(model) if input_shape is None else (1, *input_shape)
    clip = count(model.backbone, model.own_clip.input_shape)
    times = NUM_CLIPS * NUM_CROPS
    return WholeCost(
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


def find_model(name: str) -> Model | None:
    """Return a model of several parts to count, None for the name of a single network.

    Args:
        name: ``sfc``, ``faster16`` or ``faster32`` for the paper's, with 400 classes and without
            numbers (Slow-only 8x8; R(2+1)D-50 and R2D-26), or the path of a file.

    Raises:
        UsageError: ``faster``, which takes everything from a model.
        CheckpointError: a damaged file.
    """
    row = METHODS.get(name)
    if row is None or not row.needs:
        model = _of_file(name)
        return None if model is None or is_bare(model) else model
    if row.needs == "compression":
        network = shapes_of("slow_r50_8x8")
        assert network.clip is not None
        network.clip = replace(network.clip, size=(256, 256))  # the paper's crops
        with torch.device("meta"):
            return sfc(compressed(network))
    if row.num_frames is None or row.pattern is None or row.num_clips is None:
        papers = [known for known, row in METHODS.items() if row.num_frames is not None]
        raise UsageError(
            f"{name!r} takes everything from a model: give its path, or {', '.join(papers)}"
        )
    with torch.device("meta"):
        encoders = [shapes_of("r2plus1d_50"), shapes_of(CHEAP_ENCODER)]
        stride = encoders[0].clip.stride  # type: ignore[union-attr]
        for encoder in encoders:
            assert encoder.clip is not None
            encoder.clip = ClipSpec(row.num_frames, stride, encoder.clip.size)
        return faster(encoders, pattern=row.pattern, num_clips=row.num_clips)


def _of_file(name: str) -> Model | None:
    path = Path(name)
    is_file = path.is_file() and name not in list_networks()
    return load_model(path) if is_file and is_around(read_raw(path)) else None


def clip_of(name: str) -> ClipSpec:
    """Return the clip that a classifier was made for.

    Args:
        name: of the registry, ``hf:<id or folder>``, or the path of a checkpoint.

    Raises:
        UsageError: an unknown name, or a network on images or sound.
        CheckpointError: a configuration or checkpoint that cannot be read.
    """
    clip = _without_numbers(name).clip
    if clip is None:
        raise UsageError(f"{name} is no clip classifier: give one, for example r2plus1d_18")
    return clip


def _without_numbers(name: str, *, in_channels: int | None = None) -> Network:
    """Build a network on the meta device; image networks for other channels if any are given."""
    if in_channels is not None:
        return shapes_of(name, in_channels=in_channels)
    if is_hf(name):
        with torch.device("meta"):
            return create_hf(name)
    if name in list_networks():
        return shapes_of(name)
    model = _of_file(name)
    if model is not None:
        network: Network = model.networks[0]
        return network
    if Path(name).suffix in SUFFIXES:
        return load_backbone(checkpoint=name)
    raise unknown_name("backbone", name, [*list_networks(), "faster16", "faster32", "sfc"])


def _check_dimensions(name: str, input_shape: tuple[int, ...], *, wanted: int) -> None:
    if len(input_shape) != wanted:
        size = "height x width" if wanted == 3 else "frames x height x width"
        given = "x".join(map(str, input_shape))
        raise UsageError(f"{name} takes channels x {size}, got {given}")


def _to_json(counted: Count) -> dict[str, Any]:
    return {
        "macs": counted.macs,
        "macs_with_2bn": counted.macs_with_2bn,
        "input": list(counted.input_shape),
    }


def read_shape(text: str) -> tuple[int, ...]:
    """Read an input shape as people type it.

    >>> read_shape("3x32x256x256")
    (3, 32, 256, 256)

    Raises:
        UsageError: anything but whole numbers above zero with x between them.
    """
    parts = text.lower().split("x")
    numbers = all(part.isascii() and part.isdigit() for part in parts)
    if not numbers or not all(len(part) < 10 and int(part) > 0 for part in parts):
        raise UsageError(f"an input is written like 3x32x256x256, got {text[:80]!r}")
    return tuple(int(part) for part in parts)
