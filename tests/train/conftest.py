"""A tiny set, and recipes that train a tiny network on it in a second."""

from pathlib import Path

import pytest
import torch

from tinyset import CLASSES, write_tiny_set
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.backbones.registry import create_backbone
from vidskim.clips.transform import Transform
from vidskim.train.tasks.clips import ClipRecipe
from vidskim.train.tasks.joint import JointRecipe
from vidskim.train.tasks.saliency_recipe import SaliencyRecipe


@pytest.fixture(scope="session")
def tiny_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training and two test videos of two classes, 64x48, 40 frames; never written to."""
    return write_tiny_set(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def sounding_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a tone in the second half; never written to."""
    return write_tiny_set(tmp_path_factory.mktemp("sounding"), sound=True)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of an untrained clip classifier of eight frames; its answers vary."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = create_backbone("r3d_18", num_classes=2, width=4)
    network.classes = CLASSES
    network.clip = ClipSpec(8, 1, (24, 24))
    network.transform = Transform(short_side=24, crop=(24, 24))
    path = tmp_path_factory.mktemp("classifier") / "classifier.safetensors"
    save_backbone(network, path)
    return str(path)


@pytest.fixture
def clip_recipe(tiny_csv, tmp_path_factory):
    """Make a recipe of a network that is four channels wide; frames are read once per session."""

    def make(out: Path, **changes) -> ClipRecipe:
        values = {
            "data": str(tiny_csv),
            "out": str(out),
            "model": "r3d_18",
            "width": 4,
            "num_frames": 4,
            "short_side": 24,
            "crop_height": 24,
            "crop_width": 24,
            "flip": False,
            "batch_size": 4,
            "steps": 6,
            "warmup_steps": 2,
            "learning_rate": 0.01,
            "save_every": 2,
            "test_clips": 2,
            "cache": str(tmp_path_factory.getbasetemp() / "cache"),
        }
        return ClipRecipe(**values | changes)

    return make


@pytest.fixture
def saliency_recipe(tiny_csv, tmp_path_factory):
    """Make a recipe of a small saliency network."""

    def make(out: Path, **changes) -> SaliencyRecipe:
        values = {
            "data": str(tiny_csv),
            "out": str(out),
            "width": 4,
            "stem": "small",
            "map_height": 3,
            "map_width": 4,
            "batch_size": 16,
            "steps": 30,
            "warmup_steps": 2,
            "save_every": 10,
            "cache": str(tmp_path_factory.getbasetemp() / "cache"),
        }
        return SaliencyRecipe(**values | changes)

    return make


@pytest.fixture
def joint_recipe(sounding_csv, classifier, tmp_path_factory):
    """Make a recipe of joint training."""

    def make(out: Path, *, visual: str, audio: str, **changes) -> JointRecipe:
        values = {
            "data": str(sounding_csv),
            "classifier": classifier,
            "batch_size": 8,
            "clips_per_video": 4,
            "steps": 6,
            "warmup_steps": 1,
            "save_every": 2,
            "test_k": 2,
            "cache": str(tmp_path_factory.getbasetemp() / "cache"),
        }
        return JointRecipe(out=str(out), visual=visual, audio=audio, **values | changes)

    return make
