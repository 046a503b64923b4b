"""What a network or a model costs that has a name: on its clip, or on a video."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidskim.account import Count, count
from vidskim.answer import build
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import load_backbone
from vidskim.backbones.files.header import read_raw
from vidskim.backbones.hf.create import create_hf, is_hf
from vidskim.backbones.network import Network
from vidskim.backbones.registry import IMAGE_BACKBONES, list_networks, shapes_of
from vidskim.cost.video import VideoCost, VideoShape, planned_cost, video_cost
from vidskim.cost.whole import Compression, check_dimensions, whole_cost
from vidskim.errors import UsageError, unknown_name
from vidskim.look.look import Look
from vidskim.look.methods import METHODS
from vidskim.model.card import is_around
from vidskim.model.compressed import Compressed, bare_of
from vidskim.model.file import is_bare, load_model
from vidskim.model.model import Model, answers_by_clip
from vidskim.model.presets import compressed, faster, sfc
from vidskim.model.schedule import Schedule

CHEAP_ENCODER = "r2d_26"


@dataclass(frozen=True, slots=True)
class Price:
    """What anything costs that has a name.

    Attributes:
        counted: the sum.
        video: part by part, of a model of several parts or where a video is given.
        compression: of a whole video that is one input.
    """

    counted: Count
    video: VideoCost | None = None
    compression: Compression | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what ``vidskim cost --json`` tells."""
        known = [part.to_json() for part in (self.video, self.compression) if part is not None]
        return {
            "macs": self.counted.macs,
            "params": self.counted.params,
            "input": list(self.counted.input_shape),
            **{key: value for part in known for key, value in part.items()},
        }


def price(
    name: str,
    *,
    input_shape: tuple[int, ...] | None = None,
    video: VideoShape | None = None,
    parts: Mapping[str, Any] | None = None,
) -> Price:
    """Count a network on its clip, or a model on a video.

    Args:
        name: as `cost_of` and `find_model` take it.
        input_shape: another input of a single network, see `cost_of`, or of one that sees whole
            videos: ``(C, T, h, w)``, T after the stride.
        video: count the answer to such a video instead.
        parts: options of `vidskim.make_recognizer`; parts that would have to be trained are built
            untrained.

    Raises:
        UsageError: an unknown name, parts or an input that the model does not take.
        CheckpointError: a file that cannot be read.
    """
    model = find_model(name)
    if video is not None or parts:
        if input_shape is not None:
            raise UsageError("an input is that of a single network: give it, or a video and parts")
        return _of_answer(name, model, dict(parts or {}), video)
    first = None if model is None else model.networks[0]
    if model is None or (answers_by_clip(model) and not isinstance(first, Compressed)):
        return Price(cost_of(name, input_shape=input_shape))
    if isinstance(first, Compressed) and model.card.join == (None,):
        told = whole_cost(first, name=name, input_shape=input_shape)
        return Price(told.one_pass.counted, compression=told)
    if input_shape is not None:
        raise UsageError(
            f"{name} is a model of several parts: leave the input out, or give the video"
        )
    counted = video_cost(model)
    return Price(counted.whole, counted)


def _of_answer(
    name: str, model: Model | None, asked: dict[str, Any], video: VideoShape | None
) -> Price:
    """Count the answer that is asked for, to a video or to as many clips as the model's."""
    made, look, schedule, num_crops = _composed(name, model, asked)
    if video is None:
        counted = video_cost(made, num_clips=asked.get("k"))
    else:
        counted = planned_cost(made, look, schedule, video, num_crops=num_crops)
    return Price(counted.whole, counted)


def _composed(
    name: str, model: Model | None, asked: dict[str, Any]
) -> tuple[Model, Look, Schedule, int]:
    """Return a model with the parts and the method that are asked for, and how it is used."""
    if model is not None and name in METHODS:
        asked = {"method": name, **asked}
        model = _filled(model)
    ask = build.ask_of(**asked, random_weights=True)
    made, ask = build.opened(name if model is None else model, ask)
    made, method = build.composed(made, ask)
    look, schedule = build.aimed(made, method, ask)
    return made, look, schedule, ask.runtime.crops


SUFFIXES = (".safetensors", ".pth", ".pt", ".pyth")
"""By which a name is known to be a checkpoint's path."""


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
        check_dimensions(name, input_shape, wanted=3 if network.clip is None else 4)
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


def _filled(model: Model) -> Model:
    """Give a model without numbers some: what its encoders reach over time is measured."""
    model.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(1)
    return model


def dense_clip(name: str) -> tuple[ClipSpec, int]:
    """Return the clip of a model's first encoder and what its bare classifier costs on one.

    Args:
        name: as `price` takes it.

    Raises:
        UsageError: an unknown name, or a network on images or sound.
        CheckpointError: a file that cannot be read.
    """
    model = find_model(name)
    first, *others = (None,) if model is None else model.networks
    if not others and not isinstance(first, Compressed):
        return clip_of(name), cost_of(name).macs
    bare = bare_of(first)
    return bare.clip, count(bare, bare.clip.input_shape).macs


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


def read_video(
    seconds: float, frame_rate: str | None = None, size: str | None = None
) -> VideoShape:
    """Read a video as people type it.

    Args:
        seconds: how long it is.
        frame_rate: a number or a fraction, "25" or "30000/1001".
        size: "HEIGHTxWIDTH".

    Raises:
        UsageError: anything else.
    """
    video = VideoShape(seconds)
    if frame_rate is not None:
        if not re.fullmatch(r"\d{1,6}(\.\d{1,6}|/[1-9]\d{0,5})?", frame_rate, re.ASCII):
            raise UsageError(
                f"a frame rate is written like 25, 29.97 or 30000/1001, got {frame_rate[:80]!r}"
            )
        video = replace(video, frame_rate=Fraction(frame_rate))
    if size is not None:
        shape = read_shape(size)
        if len(shape) != 2:
            raise UsageError(f"a size is height x width, such as 256x340, got {size[:80]!r}")
        video = replace(video, size=(shape[0], shape[1]))
    return video
