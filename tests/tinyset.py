"""A data set of a few seconds: small videos in which something moves left, right or not at all."""

from pathlib import Path

import numpy as np

from vidskim.data.manifest import Row, write_manifest
from vidskim.io.write.video import write_video

CLASSES = ("left", "right")
STEP = {"left": -2, "right": 2}
TONE = {"left": 400, "right": 1600}
"""Hertz."""


def write_tiny_video(
    path: Path, *, label: str, seed: int = 0, num_frames: int = 40, sound: bool = False
) -> None:
    """Write 64x48 pixels at 25 frames a second: a ground that drifts as the class says.

    With ``sound`` a tone tells the class too, in the second half and over noise.
    """
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 256, (8, 48, 3), dtype=np.uint8).repeat(6, axis=0).repeat(8, axis=1)
    starts = 160 + STEP[label] * np.arange(num_frames)
    frames = [np.ascontiguousarray(ground[:, x : x + 64]) for x in starts]
    audio = None
    if sound:
        time = np.arange(num_frames * 640) / 16000
        tone = np.sin(2 * np.pi * TONE[label] * time) * (time > time[-1] / 2)
        audio = (0.3 * tone + 0.02 * rng.normal(size=len(time))).astype(np.float32)
    write_video(path, frames, codec="mpeg4", options={"g": "12", "bf": "0", "q": "4"}, audio=audio)


def write_tiny_set(
    folder: Path, *, train: int = 4, test: int = 2, num_frames: int = 40, sound: bool = False
) -> Path:
    """Write videos and their manifest; classes take turns."""
    rows = []
    for split, number in (("train", train), ("test", test)):
        for n in range(number):
            label = CLASSES[n % len(CLASSES)]
            path = folder / f"{split}_{n}.mp4"
            write_tiny_video(
                path,
                label=label,
                seed=n + 100 * (split == "test"),
                num_frames=num_frames,
                sound=sound,
            )
            rows.append(Row(path, (label,), split=split, group=path.stem))
    write_manifest(rows, folder / "tiny.csv")
    return folder / "tiny.csv"
