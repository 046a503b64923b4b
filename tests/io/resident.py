"""How much memory grows over an iteration, in an interpreter of its own.

The heap of the tests' interpreter is of no use for it: what hundreds of tests left there is
given back and taken again at any time, by tens of megabytes. And glibc keeps freed blocks of
some megabytes for later unless it is told their size; then one megabyte can be told.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from vidskim.io.write.video import write_video

EXACT_HEAP = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}

_SCRIPT = """
import gc, sys
from pathlib import Path

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

path = sys.argv[1]
{setup}
gc.collect()
gc.disable()  # whatever is kept alive by a cycle now stays
seen = [resident_bytes() for _ in {iterable}]
print(max(seen) - seen[{after}])
"""


def growth_bytes(path: Path, *, setup: str, iterable: str, after: int) -> int:
    """Return by how much memory grows after the given item of `iterable`.

    Args:
        path: The file, called `path` in both texts.
        setup: Lines of Python, once, before.
        iterable: An expression of Python.
        after: How many items are for warming up.
    """
    script = _SCRIPT.format(setup=setup, iterable=iterable, after=after)
    command = [sys.executable, "-c", script, str(path)]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | EXACT_HEAP
    )
    return int(run.stdout)


def growth_over_clips(folder: Path, reader: str, *, num_frames: int, after: int) -> int:
    """Return by how much memory grows while 240 frames of moving noise, 640x480, are read.

    Args:
        folder: to write them to.
        reader: module and function, of (reading, clips), with a dot between.
        num_frames: per clip.
        after: how many items are for warming up.
    """
    path = folder / "long.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    frames = (np.roll(noise, 4 * t, 1) for t in range(240))
    write_video(path, frames, options={"preset": "ultrafast", "crf": "35"})
    module, _, function = reader.rpartition(".")
    setup = f"""
from {module} import {function}
from vidskim.clips.grid import split
from vidskim.io.reading import Reading
reading = Reading(Path(path))
clips = split(reading.packets.timestamps_seconds.tolist(), num_frames={num_frames})
"""
    return growth_bytes(path, setup=setup, iterable=f"{function}(reading, clips)", after=after)
