"""Footage that the tests of reading share, made once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from footage import NUM_FRAMES, STREAMS, moving_pictures, plain_decode

from vidskim.io.write.video import write_video


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from a name of `STREAMS` to its file, written at first use."""
    folder = tmp_path_factory.mktemp("footage")

    def make(name: str) -> Path:
        path = folder / name
        if not path.exists():
            codec, options = STREAMS[name]
            pictures = moving_pictures(NUM_FRAMES)
            write_video(path, pictures, frame_rate=25, codec=codec, options=options)
        return path

    return make


@pytest.fixture(scope="session")
def truth(footage: Callable[[str], Path]) -> Callable[[str], list[np.ndarray]]:
    """A function from a name of `STREAMS` to its frames as FFmpeg decodes them."""
    known: dict[str, list[np.ndarray]] = {}

    def decode(name: str) -> list[np.ndarray]:
        if name not in known:
            known[name] = plain_decode(footage(name))
        return known[name]

    return decode
