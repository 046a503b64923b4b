"""What reading costs: CPU seconds of every way to look at a file, against a bare decode of it.

    python benchmarks/reading.py --runs 5

Footage is drawn, encoded in the three ways files come in (H.264 with a B-pyramid and key frames ten
seconds apart, the same in 720p, MPEG-4 with a key frame every twelve), and looped to ten minutes by
stream copy. Every round measures every step once, in turn, so that drift of the machine falls on
all; the table shows medians. Process CPU time on one thread: other load barely matters, ratios
hardly at all. motion-vector-extractor is measured beside us where it is installed
(pip install --no-deps motion-vector-extractor).
"""

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import torch

from vidskim.evaluate.protocol import gather_hardware, gather_versions
from vidskim.io.audio import log_mel
from vidskim.io.frames import read_clips
from vidskim.io.keyframes import iter_key_frames
from vidskim.io.motion import iter_motion
from vidskim.io.packets import read_packets
from vidskim.io.reading import Reading
from vidskim.io.residual import iter_residuals
from vidskim.io.write.video import write_video
from vidskim.video import Video

RATE = 30
TARGETS = {
    ("340x256 H.264", "packet index"): ("ms per video second", 0.25),
    ("340x256 H.264", "motion maps"): ("times a bare decode", 1.25),
    ("340x256 MPEG-4", "motion maps"): ("times a bare decode", 1.25),
    ("1280x720 H.264", "motion maps"): ("times a bare decode", 1.25),
    ("340x256 H.264, ten minutes", "ten clips of 16 frames"): ("CPU seconds", 0.3),
}


@dataclass(frozen=True)
class Row:
    """One step on one file: median CPU seconds of several rounds."""

    file: str
    step: str
    cpu_seconds: float
    fastest_cpu_seconds: float
    ms_per_video_second: float
    times_bare_decode: float | None
    target: str | None = None
    met: bool | None = None


