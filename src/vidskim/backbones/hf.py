"""Video classifiers of the Hugging Face hub, or of a folder in its format: ``hf:<id or folder>``.

``hf:videomae``, ``hf:timesformer``, ``hf:vivit`` and ``hf:vjepa2`` are the architectures alone, at
the size the library gives them by default. transformers is imported when such a name is used and
not before; no code that lies beside weights is run, and a configuration gives numbers only.
"""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from vidskim.backbones.contract import ClipSpec, check_classes
from vidskim.backbones.hf_files import INSTALL, Source, find_source
from vidskim.backbones.hf_network import (
    AttentivePool,
    Block,
    ClassPool,
    Embed,
    FirstPool,
    HfNetwork,
    LastBlock,
    MaskableEmbed,
    MeanPool,
    TokenOrder,
)
from vidskim.backbones.hf_transform import transform_of
from vidskim.errors import CheckpointError, UsageError, VidskimError, unknown_name

PREFIX = "hf:"

MAX_TOKENS = 1 << 16
MAX_LAYERS = 256
MAX_HIDDEN = 1 << 13
"""What a configuration may ask for: more would take a machine's memory for a damaged number."""

SHOWN = 3


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


def is_hf(name: str) -> bool:
    """Say whether a backbone's name is one of these."""
    return name.startswith(PREFIX)


def create_hf(
    name: str, *, num_classes: int | None = None, config: Mapping[str, Any] | None = None
) -> HfNetwork:
    """Build an untrained network.

    Args:
        name: ``hf:`` and an architecture, a folder or an id on the hub; of the latter two only the
            configuration is read.
        num_classes: classes of the head; by default those of the configuration, with their names.
        config: sizes of the architecture by the library's names, as ``options`` of a network holds
            them; only with the name of an architecture.

    Returns:
        The network in training mode.

    Raises:
        UsageError: transformers is not installed, or impossible sizes.
        CheckpointError: the files cannot be had or describe another kind of model.
    """
    if num_classes is not None:
        check_classes(num_classes, None)
    family = name.removeprefix(PREFIX)
    if family not in FAMILIES:
        if config is not None:
            raise unknown_name("architecture", name, (PREFIX + f for f in FAMILIES))
        return _describe(find_source(family)).build(num_classes)
    try:
        description = Description(Source(family, None), family, dict(config or {}), None, 400)
        return description.build(num_classes)
    except CheckpointError as error:  # there is no file to blame
        raise UsageError(str(error)) from error


def load_hf(name: str) -> HfNetwork:
    """Build a network with the weights of a folder or of the hub.

    Returns:
        The network on the CPU in evaluation mode, float32, with the classes' names.

    Raises:
        UsageError: transformers is not installed, or the name of an architecture alone.
        CheckpointError: the files cannot be had, describe another kind of model, or hold other
            tensors than it needs.
    """
    family = name.removeprefix(PREFIX)
    if family in FAMILIES:
        raise UsageError(
            f"{name} is an architecture without weights: give hf:<id or folder>, such as "
            "hf:MCG-NJU/videomae-base-finetuned-kinetics"
        )
    source = find_source(family)
    description = _describe(source)
    model = _load(description, source.read_weights())
    return description.build(None, model=model).eval()


def check_header(name: str, options: Mapping[str, Any]) -> None:
    """Refuse a checkpoint's header that would fetch a model rather than describe one.

    Raises:
        UsageError: not the name of an architecture with its sizes.
    """
    if name.removeprefix(PREFIX) not in FAMILIES or not isinstance(options.get("config"), dict):
        raise UsageError(f"{name} with options {dict(options)} describes no network")


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
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"transformers does not import here ({reason}): a torchvision that does not fit torch "
            "is the usual reason, install one that fits or none"
        ) from error
    return library


