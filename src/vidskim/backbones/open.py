"""What a user may call a model: a backbone's name, a checkpoint's path, or ``demo``."""

from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

import torch

from vidskim.backbones.catalog.weights import Weights, find_weights, split_name
from vidskim.backbones.files.checkpoint import load_backbone
from vidskim.backbones.hf.create import create_hf, is_hf
from vidskim.backbones.network import Network
from vidskim.backbones.registry import CLIP_BACKBONES, create_backbone, list_networks
from vidskim.declare import looks_like_path
from vidskim.errors import CheckpointError, UsageError, unknown_name
from vidskim.types import Origin

DEMO = "demo"
"""The small weights that ship with the package, trained on the synthetic set."""

VALID = (*CLIP_BACKBONES, DEMO)


def open_model(model: str, *, random_weights: bool = False) -> tuple[Network, Origin]:
    """Return a clip classifier and where it comes from.

    Answers call it by the name of a backbone with published weights (``r3d_18``), or by what the
    user gave and the backbone in it (``demo (r3d_18)``, ``run/model.safetensors (r3d_18)``).

    Args:
        model: ``demo``, the name of a backbone with published weights (fetched once), such a name
            and the id of other weights of it (``slow_r50_8x8@pytorchvideo-k400``), the path of a
            checkpoint, a name and a path (``slow_r50_8x8:run.pyth``) where the file alone does not
            tell, or ``hf:<id or folder>``.
        random_weights: build the network untrained, for measuring cost and speed; the same numbers
            are drawn each time.

    Raises:
        UsageError: no such name, and no such file.
        CheckpointError: a file that holds no clip classifier, or weights that cannot be fetched.
    """
    backbone, weights_id = split_name(model)
    warnings: tuple[str, ...] = ()
    named, colon, checkpoint = model.partition(":")
    if colon and named in CLIP_BACKBONES:
        name = f"{checkpoint} ({named})"
        network = (
            untrained(named) if random_weights else load_backbone(named, checkpoint=checkpoint)
        )
    elif backbone in CLIP_BACKBONES:
        name = model
        if not random_weights:
            network = load_backbone(model)
            warnings = _told_of(find_weights(model))
        else:
            network = untrained(backbone)
            if weights_id is not None:
                _prepare(network, find_weights(model))
    elif is_hf(model):
        network = _seeded(lambda: create_hf(model)) if random_weights else load_backbone(model)
        name = model if model == network.name else f"{model} ({network.name})"
    elif model == DEMO or looks_like_path(model):
        path = demo_checkpoint("classifier") if model == DEMO else Path(model)
        network = untrained_like(path) if random_weights else load_backbone(checkpoint=path)
        name = f"{model} ({network.name})"
    elif backbone in list_networks():
        raise UsageError(
            f"{backbone} looks at images, motion maps or sound and is no clip classifier: give one "
            f"of {', '.join(VALID)}, or a file"
        )
    else:
        raise unknown_name("model", model if backbone == DEMO else backbone, VALID)
    if network.clip is None:
        raise CheckpointError(
            f"{model}: holds {network.name}, which looks at images or motion maps, and no clip "
            "classifier; a saliency network is given with --sampler"
        )
    if not random_weights:
        return network, Origin(name, warnings=warnings)
    warning = f"{model} has random weights: its answers mean nothing, only its cost does"
    return network, Origin(f"{name}, random weights", warnings=(warning,))


def demo_checkpoint(part: str) -> Path:
    """Return the file of the shipped ``classifier`` or ``sampler``."""
    with as_file(files("vidskim") / "weights" / f"{part}.safetensors") as path:
        return Path(path)


def untrained(name: str, *, num_classes: int = 400, **options: object) -> Network:
    """Build a network of random weights, the same each time."""
    return _seeded(lambda: create_backbone(name, num_classes=num_classes, **options))


def _seeded(build: Callable[[], Network]) -> Network:
    """Build a network with the same random weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


def _prepare(network: Network, like: Weights | Network) -> None:
    """Let an untrained network see what the trained one sees."""
    network.clip, network.transform = like.clip, like.transform
    network.head_window = like.head_window


def _told_of(weights: Weights) -> tuple[str, ...]:
    """Return what whoever reads the answers must know of weights."""
    if not weights.is_multilabel:
        return ()
    return (
        f"{weights.name} tells classes apart by sigmoid, several at once: scores rank them, but "
        "are no probabilities",
    )


def untrained_like(path: Path) -> Network:
    """Build the network of a checkpoint without its weights, which show what it says to be true."""
    told = load_backbone(checkpoint=path)
    network = untrained(told.name, num_classes=told.num_classes, **told.options)
    network.classes = told.classes
    _prepare(network, told)
    return network