def footage(seconds: float, *, height: int, width: int) -> Iterator[np.ndarray]:
    """Yield frames [H, W, 3]: a camera that wanders over a rough texture, four things, grain."""
    rng = np.random.default_rng(0)
    shape = height + 200, width + 400
    ground = rng.random((*shape, 3), dtype=np.float32)
    for size in (2, 4, 8, 16, 32):
        coarse = rng.random((shape[0] // size + 1, shape[1] // size + 1, 3), dtype=np.float32)
        fine = coarse.repeat(size, 0).repeat(size, 1)
        ground += fine[: shape[0], : shape[1]] * size**0.7
    for axis in (0, 1):
        ground = (ground + np.roll(ground, 1, axis) + np.roll(ground, -1, axis)) / 3
    image = ((ground - ground.min()) / np.ptp(ground) * 245).astype(np.uint8)
    grain = rng.integers(0, 11, (7, height, width, 1), dtype=np.uint8)
    side = height // 6
    for t in range(round(seconds * RATE)):
        x, y = int(200 + 190 * np.sin(t / 60)), int(100 + 90 * np.sin(t / 45))
        frame = image[y : y + height, x : x + width].copy()
        for k in range(4):
            left = int((width - side) * (0.5 + 0.5 * np.sin(t / (12 + 5 * k) + k)))
            top = int((height - side) * (0.5 + 0.5 * np.cos(t / (17 + 4 * k) + 2 * k)))
            thing = image[20 * k : 20 * k + side, 40 * k : 40 * k + side]
            frame[top : top + side, left : left + side] = 245 - thing
        yield frame + grain[t % 7]


def loop(source: Path, target: Path, *, times: int) -> None:
    """Repeat the pictures of a file by stream copy."""
    with av.open(str(target), "w") as output:
        copy = None
        for turn in range(times):
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                copy = copy or output.add_stream_from_template(stream)
                offset = round(stream.frames / stream.average_rate / stream.time_base) * turn
                for packet in container.demux(stream):
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        packet.stream = copy
                        output.mux(packet)


def bare_decode(path: Path) -> None:
    """Decode to YUV and drop every frame: what FFmpeg itself costs."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def motion_vector_extractor(path: Path) -> None:
    """Read all frames and vectors with the package of that name."""
    from mvextractor.videocap import VideoCap

    capture = VideoCap()
    assert capture.open(str(path))
    while capture.read()[0]:
        pass
    capture.release()


def other_versions() -> dict[str, str]:
    """Return the versions of FFmpeg and of what is measured beside us."""
    found = {"ffmpeg": av.ffmpeg_version_info}
    if importlib.util.find_spec("mvextractor"):
        found["motion-vector-extractor"] = version("motion-vector-extractor")
    return found


def exhaust(items: Iterator[object]) -> None:
    for _ in items:
        pass


def steps_of(path: Path) -> dict[str, Callable[[], None]]:
    """Every way to look at a whole file."""
    clips = Video(path).clips(num_frames=16)
    steps: dict[str, Callable[[], None]] = {
        "bare decode to YUV": lambda: bare_decode(path),
        "packet index": lambda: exhaust(iter([read_packets(path)])),
        "motion maps": lambda: exhaust(iter_motion(Reading(path), clips)),
        "residual, one RGB frame per clip": lambda: exhaust(iter_residuals(Reading(path), clips)),
        "key frames, RGB": lambda: exhaust(iter_key_frames(Reading(path), clips)),
        "all frames, RGB": lambda: exhaust(read_clips(Reading(path), clips)),
    }
    if importlib.util.find_spec("mvextractor"):
        steps["motion-vector-extractor"] = lambda: motion_vector_extractor(path)
    with av.open(str(path)) as container:
        if container.streams.audio:
            steps["log-mel windows"] = lambda: exhaust(iter([log_mel(Reading(path), clips)]))
    return steps


def steps_of_long(path: Path) -> dict[str, Callable[[], None]]:
    """What is done to a file too long to be decoded whole."""
    clips = Video(path).clips(num_frames=16)
    ten = clips[len(clips) // 20 :: len(clips) // 10][:10]
    return {
        "packet index": lambda: exhaust(iter([read_packets(path)])),
        "ten clips of 16 frames": lambda: exhaust(read_clips(Reading(path), ten)),
    }


def write_files(folder: Path, *, seconds: float) -> dict[str, tuple[Path, float]]:
    """Make the footage; return name to path and length in seconds."""
    small, high, mpeg4, long = (
        folder / name for name in ("small.mp4", "hd.mp4", "mpeg4.mp4", "long.mp4")
    )
    sound = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16000)).astype(np.float32)
    pictures = footage(seconds, height=256, width=340)
    options = {"g": "250", "bf": "3"}
    write_video(small, pictures, frame_rate=RATE, options=options, audio=sound.clip(-1, 1))
    pictures = footage(seconds, height=256, width=340)
    mpeg4_options = {"g": "12", "b": "1000000"}
    write_video(mpeg4, pictures, frame_rate=RATE, codec="mpeg4", options=mpeg4_options)
    pictures = footage(seconds / 4, height=720, width=1280)
    write_video(high, pictures, frame_rate=RATE, options=options)
    times = round(600 / seconds)
    loop(small, long, times=times)
    return {
        "340x256 H.264": (small, seconds),
        "340x256 MPEG-4": (mpeg4, seconds),
        "1280x720 H.264": (high, seconds / 4),
        "340x256 H.264, ten minutes": (long, seconds * times),
    }


def measure(steps: dict[tuple[str, str], Callable[[], None]], *, runs: int) -> dict:
    """Return CPU seconds of every step in every round; a first round only warms up."""
    found: dict[tuple[str, str], list[float]] = {name: [] for name in steps}
    for turn in range(runs + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn:
                found[name].append(time.process_time() - start)
        print(f"round {turn} of {runs}", flush=True)
    return found


def judge(file: str, step: str, times: list[float], *, bare: float | None, seconds: float) -> Row:
    """Turn the times of one step into a row, and say whether it meets its target."""
    median = statistics.median(times)
    per_second = median / seconds * 1e3
    ratio = median / bare if bare else None
    unit, limit = TARGETS.get((file, step), (None, None))
    value = {
        "ms per video second": per_second,
        "times a bare decode": ratio,
        "CPU seconds": median,
    }.get(str(unit))
    return Row(
        file=file,
        step=step,
        cpu_seconds=round(median, 4),
        fastest_cpu_seconds=round(min(times), 4),
        ms_per_video_second=round(per_second, 3),
        times_bare_decode=None if ratio is None else round(ratio, 3),
        target=None if unit is None else f"at most {limit} {unit}",
        met=None if value is None else value <= limit,
    )


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| file | step | CPU-s | ms per video second | times a bare decode | target |",
        "|---|---|---:|---:|---:|---|",
    ]
    for row in rows:
        ratio = "" if row.times_bare_decode is None else f"{row.times_bare_decode:.2f}"
        verdict = "" if row.met is None else f"{row.target}: {'met' if row.met else 'MISSED'}"
        lines.append(
            f"| {row.file} | {row.step} | {row.cpu_seconds:.3f} | {row.ms_per_video_second:.2f} "
            f"| {ratio} | {verdict} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60, help="length of the short files")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/reading.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), seconds=arguments.seconds)
        steps = {}
        for file, (path, _) in files.items():
            of_file = steps_of_long(path) if "minutes" in file else steps_of(path)
            steps |= {(file, step): call for step, call in of_file.items()}
        found = measure(steps, runs=arguments.runs)
        sizes = {file: path.stat().st_size for file, (path, _) in files.items()}
    rows = []
    for (file, step), times in found.items():
        bare = found.get((file, "bare decode to YUV"))
        rows.append(
            judge(
                file,
                step,
                times,
                bare=statistics.median(bare) if bare else None,
                seconds=files[file][1],
            )
        )
    record = {
        "command": f"python benchmarks/reading.py --runs {arguments.runs} "
        f"--seconds {arguments.seconds:g}",
        "hardware": asdict(gather_hardware()),
        "versions": gather_versions() | other_versions(),
        "bytes": sizes,
        "rows": [asdict(row) for row in rows],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    arguments.out.with_suffix(".md").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
