"""What every backbone offers, and how any backbone is split in two.

The systems are written against `Backbone`, never against a family.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from vidskim.clips.transform import Transform
from vidskim.errors import UsageError, unknown_name

Maps = Tensor | tuple[Tensor, ...]
"""What passes between stages: one map, or one for each of several pathways (SlowFast, TPN)."""


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """The clip a backbone was made for: T frames at a stride, (height, width) in pixels."""

    num_frames: int
    stride: int
    size: tuple[int, int]
    rate: Fraction | None = None
    """Frames per second at which the video is taken to run; None for its own rate."""

    def __post_init__(self) -> None:
        if self.rate is not None and not (type(self.rate) is Fraction and self.rate > 0):
            raise UsageError(
                f"a clip's rate is a Fraction of frames per second above zero, got {self.rate!r}"
            )
        size = self.size if isinstance(self.size, tuple) else ()
        numbers = (self.num_frames, self.stride, *size)
        if len(numbers) != 4 or any(type(n) is not int or n < 1 for n in numbers):
            raise UsageError(
                "a clip has frames, a stride and a (height, width), whole numbers above zero, got "
                f"{self.num_frames!r}, {self.stride!r}, {self.size!r}"
            )

    def __str__(self) -> str:
        rate = "" if self.rate is None else f" at {self.rate} frames per second"
        return f"{self.num_frames}x{self.stride}{rate}, {self.size[0]}x{self.size[1]} pixels"

    @property
    def input_shape(self) -> tuple[int, int, int, int, int]:
        """The network input of one clip, ``(1, 3, T, h, w)``."""
        return (1, 3, self.num_frames, *self.size)

    @property
    def span(self) -> int:
        """Frames of the video from the start of one clip to that of the next one that touches."""
        return self.num_frames * self.stride

    def joined(self, num_clips: int) -> "ClipSpec":
        """Return the spec of that many touching clips read as one.

        Raises:
            UsageError: fewer than one.
        """
        return replace(self, num_frames=self.num_frames * num_clips)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, plain JSON values; without a rate no such key."""
        found: dict[str, Any] = {
            "num_frames": self.num_frames,
            "stride": self.stride,
            "size": self.size,
        }
        if self.rate is not None:
            found["rate"] = f"{self.rate.numerator}/{self.rate.denominator}"
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ClipSpec":
        """Return the spec that `to_dict` wrote.

        Raises:
            TypeError, KeyError: other keys.
            UsageError: values out of range.
        """
        rate = values.get("rate")
        return cls(
            **{
                **values,
                "size": tuple(values["size"]),
                "rate": None if rate is None else _rate(rate),
            }
        )


def _rate(text: str) -> Fraction:
    """Read a rate as it stands in a header.

    Raises:
        TypeError: it is no text.
        UsageError: it is no "numerator/denominator" of whole numbers above zero.
    """
    found = re.fullmatch("([1-9][0-9]{0,9})/([1-9][0-9]{0,9})", text)
    if found is None:
        raise UsageError(f"a clip's rate is written as in '30000/1001', got {text!r}")
    return Fraction(int(found[1]), int(found[2]))


@runtime_checkable
class Backbone(Protocol):
    """A clip classifier: an `nn.Module` whose forward is ``classify(features(x))``.

    Networks on images and motion maps keep the same contract with one dimension less
    (``[N, C, H, W]``) and without ``clip`` and ``transform``.
    """

    name: str
    options: Mapping[str, Any]
    """What `create_backbone` needs beside the name and the number of classes; plain JSON values."""
    num_features: int
    num_classes: int
    classes: tuple[str, ...] | None
    stages: tuple[str, ...]
    """Names of the stages in order: stem, res2, res3, ..."""
    clip: ClipSpec | None
    transform: Transform | None

    def features(self, x: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` to ``[N, C, T', H', W']``, C = ``num_features``."""
        ...

    def classify(self, features: Tensor) -> Tensor:
        """Map ``[N, C, T', H', W']`` to logits ``[N, num_classes]``."""
        ...

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """Return one module per stage; ``features`` is what they do one after another.

        Between stages goes a map ``[N, C, T, H, W]``, or a tuple of maps where a network has
        several pathways. The first stage takes the clip, the last gives one map.
        """
        ...

    def reset_classifier(self, num_classes: int, *, classes: tuple[str, ...] | None = None) -> None:
        """Replace the head by an untrained one."""
        ...


def split_at(backbone: Backbone, stage: str) -> tuple[nn.Sequential, nn.Sequential]:
    """Cut a backbone after a stage; both parts share its parameters.

    ``late(early(x))`` equals ``backbone.features(x)``. What ``early`` gives is a map, or a tuple of
    maps where the network has several pathways (`Maps`). After the last stage ``late`` is empty and
    returns what it is given.

    Args:
        backbone: any backbone.
        stage: name of the last stage of the early part.

    Returns:
        (early, late).

    Raises:
        UsageError: the backbone has no such stage.
    """
    if stage not in backbone.stages:
        raise unknown_name(f"stage of {backbone.name}", stage, backbone.stages)
    named = list(zip(backbone.stages, backbone.stage_modules(), strict=True))
    cut = backbone.stages.index(stage) + 1
    return nn.Sequential(OrderedDict(named[:cut])), nn.Sequential(OrderedDict(named[cut:]))


def clip_of(encoder: Any) -> ClipSpec:
    """Return the clip an encoder sees.

    Raises:
        UsageError: it takes no clips.
    """
    clip: ClipSpec | None = encoder.clip
    if clip is None or encoder.transform is None:
        raise UsageError(f"{encoder.name} is no clip classifier: it has no clip or transform")
    return clip


def check_classes(num_classes: int, classes: tuple[str, ...] | None) -> None:
    """Refuse a head without classes, or names that do not fit their number.

    Raises:
        UsageError: the number is no whole one, below one, or differs from the number of names.
    """
    if type(num_classes) is not int:
        raise UsageError(f"num_classes is a whole number, got {num_classes!r}")
    if num_classes < 1:
        raise UsageError(f"a classifier needs at least one class, got {num_classes}")
    if classes is not None and len(classes) != num_classes:
        raise UsageError(
            f"{len(classes)} class names for {num_classes} classes: give one name per class"
        )


class Features(nn.Module):
    """`features` of a backbone as a module of its own, to be counted or compiled."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` to ``[N, C, T', H', W']``."""
        return self.backbone.features(x)
