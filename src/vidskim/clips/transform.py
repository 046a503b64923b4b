"""From decoded frames to a network's input: a `Transform` is a frozen dataclass that prints itself.

>>> print(Transform(resize_to=(128, 171), crop=(112, 112)))
resize to 128x171, center crop 112x112, mean (0.432, 0.395, 0.376), std (0.228, 0.221, 0.217)
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vidskim.errors import UsageError, by

ChannelOrder = Literal["rgb", "bgr"]

KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_STD = (0.22803, 0.22145, 0.216989)
"""Of Kinetics' frames: torchvision's and VMZ's."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """Resize each frame bilinearly, crop its center, scale to [0, 1] and normalize.

    Resized values are rounded to whole gray levels first, and a crop's odd pixel goes where
    Python's ``round`` puts it, so that the result equals torchvision's presets, with which its
    published weights were trained and measured. Other publishers' code differs by up to half a gray
    level (PySlowFast does not round) or by that one pixel (PySlowFast rounds up).

    Raises:
        UsageError: both resize fields, a size below one, a crop larger than what is resized to, or
            an unknown channel order.
    """

    short_side: int | None = None
    """Shorter side in pixels after resizing; the aspect ratio stays."""
    resize_to: tuple[int, int] | None = None
    """(height, width) after resizing, whatever the aspect ratio was."""
    crop: tuple[int, int] | None = None
    """(height, width) of the center crop; None keeps the whole frame."""
    mean: tuple[float, float, float] = KINETICS_MEAN
    std: tuple[float, float, float] = KINETICS_STD
    antialias: bool = False
    channel_order: ChannelOrder = "rgb"
    """In which the network takes its input; ``mean`` and ``std`` stand in this order, too."""

    def __post_init__(self) -> None:
        if self.short_side is not None and self.resize_to is not None:
            raise UsageError(
                f"short_side={self.short_side} and resize_to={self.resize_to} exclude each other: "
                "give one of them"
            )
        self._check_kinds()
        if self.channel_order not in get_args(ChannelOrder):
            raise UsageError(f"channel_order is 'rgb' or 'bgr', got {self.channel_order!r}")
        if min(self.std) <= 0:
            raise UsageError(f"std is above zero in every channel, got {self.std}")
        if self.crop is None:
            return
        limit = None
        if self.short_side is not None and min(self.crop) > self.short_side:
            limit = f"a short side of {self.short_side}"
        elif self.resize_to is not None and (
            self.crop[0] > self.resize_to[0] or self.crop[1] > self.resize_to[1]
        ):
            limit = by(self.resize_to)
        if limit is not None:
            raise UsageError(
                f"a crop of {by(self.crop)} does not fit in frames of {limit}: resize to at least "
                "the crop"
            )

    def _check_kinds(self) -> None:
        sides = [] if self.short_side is None else [self.short_side]
        for what, size in (("resize_to", self.resize_to), ("crop", self.crop)):
            if size is not None and (not isinstance(size, tuple) or len(size) != 2):
                raise UsageError(f"{what} is (height, width), got {size!r}")
            sides += size or ()
        if any(type(side) is not int or side < 1 for side in sides):
            raise UsageError(f"sizes are whole numbers of at least one pixel, got {sides}")
        for what, values in (("mean", self.mean), ("std", self.std)):
            if not isinstance(values, tuple) or len(values) != 3:
                raise UsageError(f"{what} is one number per channel, three, got {values!r}")

    def __str__(self) -> str:
        steps = []
        if self.short_side is not None:
            steps.append(f"resize short side to {self.short_side}")
        if self.resize_to is not None:
            steps.append(f"resize to {by(self.resize_to)}")
        if self.antialias and steps:
            steps[-1] += " (antialiased)"
        if self.crop is not None:
            steps.append(f"center crop {by(self.crop)}")
        if self.channel_order != "rgb":
            steps.append("channels blue, green, red")
        numbers = [", ".join(f"{v:.3f}" for v in values) for values in (self.mean, self.std)]
        return ", ".join([*steps, f"mean ({numbers[0]})", f"std ({numbers[1]})"])

    def __call__(self, frames: Tensor) -> Tensor:
        """Prepare frames for a network.

        One frame of float32 at the source's size is alive at any time, whatever their number.

        Args:
            frames: uint8 RGB ``[..., T, 3, H, W]``.

        Returns:
            float32 ``[..., 3, T, h, w]`` on the same device, channels in `channel_order`.

        Raises:
            UsageError: another type or shape, or frames smaller than the crop.
        """
        if frames.dtype != torch.uint8 or frames.ndim < 4 or frames.shape[-3] != 3:
            raise UsageError(
                "a transform takes decoded frames, uint8 [..., T, 3, H, W], got "
                f"{str(frames.dtype).removeprefix('torch.')} {list(frames.shape)}"
            )
        *lead, T, C, H, W = frames.shape
        resized = self.resized_size(H, W)
        height, width = self.crop or resized
        if height > resized[0] or width > resized[1]:
            raise UsageError(
                f"a crop of {height}x{width} does not fit in frames of {by(resized)}: set "
                "short_side or resize_to to at least the crop"
            )
        top = round((resized[0] - height) / 2)
        left = round((resized[1] - width) / 2)
        flat = frames.reshape(-1, T, C, H, W)
        out = torch.empty(
            (flat.shape[0], C, T, height, width), dtype=torch.float32, device=frames.device
        )
        window = (..., slice(top, top + height), slice(left, left + width))
        # Decoded frames are stored channels last: resized as such they take a third of the time (a
        # tenth from 720p), to equal values. Antialiasing is slower that way.
        channels_last = frames.stride(-3) == 1 and not self.antialias
        buffer = torch.empty(
            (1, C, H, W),
            dtype=torch.float32,
            device=frames.device,
            memory_format=torch.channels_last if channels_last else torch.contiguous_format,
        )
        for clip, target in zip(flat, out):
            for t in range(T):
                frame = clip[t] if self.channel_order == "rgb" else clip[t].flip(0)
                if resized == (H, W):
                    target[:, t] = frame[window]
                    continue
                buffer[0] = frame
                image = interpolate(
                    buffer,
                    size=resized,
                    mode="bilinear",
                    align_corners=False,
                    antialias=self.antialias,
                )
                torch.round(image[0][window], out=target[:, t])
        mean, std = (
            torch.tensor(values, device=frames.device).view(C, 1, 1, 1)
            for values in (self.mean, self.std)
        )
        out.div_(255).sub_(mean).div_(std)
        return out.reshape(*lead, C, T, height, width)

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of a frame after resizing and before the crop.

        Where the short side asked for leaves less than the crop (a wide crop from a tall frame),
        frames are made as much larger as the crop needs.
        """
        if self.resize_to is not None:
            return self.resize_to
        if self.short_side is None:
            return height, width
        side = self.short_side
        if height <= width:
            resized = (side, side * width // height)
        else:
            resized = (side * height // width, side)
        if self.crop is None or (resized[0] >= self.crop[0] and resized[1] >= self.crop[1]):
            return resized
        scale = max(self.crop[0] / height, self.crop[1] / width)
        return (
            max(self.crop[0], round(height * scale)),
            max(self.crop[1], round(width * scale)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Transform":
        """Read what `to_dict` wrote, lists for tuples allowed.

        Raises:
            UsageError: an unknown field, or a value of the wrong kind.
        """
        valid = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - valid)
        if unknown:
            raise UsageError(
                f"a transform has no field {unknown[0]!r} (valid: {', '.join(sorted(valid))})"
            )
        read: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        for name, value in read.items():
            if not _is_valid(name, value):
                raise UsageError(f"a transform's {name} cannot be {value!r}")
        return cls(**read)


def _is_valid(name: str, value: Any) -> bool:
    """Say whether a value read from JSON has the kind its field needs."""
    match name:
        case "antialias":
            return type(value) is bool
        case "channel_order":
            return value in get_args(ChannelOrder)
        case "short_side":
            return value is None or type(value) is int
        case "resize_to" | "crop":
            return value is None or _is_tuple(value, 2, (int,))
        case _:
            return _is_tuple(value, 3, (int, float))


def _is_tuple(value: Any, length: int, kinds: tuple[type, ...]) -> bool:
    return type(value) is tuple and len(value) == length and all(type(v) in kinds for v in value)
