"""The preprocessing that a Hugging Face model's files describe, as a `Transform`."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from vidskim.clips.transform import IMAGENET_MEAN, IMAGENET_STD, Transform
from vidskim.errors import CheckpointError, UsageError

Triple = tuple[float, float, float]

logger = logging.getLogger(__name__)

BILINEAR = 2
"""Pillow's number."""

IMAGENET = {"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}

DEFAULTS: dict[str, dict[str, Any]] = {
    "videomae": IMAGENET,
    "timesformer": {"image_mean": (0.45, 0.45, 0.45), "image_std": (0.225, 0.225, 0.225)},
    "vivit": {
        "image_mean": (0.5, 0.5, 0.5),
        "image_std": (0.5, 0.5, 0.5),
        "rescale_factor": 1 / 127.5,
        "offset": True,
    },
    "vjepa2": IMAGENET,
}
"""What the published models of each family use, for files that leave it out."""


def transform_of(
    processor: Mapping[str, Any] | None, *, family: str, size: tuple[int, int], source: str
) -> Transform:
    """Read a preprocessor's description.

    Values are scaled, offset (ViViT: to [-1, 1]) and normalized by one mean and one deviation of
    values in [0, 1], which come to the same.

    Args:
        processor: the JSON object of the file; None for the family's default.
        family: a key of `DEFAULTS`.
        size: (height, width) that the network takes.
        source: of the model, for messages.

    Raises:
        CheckpointError: a step or a value that has no equal here.
    """
    values = {**DEFAULTS[family], **{k: v for k, v in (processor or {}).items() if v is not None}}
    if values.get("do_flip_channel_order"):
        raise CheckpointError(f"{source}: its preprocessor asks for BGR frames, RGB are read here")
    if values.get("resample", BILINEAR) != BILINEAR:
        logger.warning("%s: frames are resized bilinearly, not as its preprocessor says", source)
    try:
        mean, std = _normalization(values)
        return Transform(
            **_resizing(values, family=family, size=size),
            crop=size,
            mean=mean,
            std=std,
            antialias=True,  # Pillow's resizing, with which the published models were trained
        )
    except (UsageError, TypeError, ValueError, KeyError, ZeroDivisionError) as error:
        raise CheckpointError(f"{source}: unusable preprocessor file ({error})") from error


def _resizing(values: Mapping[str, Any], *, family: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return the resize field of the transform, none where frames are not resized."""
    crop = values.get("crop_size") if values.get("do_center_crop", True) else None
    if crop is not None and _pair(crop) != size:
        raise UsageError(f"it crops to {crop}, the network takes {size[0]}x{size[1]}")
    if not values.get("do_resize", True):
        return {}
    if family == "vjepa2":  # its processor goes by the crop alone
        return {"short_side": min(size) * 256 // 224}
    target = values.get("size", {"shortest_edge": min(size)})
    if isinstance(target, Mapping) and "height" in target:
        return {"resize_to": _pair(target)}
    side = target["shortest_edge"] if isinstance(target, Mapping) else target
    return {"short_side": _whole(side)}


def _normalization(values: Mapping[str, Any]) -> tuple[Triple, Triple]:
    """Fold scale, offset, mean and deviation into mean and deviation of values in [0, 1]."""
    rescales = values.get("do_rescale", True)
    scale = 255 * (float(values.get("rescale_factor", 1 / 255)) if rescales else 1.0)
    offset = 1.0 if rescales and values.get("offset", False) else 0.0
    normalizes = values.get("do_normalize", True)
    mean = _three(values["image_mean"] if normalizes else 0)
    std = _three(values["image_std"] if normalizes else 1)
    return _three([(m + offset) / scale for m in mean]), _three([s / scale for s in std])


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, Mapping):
        return _whole(value["height"]), _whole(value["width"])
    return _whole(value), _whole(value)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise UsageError(f"sizes are whole numbers above zero, got {value!r}")
    return value


def _three(value: Any) -> Triple:
    numbers = value if isinstance(value, Sequence) else (value,) * 3
    if len(numbers) != 3:
        raise UsageError(f"mean and std have three values, got {value!r}")
    red, green, blue = (float(n) for n in numbers)
    return red, green, blue
