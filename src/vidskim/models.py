"""What a user may call a model: a backbone's name, a checkpoint's path, or ``demo``."""

import os
from importlib.resources import as_file, files
from pathlib import Path

from vidskim.backbones.checkpoint import load_backbone, read_header
from vidskim.backbones.registry import CLIP_BACKBONES, create_backbone
from vidskim.backbones.resnet2d import ResNet2d
from vidskim.backbones.resnet3d import ResNet3d
from vidskim.errors import CheckpointError, unknown_name
from vidskim.saliency.visual import MotionSaliency

DEMO = "demo"
"""The small weights that ship with the package, trained on the synthetic set."""


def open_model(model: str, *, random_weights: bool = False) -> tuple[ResNet3d, tuple[str, ...]]:
    """Return a clip classifier and what an answer by it must warn of.

    Args:
        model: ``demo``, the name of a backbone with published weights (fetched once), or the path
            of a checkpoint.
        random_weights: build the named backbone untrained, for measuring cost and speed.

    Raises:
        UsageError: no such name, and no such file.
        CheckpointError: a file that holds no clip classifier, or weights that cannot be fetched.
    """
    if model == DEMO and not random_weights:
        return _clip_classifier(demo_checkpoint("classifier"), source=DEMO), ()
    if model in CLIP_BACKBONES:
        if not random_weights:
            network = load_backbone(model)
            assert isinstance(network, ResNet3d)
            return network, ()
        network = create_backbone(model)
        assert isinstance(network, ResNet3d)
        warning = f"{model} has random weights: its answers mean nothing, only its cost does"
        return network, (warning,)
    if random_weights or not _is_path(model):
        raise unknown_name("model", model, [*CLIP_BACKBONES, DEMO])
    return _clip_classifier(Path(model), source=model), ()


def open_sampler(path: str | None) -> MotionSaliency:
    """Return the trained saliency of a checkpoint, by default the demo's.

    Raises:
        CheckpointError: a missing file, or one that holds no saliency network.
    """
    checkpoint = demo_checkpoint("sampler") if path is None else Path(path)
    network = load_backbone(checkpoint=checkpoint)
    if not isinstance(network, ResNet2d):
        raise CheckpointError(
            f"{checkpoint}: holds the clip classifier {network.name}, no saliency network; train "
            "one with a recipe of task 'saliency'"
        )
    size = read_header(checkpoint).metadata.get("map_size")
    return MotionSaliency(network, size=None if size is None else (int(size[0]), int(size[1])))


def demo_checkpoint(part: str) -> Path:
    """Return the file of the shipped ``classifier`` or ``sampler``."""
    with as_file(files("vidskim") / "weights" / f"{part}.safetensors") as path:
        return Path(path)


def _is_path(model: str) -> bool:
    return os.sep in model or Path(model).suffix != "" or Path(model).exists()


def _clip_classifier(path: Path, *, source: str) -> ResNet3d:
    network = load_backbone(checkpoint=path)
    if not isinstance(network, ResNet3d):
        raise CheckpointError(
            f"{source}: holds the saliency network {network.name}, no clip classifier; give it "
            "with --sampler"
        )
    return network
