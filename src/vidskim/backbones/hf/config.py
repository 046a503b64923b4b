"""The sizes of a video transformer: read from a configuration, checked, nothing else taken."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from vidskim.backbones.hf.files import INSTALL
from vidskim.errors import CheckpointError, UsageError, first_line

PREFIX = "hf:"
"""What the names of these networks begin with."""

MAX_TOKENS = 1 << 16
MAX_LAYERS = 256
MAX_HIDDEN = 1 << 13
MAX_CLASSES = 1 << 20
MAX_TABLE = 1 << 23
"""What a configuration may ask for: more would take a machine's memory for a damaged number."""


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture of the library, and what its configuration calls things."""

    config: str
    model: str
    strides: Mapping[int | None, int]
    """Stride in source frames by clip length, None for any other length."""

    def stride(self, num_frames: int) -> int:
        """Return the stride that clips of this length were trained or measured with."""
        return self.strides.get(num_frames, self.strides[None])


FAMILIES = {
    # 16x4 on Kinetics: VideoMAE, section 4.1
    "videomae": Family("VideoMAEConfig", "VideoMAEForVideoClassification", {None: 4}),
    # 8x32, 16x16 (HR) and 96x4 (L): TimeSformer, table 6 and the authors' model zoo
    "timesformer": Family(
        "TimesformerConfig", "TimesformerForVideoClassification", {None: 32, 16: 16, 96: 4}
    ),
    # 32x2: ViViT, section 4.1
    "vivit": Family("VivitConfig", "VivitForVideoClassification", {None: 2}),
    # 16x4 and 64x2: the evaluation configurations of V-JEPA 2 on Something-Something v2
    "vjepa2": Family("VJEPA2Config", "VJEPA2ForVideoClassification", {None: 2, 16: 4}),
}
"""By ``model_type`` of the configuration."""


PREDICTOR = "vjepa2.predictor."
"""Tensors that V-JEPA 2 needs in training by masks alone: not loaded, and built at no size."""

NO_PREDICTOR = {
    "pred_hidden_size": 6,
    "pred_num_attention_heads": 1,
    "pred_num_hidden_layers": 1,
    "pred_num_mask_tokens": 1,
}


def make_config(values: Mapping[str, Any], *, family: str, num_classes: int, source: str) -> Any:
    """Return the library's configuration, of known and possible sizes only.

    Anything else that a file may say is left: it could name code or files to fetch, such as
    attention kernels and quantizers.

    Args:
        values: by the library's names; missing ones get its defaults.
        family: a key of `FAMILIES`.
        num_classes: classes of the head.
        source: of the values, for messages.

    Raises:
        UsageError: transformers is not installed.
        CheckpointError: impossible sizes.
    """
    made = getattr(import_transformers(), FAMILIES[family].config)
    known = {k: values[k] for k in made.__annotations__ if k in values}
    if family == "videomae" and "qkv_bias" in values:  # its older name
        known.setdefault("qv_bias", values["qkv_bias"])
    if family == "vjepa2":
        known |= NO_PREDICTOR
    try:
        config = made(**known, num_labels=num_classes)
        _check(config)
    except Exception as error:  # the library's own checks of types
        raise CheckpointError(f"{source}: unusable configuration ({one_line(error)})") from error
    return config


def clip_sizes(config: Any) -> tuple[int, tuple[int, int], tuple[int, int, int]]:
    """Return frames, (height, width), and the (frames, height, width) of a patch."""
    if config.model_type == "vjepa2":
        num_frames, size = config.frames_per_clip, config.crop_size
    else:
        num_frames, size = config.num_frames, config.image_size
    if config.model_type == "vivit":
        patch = tuple(config.tubelet_size)
    else:
        side = config.patch_size
        patch = (getattr(config, "tubelet_size", 1), *_two(side))
    return num_frames, _two(size), cast(tuple[int, int, int], patch)


def inner_width(config: Any) -> int:
    """Return the channels between the two layers of an MLP."""
    if config.model_type == "vjepa2":
        return int(config.hidden_size * config.mlp_ratio)
    return int(config.intermediate_size)


def fewest_parameters(config: Any) -> int:
    """Return the matrices' share of a network's parameters: it has more, never fewer."""
    hidden = config.hidden_size
    return int(config.num_hidden_layers * (4 * hidden**2 + 2 * hidden * inner_width(config)))


def _check(config: Any) -> None:
    """Refuse sizes that no network of these families has.

    Raises:
        UsageError: the first of them.
    """
    num_frames, size, patch = clip_sizes(config)
    channels = getattr(config, "num_channels", getattr(config, "in_chans", 3))
    if channels != 3:
        raise UsageError(f"frames of {channels} channels, three are read")
    if len(patch) != 3 or min(num_frames, *size, *patch) < 1:
        raise UsageError(f"clips of {num_frames} frames, {size} pixels in patches of {patch}")
    tokens = 1
    for n, p in zip((num_frames, *size), patch, strict=True):
        tokens *= n // p
    if not 1 <= tokens <= MAX_TOKENS:
        raise UsageError(f"clips of {tokens} patches, 1 to {MAX_TOKENS} are possible")
    layers, hidden, heads = config.num_hidden_layers, config.hidden_size, config.num_attention_heads
    if not (1 <= layers <= MAX_LAYERS and 1 <= hidden <= MAX_HIDDEN and heads >= 1):
        raise UsageError(f"{layers} layers of {hidden} channels in {heads} heads")
    if not 1 <= inner_width(config) <= 8 * MAX_HIDDEN:
        raise UsageError(f"MLPs of {inner_width(config)} channels")
    if getattr(config, "num_pooler_layers", 0) > MAX_LAYERS:
        raise UsageError(f"{config.num_pooler_layers} pooler layers")
    if config.model_type == "videomae" and tokens * hidden > MAX_TABLE:
        raise UsageError(f"a table of positions of {tokens} x {hidden}")  # filled number by number
    if config.model_type == "timesformer" and (
        config.attention_type == "space_only" or not isinstance(config.image_size, int)
    ):
        raise UsageError("TimeSformer attends to time and takes square frames here")


def _two(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def import_transformers() -> Any:
    """Return the library.

    Raises:
        UsageError: it is not installed, or does not import here.
    """
    try:
        library = importlib.import_module("transformers")
        importlib.import_module("transformers.modeling_utils")
    except ImportError as error:
        if error.name == "transformers":
            raise UsageError(
                f"names that begin with {PREFIX} need transformers: {INSTALL}"
            ) from error
        raise UsageError(f"transformers does not import here ({error}): {INSTALL}") from error
    except Exception as error:  # such as a torchvision built for another torch
        reason = first_line(error)
        raise UsageError(
            f"transformers does not import here ({reason}): a torchvision that does not fit torch "
            "is the usual reason, install one that fits or none"
        ) from error
    return library


def one_line(error: Exception) -> str:
    """Return an error's message on one line, for a message of ours."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def silent(library: Any) -> Iterator[None]:
    """Keep the library's progress bars and reports off the terminal: we raise what they tell."""
    log = library.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
