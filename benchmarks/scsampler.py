"""What a learned look costs: SCSampler against looking at every clip, file to answer, CPU seconds.

Full-width networks of random weights (speed does not depend on them), fp32, decoding included:

    OMP_NUM_THREADS=1 python benchmarks/scsampler.py --minutes 1 10 --runs 3 --lengths 1 2 5 10

``--dense-clips 10`` times the dense classifier on ten clips and reading on all, and extrapolates;
the record says so. Ratios are of CPU seconds of one process. Their bound is N / K.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from recognize import HEIGHT, RATE, WIDTH, footage
from vidskim import Recognizer, create_backbone, presets
from vidskim.account import Account
from vidskim.evaluate.protocol import gather_hardware, gather_versions
from vidskim.io.walk import walk
from vidskim.io.write.video import write_video
from vidskim.look.look import Look
from vidskim.look.network import NetworkSaliency
from vidskim.look.sampler import Sampler
from vidskim.look.sources import LogMels, MotionMaps, Residuals
from vidskim.video import Video

SOUND_RATE = 44100
LEARNED = ("motion only", "audio-visual", "cascade")
METHODS = ("uniform", "packets", "motion energy", *LEARNED)


def sound(seconds: float) -> np.ndarray:
    """Return float32 samples of a voice that comes and goes over some noise."""
    time_line = np.arange(int(seconds * SOUND_RATE), dtype=np.float32) / SOUND_RATE
    voice = np.sin(2 * np.pi * 300 * time_line + 40 * np.sin(3 * time_line)) * np.sin(time_line)
    noise = np.random.default_rng(0).standard_normal(len(time_line), dtype=np.float32)
    return (0.2 * voice + 0.02 * noise).astype(np.float32)


class Meter:
    """CPU seconds by name, of networks and of what a video yields."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def pulled(self, name: str, items: Iterator[Any]) -> Iterator[Any]:
        """Pass items on; the time it takes to get them counts."""
        while True:
            start = time.process_time()
            item = next(items, None)
            self.seconds[name] += time.process_time() - start
            if item is None:
                return
            yield item

    def watch(self, name: str, network: nn.Module) -> nn.Module:
        """Count a network's forward passes, and each of `features` and `classify`."""
        for method in ("features", "classify"):
            setattr(network, method, self._timed(name, getattr(network, method)))
        return network

    def _timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*values: Any) -> Any:
            start = time.process_time()
            try:
                return call(*values)
            finally:
                self.seconds[name] += time.process_time() - start

        return run


class MeteredVideo(Video):
    """A video whose reading is counted."""

    def __init__(self, path: Path, meter: Meter) -> None:
        super().__init__(path)
        self.meter = meter

    def iter_frames(self, *values: Any, **options: Any) -> Any:  # noqa: D102
        return self.meter.pulled("clips, RGB", super().iter_frames(*values, **options))

    def iter_motion(self, *values: Any, **options: Any) -> Any:  # noqa: D102
        return self.meter.pulled("motion", super().iter_motion(*values, **options))

    def iter_compressed(self, *values: Any, **options: Any) -> Any:  # noqa: D102
        name = "motion and residuals"
        return self.meter.pulled(name, super().iter_compressed(*values, **options))

    def iter_log_mel(self, *values: Any, **options: Any) -> Any:  # noqa: D102
        return self.meter.pulled("sound", super().iter_log_mel(*values, **options))


def make_methods(arguments: argparse.Namespace, meter: Meter) -> dict[str, Look]:
    """Return every method's look, the learned ones with networks at full width."""

    def network(name: str, source: Any) -> NetworkSaliency:
        built = create_backbone(name, in_channels=source.channels, num_classes=400)
        watched = meter.watch(f"network on {source.kind}", built)
        return NetworkSaliency(watched, source)

    size, k = (arguments.size, arguments.size), arguments.k
    maps = MotionMaps(size=arguments.motion_size, b_frames=not arguments.p_frames)
    motion = network(arguments.visual, maps)
    residual = network(arguments.visual, Residuals(size=size, per_clip=1))
    audio = network(arguments.audio, LogMels())
    both = Sampler((motion, residual), audio, k=k)
    return {
        "uniform": presets.uniform(k=k),
        "packets": presets.packets(k=k),
        "motion energy": presets.motion(k=k),
        "motion only": presets.scsampler(Sampler((motion,), k=k), k=k),
        "audio-visual": presets.scsampler(both, k=k),
        "cascade": presets.cascade(both, k=k),
    }


def answer(recognizer: Recognizer, path: Path, meter: Meter) -> dict[str, Any]:
    """Answer once; return CPU seconds, those of each part, and peak memory."""
    meter.seconds.clear()
    start = time.process_time()
    found = recognizer(MeteredVideo(path, meter))
    total = time.process_time() - start
    parts = dict(meter.seconds)
    return {
        "cpu_seconds": total,
        "clips": len(found.clips),
        "peak_megabytes": found.cost.peak_bytes / 1e6,
        "parts": {**parts, "other": total - sum(parts.values())},
    }


def dense_seconds(recognizer: Recognizer, path: Path, *, num_clips: int) -> dict[str, Any]:
    """Return the CPU seconds of every clip, the classifier's extrapolated from some of them.

    Reading (index, decoding, transform) is measured whole.
    """
    start = time.process_time()
    video = Video(path)
    clips = video.clips(num_frames=recognizer.clip.num_frames, stride=recognizer.clip.stride)
    lane, batch = recognizer.lanes[0], recognizer.encoding.batch_size
    inputs: list[torch.Tensor] = []
    for _, frames in video.iter_frames(clips):
        x = lane.transform(frames)
        if len(inputs) < num_clips:
            inputs.append(x)
    read = time.process_time() - start
    network = lane.encoder
    start = time.process_time()
    with torch.inference_mode():
        for first in range(0, len(inputs), batch):
            x = torch.stack(inputs[first : first + batch])
            network.classify(network.features(x.contiguous(memory_format=torch.channels_last_3d)))
    encode = (time.process_time() - start) / len(inputs) * len(clips)
    return {
        "cpu_seconds": read + encode,
        "clips": len(clips),
        "parts": {"clips, RGB": read, "classifier": encode},
        "extrapolated_from_clips": len(inputs),
    }


