"""How much faster than looking at every clip: end to end, file to answer, in CPU seconds.

One full-width R(2+1)D-18 with random weights (speed does not depend on them) answers the same file
by every method in turn; decoding is in every figure. Run it on a quiet machine:

    python benchmarks/recognize.py --minutes 1 10 --runs 3 --precision bf16

Dense runs once per file and method turns are interleaved around it, so that drift of the machine
falls on all. The bound of what choosing K of N clips can give is N / K.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from vidskim import Recognizer, Runtime, create_backbone
from vidskim.data.make.scene import Pose, Sprite, texture, wander
from vidskim.evaluate.protocol import gather_hardware, gather_versions
from vidskim.io.write.video import write_video
from vidskim.look.methods import dense, motion, packets, uniform
from vidskim.video import Video

HEIGHT, WIDTH, RATE = 256, 340, 30


def footage(seconds: float) -> Iterator[np.ndarray]:
    """Yield frames [256, 340, 3]: a wandering camera over a textured place, four moving things."""
    rng = np.random.default_rng(0)
    count = int(seconds * RATE)
    camera = wander(rng, count, speed=(0.5, 3), limit=(40, 30))
    place = texture(rng, HEIGHT + 90, WIDTH + 110, contrast=25)
    things = [
        (
            Sprite.random(rng, diameter=60, home_x=x, home_y=y),
            wander(rng, count, speed=(1, 5), limit=(120, 80)),
        )
        for x, y in ((80, 80), (250, 70), (100, 190), (240, 180))
    ]
    noise = rng.integers(0, 6, (5, HEIGHT, WIDTH, 1), dtype=np.uint8)
    for n in range(count):
        dx, dy = (float(v) for v in camera[n])
        top, left = round(dy) + 44, round(dx) + 54
        image = place[top : top + HEIGHT, left : left + WIDTH].copy()
        for sprite, path in things:
            pose = Pose(x=float(path[n, 0]), y=float(path[n, 1]))
            sprite.draw(image, pose, camera_x=dx, camera_y=dy)
        yield np.minimum(image, 249) + noise[n % 5]


def measure(recognizer: Recognizer, path: Path) -> dict[str, float]:
    """Answer once; return CPU seconds, wall seconds and the account."""
    cpu, wall = time.process_time(), time.perf_counter()
    answer = recognizer(Video(path))
    return {
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "clips": len(answer.clips),
        "gmacs": answer.cost.macs / 1e9,
        "frames_decoded": answer.cost.frames_decoded,
        "look_seconds": answer.cost.seconds["look"],
        "read_seconds": answer.cost.seconds["read"],
        "encode_seconds": answer.cost.seconds["encode"],
        "peak_megabytes": answer.cost.peak_bytes / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--model", default="r2plus1d_18")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/recognize.json"))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    encoder = create_backbone(arguments.model)
    looks = {
        "uniform": uniform(k=arguments.k),
        "packets": packets(k=arguments.k),
        "motion": motion(k=arguments.k),
    }
    methods = {
        name: Recognizer(encoder, look=look, runtime=Runtime(precision=arguments.precision))
        for name, look in looks.items()
    }
    whole = Recognizer(encoder, look=dense(), runtime=Runtime(precision=arguments.precision))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in arguments.minutes:
            path = Path(folder) / f"{minutes:g}min.mp4"
            write_video(
                path, footage(60 * minutes), frame_rate=RATE, options={"preset": "veryfast"}
            )
            methods["uniform"](Video(path))  # libraries load, kernels are built
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
            full = None
            for turn in range(arguments.runs):
                for name, recognizer in methods.items():
                    runs[name].append(measure(recognizer, path))
                if turn == (arguments.runs - 1) // 2:
                    full = measure(whole, path)
            assert full is not None
            rows.append({"minutes": minutes, "method": "dense", "runs": 1, **full, "speed_up": 1.0})
            for name, found in runs.items():
                middle = {key: statistics.median(r[key] for r in found) for key in found[0]}
                ratio = full["cpu_seconds"] / middle["cpu_seconds"]
                rows.append(
                    {
                        "minutes": minutes,
                        "method": name,
                        "runs": len(found),
                        **middle,
                        "speed_up": ratio,
                    }
                )
            for row in rows[-len(methods) - 1 :]:
                print(
                    f"{row['minutes']:g} min  {row['method']:8s} {row['cpu_seconds']:8.2f} CPU-s  "
                    f"{row['speed_up']:6.1f}x  {row['clips']} clips",
                    flush=True,
                )
    record = {
        "command": f"python benchmarks/recognize.py --minutes "
        f"{' '.join(f'{m:g}' for m in arguments.minutes)} --runs {arguments.runs} "
        f"--k {arguments.k} --model {arguments.model} --precision {arguments.precision}",
        "hardware": asdict(gather_hardware()),
        "versions": gather_versions(),
        "file": f"{WIDTH}x{HEIGHT}, {RATE} fps, H.264 (x264 veryfast, default GOP and B-frames)",
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