@dataclass(frozen=True, slots=True)
class Description:
    """What the files of a model say of it."""

    source: Source
    family: str
    values: dict[str, Any]
    """Sizes of the architecture."""
    classes: tuple[str, ...] | None
    num_classes: int
    processor: Mapping[str, Any] | None = None

    def config(self, num_classes: int) -> Any:
        """Return the library's configuration, of known and possible sizes only.

        Raises:
            UsageError: transformers is not installed.
            CheckpointError: impossible sizes.
        """
        library = import_transformers()
        made = getattr(library, FAMILIES[self.family].config)
        # Anything else in a configuration could name code or files to fetch: kernels, quantizers.
        known = {k: self.values[k] for k in made.__annotations__ if k in self.values}
        if "qkv_bias" in self.values and self.family == "videomae":  # its older name
            known.setdefault("qv_bias", self.values["qkv_bias"])
        try:
            config = made(**known, num_labels=num_classes)
            _check(config)
        except Exception as error:  # the library's own checks of types
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"{self.source.name}: unusable configuration: {reason}"
            ) from error
        return config

    def build(self, num_classes: int | None, *, model: nn.Module | None = None) -> HfNetwork:
        """Turn a model of the library, by default an untrained one, into a network.

        Raises:
            UsageError: transformers is not installed.
            CheckpointError: impossible sizes or an unusable preprocessor file.
        """
        config = self.config(num_classes or self.num_classes)
        if model is None:
            model = self.untrained(config)
        num_frames, size, patch = _clip_sizes(config)
        network = _assemble(
            model,
            family=self.family,
            config=config,
            patch=patch,
            clip=ClipSpec(num_frames, FAMILIES[self.family].stride(num_frames), size),
            transform=transform_of(
                self.processor, family=self.family, size=size, source=self.source.name
            ),
        )
        if network.num_classes == self.num_classes and num_classes is None:
            network.classes = self.classes
        return network

    def untrained(self, config: Any) -> nn.Module:
        """Build the library's model with its own random weights.

        Raises:
            CheckpointError: impossible sizes.
        """
        try:
            made = getattr(import_transformers(), FAMILIES[self.family].model)
            return cast(nn.Module, made(config))
        except (RuntimeError, ValueError, TypeError, KeyError, ZeroDivisionError) as error:
            raise CheckpointError(
                f"{self.source.name}: no network has these sizes ({_one_line(error)})"
            ) from error


def _describe(source: Source) -> Description:
    """Read what a model's files say, its weights left aside."""
    values = source.read_config()
    named = values.get("architectures")
    architectures = [str(n) for n in named] if isinstance(named, list) else []
    by_name = {f.model.lower(): k for k, f in FAMILIES.items()}
    # Some published files spell ViViTForVideoClassification.
    found = [by_name[n.lower()] for n in architectures if n.lower() in by_name]
    if not found or values.get("model_type", found[0]) != found[0]:
        what = ", ".join(architectures) or values.get("model_type") or "nothing we know"
        raise CheckpointError(
            f"{source.name}: holds {what}, expected one of "
            f"{', '.join(f.model for f in FAMILIES.values())}"
        )
    names = values.get("id2label")
    classes = None
    num_classes = values.get("num_labels", 2)
    if isinstance(names, Mapping):
        num_classes = len(names)
        listed = [names.get(str(i)) for i in range(num_classes)]
        if None in listed:
            raise CheckpointError(f"{source.name}: id2label does not number its classes from 0 on")
        if listed != [f"LABEL_{i}" for i in range(num_classes)]:  # put where there are no names
            classes = tuple(str(n) for n in listed)
    if type(num_classes) is not int or num_classes < 1:
        raise CheckpointError(f"{source.name}: a head of {num_classes!r} classes")
    return Description(source, found[0], values, classes, num_classes, source.read_processor())


