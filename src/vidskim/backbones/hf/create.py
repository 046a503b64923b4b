"""Video classifiers of the Hugging Face hub, or of a folder in its format: ``hf:<id or folder>``.

``hf:videomae``, ``hf:timesformer``, ``hf:vivit`` and ``hf:vjepa2`` are the architectures alone, at
the size the library gives them by default. transformers is imported when such a name is used and
not before; no code that lies beside weights is run, and a configuration gives numbers only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from vidskim.backbones.contract import ClipSpec, check_classes
from vidskim.backbones.hf.config import (
    FAMILIES,
    MAX_CLASSES,
    PREDICTOR,
    PREFIX,
    clip_sizes,
    fewest_parameters,
    import_transformers,
    make_config,
    one_line,
    silent,
)
from vidskim.backbones.hf.files import ModelFiles, find_source
from vidskim.backbones.hf.network import (
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
from vidskim.backbones.hf.transform import transform_of
from vidskim.errors import CheckpointError, UsageError, listed, unknown_name


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
        values = dict(config or {})
        network = Description(ModelFiles(name, None), family, values, None, 400).build(num_classes)
    except CheckpointError as error:  # there is no file to blame
        raise UsageError(str(error)) from error
    for key in values:
        if key not in network.options["config"]:
            raise unknown_name(f"size of {name}", key, network.options["config"])
    return network


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


@dataclass(frozen=True, slots=True)
class Description:
    """What the files of a model say of it."""

    source: ModelFiles
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
        return make_config(
            self.values, family=self.family, num_classes=num_classes, source=self.source.name
        )

    def build(self, num_classes: int | None, *, model: nn.Module | None = None) -> HfNetwork:
        """Turn a model of the library, by default an untrained one, into a network.

        Raises:
            UsageError: transformers is not installed.
            CheckpointError: impossible sizes or an unusable preprocessor file.
        """
        config = self.config(num_classes or self.num_classes)
        if model is None:
            model = self.untrained(config)
        num_frames, size, patch = clip_sizes(config)
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
                f"{self.source.name}: no network has these sizes ({one_line(error)})"
            ) from error


def _describe(source: ModelFiles) -> Description:
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
    classes, num_classes = _classes(values, name=source.name)
    return Description(source, found[0], values, classes, num_classes, source.read_processor())


def _classes(values: Mapping[str, Any], *, name: str) -> tuple[tuple[str, ...] | None, int]:
    """Return the names of the classes, where a configuration has any, and their number."""
    names = values.get("id2label")
    classes = None
    num_classes = values.get("num_labels", 2)
    if isinstance(names, Mapping):
        num_classes = len(names)
        listed = [names.get(str(i)) for i in range(num_classes)]
        if None in listed:
            raise CheckpointError(f"{name}: id2label does not number its classes from 0 on")
        if listed != [f"LABEL_{i}" for i in range(num_classes)]:  # put where there are no names
            classes = tuple(str(n) for n in listed)
    if type(num_classes) is not int or not 1 <= num_classes <= MAX_CLASSES:
        raise CheckpointError(f"{name}: a head of {num_classes!r} classes")
    return classes, num_classes


def _load(description: Description, state: dict[str, Tensor]) -> nn.Module:
    """Let the library build a model of tensors, whose names of all years it knows.

    Raises:
        CheckpointError: missing, left-over or differently shaped tensors.
    """
    library = import_transformers()
    family, source = FAMILIES[description.family], description.source.name
    config = description.config(description.num_classes)
    state = {k: v for k, v in state.items() if not k.startswith(PREDICTOR)}
    held, needed = sum(v.numel() for v in state.values()), fewest_parameters(config)
    if held < needed:  # before memory is taken for them
        raise CheckpointError(
            f"{source}: its weights are {held} numbers, its configuration needs {needed} or more"
        )
    try:
        with silent(library):
            model, told = getattr(library, family.model).from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, in one line
            )
    except Exception as error:  # of any of the library's layers
        raise CheckpointError(f"{source}: cannot be loaded ({one_line(error)})") from error
    missing = {k for k in told["missing_keys"] if not k.startswith(PREDICTOR)}
    shapes = {k[0] if isinstance(k, tuple) else k for k in told["mismatched_keys"]}
    kinds = {
        "missing": missing - shapes,
        "left over": set(told["unexpected_keys"]),
        "of another shape": shapes,
    }
    faults = [
        f"{len(keys)} {kind} ({listed(sorted(keys))})" for kind, keys in kinds.items() if keys
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
    kind: dict[str, Any] = {"order": order, "reads_steps": family == "timesformer"}
    blocks = [Block(layer, **kind) for layer in layers[:-1]]
    blocks.append(LastBlock(layers[-1], norm=norm or nn.Identity(), **kind))
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