def bare_decode_seconds(path: Path) -> float:
    """Return the CPU seconds of decoding all frames with their vectors, nothing else."""
    index = Video(path).packets
    start = time.process_time()
    for _ in walk(path, index, [(0, len(index))], motion_vectors=True):
        pass
    return time.process_time() - start


def look_once(look: Look, path: Path) -> dict[str, float]:
    """Look at a file, nothing more; return CPU seconds and what memory grew by at most."""
    account = Account()
    start = time.process_time()
    look(Video(path), num_frames=16, stride=1)
    seconds = time.process_time() - start
    peak = account.to_cost(dense_macs=0).peak_bytes / 1e6
    return {"cpu_seconds": seconds, "peak_megabytes": peak}


def compare(
    methods: dict[str, Recognizer],
    dense: Callable[[Path], dict[str, Any]],
    path: Path,
    *,
    runs: int,
    meter: Meter,
) -> list[dict[str, Any]]:
    """Answer one file by every method in turn, dense once, in the middle; keep median runs."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    whole: dict[str, Any] = {}
    for turn in range(runs):
        for name, recognizer in methods.items():
            found[name].append(answer(recognizer, path, meter))
        if turn == (runs - 1) // 2:
            whole = dense(path)
    rows = [{"method": "dense", "runs": 1, **whole, "speed_up": 1.0}]
    for name, values in found.items():
        values.sort(key=lambda run: run["cpu_seconds"])
        middle = values[(runs - 1) // 2]
        ratio = whole["cpu_seconds"] / middle["cpu_seconds"]
        rows.append({"method": name, "runs": runs, **middle, "speed_up": ratio})
    return rows


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--lengths", type=float, nargs="*", default=[1, 2, 5, 10])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--dense-clips", type=int, help="extrapolate dense from so many clips")
    parser.add_argument("--visual", default="resnet_18", help="network on motion and residuals")
    parser.add_argument("--audio", default="resnet_18", help="network on sound")
    parser.add_argument("--size", type=int, default=112, help="of residuals, in pixels a side")
    parser.add_argument("--motion-size", type=int, nargs=2, help="of motion maps; as they are")
    parser.add_argument("--p-frames", action="store_true", help="motion of P-frames alone")
    parser.add_argument("--gop", type=int, default=250, help="frames between key frames at most")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scsampler-speed.json"))
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    meter = Meter()
    encoder = create_backbone("r2plus1d_18")
    whole = Recognizer(encoder, look=presets.dense())
    meter.watch("classifier", encoder)  # only now: the recognizer has counted a copy of it
    looks = make_methods(arguments, meter)
    methods = {name: whole.with_look(looks[name]) for name in arguments.methods}
    learned = [name for name in arguments.methods if name in LEARNED]
    dense = partial(answer, whole, meter=meter)
    if arguments.dense_clips:
        dense = partial(dense_seconds, whole, num_clips=arguments.dense_clips)
    rows, lengths = [], []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in sorted({*arguments.minutes, *arguments.lengths}):
            path, seconds = Path(folder) / f"{minutes:g}min.mp4", 60 * minutes
            write_video(
                path,
                footage(seconds),
                frame_rate=RATE,
                options={"preset": "veryfast", "g": str(arguments.gop)},
                audio=sound(seconds),
                sample_rate=SOUND_RATE,
            )
            for name in learned:
                if not lengths:
                    look_once(looks[name], path)  # libraries load, kernels are built
                found = look_once(looks[name], path)
                each = 1000 * found["cpu_seconds"] / seconds
                row = {"minutes": minutes, "method": name, **found, "ms_per_second": each}
                lengths.append(row)
                text = f"look {each:5.1f} ms per video second"
                show(minutes, name, text, found["peak_megabytes"])
            if minutes not in arguments.minutes:
                continue
            for row in compare(methods, dense, path, runs=arguments.runs, meter=meter):
                rows.append({"minutes": minutes, **row})
                parts = ", ".join(f"{key} {value:.2f}" for key, value in row["parts"].items())
                text = f"{row['cpu_seconds']:8.2f} CPU-s {row['speed_up']:6.1f}x  ({parts})"
                show(minutes, row["method"], text, row.get("peak_megabytes"))
            bare = bare_decode_seconds(path)
            rows.append({"minutes": minutes, "method": "bare decode", "cpu_seconds": bare})
            show(minutes, "bare decode", f"{bare:8.2f} CPU-s", None)
    flags = {key: value for key, value in vars(arguments).items() if key != "out"}
    record = {
        "command": "python benchmarks/scsampler.py",
        "settings": flags,
        "hardware": asdict(gather_hardware()),
        "versions": gather_versions(),
        "file": f"{WIDTH}x{HEIGHT}, {RATE} fps, H.264 (x264 veryfast), AAC {SOUND_RATE} Hz mono",
        "rows": rows,
        "look_by_length": lengths,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


def show(minutes: float, name: str, text: str, megabytes: float | None) -> None:
    memory = "" if megabytes is None else f"  {megabytes:.0f} MB at most"
    print(f"{minutes:g} min  {name:13s} {text}{memory}", flush=True)


if __name__ == "__main__":
    main()