def _load(description: Description, state: dict[str, Tensor]) -> nn.Module:
    """Let the library build a model of tensors, whose names of all years it knows.

    Raises:
        CheckpointError: missing, left-over or differently shaped tensors.
    """
    library = import_transformers()
    family, source = FAMILIES[description.family], description.source.name
    config = description.config(description.num_classes)
    try:
        with _silent(library):
            model, told = getattr(library, family.model).from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, in one line
            )
    except VidskimError:
        raise
    except Exception as error:  # of any of the library's layers
        raise CheckpointError(
            f"{source}: cannot be loaded: {' '.join(str(error).split())}"
        ) from error
    missing = {k for k in told["missing_keys"] if not k.startswith("vjepa2.predictor.")}
    shapes = {k[0] if isinstance(k, tuple) else k for k in told["mismatched_keys"]}
    kinds = {
        "missing": missing - shapes,
        "left over": set(told["unexpected_keys"]),
        "of another shape": shapes,
    }
    faults = [
        f"{len(keys)} {kind} ({', '.join(sorted(keys)[:SHOWN])}{', ...' * (len(keys) > SHOWN)})"
        for kind, keys in kinds.items()
        if keys
    ]
    if faults or told.get("error_msgs"):
        reason = ", ".join(faults) or str(told["error_msgs"])
        raise CheckpointError(f"{source}: does not fit {family.model}: tensors {reason}")
    return cast(nn.Module, model)


def _assemble(
    model: Any, *, family: str, config: Any, patch: tuple[int, int, int], **record: Any
) -> HfNetwork:
    """Take a library's model apart into stages; what classifying does not need is left."""
    hidden = config.hidden_size
    order = TokenOrder(class_token=family in ("timesformer", "vivit"), time_last=False)
    pool: nn.Module = ClassPool()
    match family:
        case "videomae":
            body = model.videomae
            embeddings, layers, norm = body.embeddings, body.encoder.layer, body.layernorm
            pool = FirstPool() if model.fc_norm is None else MeanPool(model.fc_norm)
        case "timesformer":
            order = TokenOrder(class_token=True, time_last=True)
            body = model.timesformer
            embeddings, layers, norm = body.embeddings, body.encoder.layer, body.layernorm
        case "vivit":
            body = model.vivit
            embeddings, layers, norm = body.embeddings, body.layers, body.layernorm
        case _:
            body = model.vjepa2.encoder  # the predictor is of use in training by masks alone
            embeddings, layers, norm = body.embeddings, body.layer, body.layernorm
            pool = AttentivePool(model.pooler)
    name = PREFIX + family
    embed = (MaskableEmbed if family == "videomae" else Embed)(
        embeddings,
        name=name,
        order=order,
        patch=patch,
        clip=record["clip"],
        any_length=family == "vjepa2",  # whose rotary positions go on beyond what it was shown
    )
    blocks = [Block(layer, order=order) for layer in layers[:-1]]
    blocks.append(LastBlock(layers[-1], order=order, norm=norm or nn.Identity()))
    return HfNetwork(
        name,
        embed=embed,
        blocks=nn.ModuleList(blocks),
        pool=pool,
        fc=model.classifier,
        num_features=hidden * (1 + order.class_token),
        options={"config": {k: getattr(config, k) for k in type(config).__annotations__}},
        **record,
    )


def _clip_sizes(config: Any) -> tuple[int, tuple[int, int], tuple[int, int, int]]:
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


def _check(config: Any) -> None:
    """Refuse sizes that no network of these families has.

    Raises:
        UsageError: the first of them.
    """
    num_frames, size, patch = _clip_sizes(config)
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
    others = ("intermediate_size", "pred_hidden_size", "decoder_hidden_size")
    if any(getattr(config, name, 1) > 8 * MAX_HIDDEN for name in others):
        raise UsageError(f"layers wider than {8 * MAX_HIDDEN} channels")
    counts = ("num_pooler_layers", "pred_num_hidden_layers", "pred_num_mask_tokens")
    if any(getattr(config, name, 0) > MAX_LAYERS for name in counts):
        raise UsageError(f"more than {MAX_LAYERS} layers")
    if config.model_type == "timesformer" and (
        config.attention_type == "space_only" or not isinstance(config.image_size, int)
    ):
        raise UsageError("TimeSformer attends to time and takes square frames here")


def _two(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _silent(library: Any) -> Iterator[None]:
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
