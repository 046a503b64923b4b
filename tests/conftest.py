"""What every test shares: what is skipped where something is missing, and a small video."""

import ctypes
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from vidskim.io.write.video import write_video


def _let_torchvision_import() -> None:
    """Declare the operators that torchvision's Python part expects.

    Its wheels are built for CUDA: beside a CPU build of torch their extension does not load, and
    ``import torchvision`` fails for want of two operators which the oracle never calls.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for extension in Path(spec.origin).parent.glob("_C*.so"):
        try:
            ctypes.CDLL(str(extension))
        except OSError:
            continue
        return
    for operator in ("nms", "qnms"):
        _TORCHVISION.define(
            f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )


_TORCHVISION = torch.library.Library("torchvision", "FRAGMENT")
_let_torchvision_import()

# The same examples on every run, and no verdict on how busy the machine is.
settings.register_profile("vidskim", deadline=None, derandomize=True)
settings.load_profile("vidskim")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine has no device or no footage for."""
    for item in items:
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        if item.get_closest_marker("data") and not os.environ.get("VIDSKIM_DATA"):
            item.add_marker(
                pytest.mark.skip(reason="needs real video: set VIDSKIM_DATA to its folder")
            )


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real video, for tests marked ``data``."""
    folder = Path(os.environ["VIDSKIM_DATA"])
    assert folder.is_dir(), f"VIDSKIM_DATA={folder} is no folder"
    return folder


@pytest.fixture(scope="session")
def sample_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of a square that drifts over noise, 128x96 at 25 frames a second, with sound.

    H.264 with B-frames and several GOPs, AAC; never written to, so tests may share it.
    """
    path = tmp_path_factory.mktemp("sample") / "video.mp4"
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8) // 2

    def frames():
        for number in range(300):
            image = ground.copy()
            left = 10 + number // 4
            image[30:60, left : left + 30] = (250, 200, 40)
            yield image

    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(12 * 16000) / 16000)
    write_video(path, frames(), options={"g": "50"}, audio=tone.astype(np.float32))
    return path


@pytest.fixture
def drawn(monkeypatch):
    """Every figure that is saved while a test runs, still alive for measuring."""
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig

    def keep(self, *args, **options):
        figures.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures
