"""A tiny set, and recipes that train a tiny network on it in a second."""

from pathlib import Path

import pytest

from tinyset import write_tiny_set
from vidskim.train.clips import ClipRecipe
from vidskim.train.saliency import SaliencyRecipe


@pytest.fixture(scope="session")
def tiny_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training and two test videos of two classes, 64x48, 40 frames; never written to."""
    return write_tiny_set(tmp_path_factory.mktemp("tiny"))


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
