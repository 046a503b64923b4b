"""Table 5's form: seconds over many videos against multiply-adds, decoding told apart.

    OMP_NUM_THREADS=1 python benchmarks/faster_speed.py --data SET/videos.csv --size 112

Full-width networks of random weights (speed does not depend on them), fp32, one clip per batch.
The methods take turns on every video, and who goes first changes, so that what drifts on the
machine falls on all alike. Seconds are CPU seconds of the process, of each stage of the answer's
own account.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import vidskim.account
from vidskim import Recognizer, Runtime
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network
from vidskim.backbones.open import untrained
from vidskim.backbones.resolution import set_test_size
from vidskim.data.folder import load_manifest
from vidskim.evaluate.benchmark import turns
from vidskim.evaluate.protocol import gather_hardware, gather_versions
from vidskim.look import methods
from vidskim.look.methods import METHODS
from vidskim.model import presets

OUT = Path(__file__).resolve().parent / "results" / "faster" / "speed"
BASE = "all E, average"
STAGES = ("look", "read", "encode", "aggregate", "total")


def main() -> None:
    """Answer every video by every method; write the table."""
    options = read_options()
    vidskim.account.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[assignment]
    methods = {
        "all C, average": average(options.cheap, size=options.size),
        BASE: average(options.expensive, size=options.size),
        "FASTER32": faster("faster32", options.expensive, options.cheap, size=options.size),
        "FASTER16": faster("faster16", options.expensive, options.cheap, size=options.size),
    }
    manifest = load_manifest(options.data, split="test")
    paths = [row.path for row in manifest.rows][: options.videos]
    seconds: dict[str, dict[str, float]] = {name: defaultdict(float) for name in methods}
    macs: dict[str, int] = defaultdict(int)
    for name in methods:
        methods[name](paths[0])  # libraries load and kernels are built
    for n, path in enumerate(paths):
        for name in turns(list(methods), n):
            cost = methods[name](path).cost
            macs[name] += cost.macs
            for stage in STAGES:
                seconds[name][stage] += cost.seconds[stage]
        if n % 10 == 9 or n + 1 == len(paths):
            print(n + 1, {name: round(s["total"]) for name, s in seconds.items()}, flush=True)
            write(methods, seconds, macs, num_videos=n + 1, sha256=manifest.sha256, options=options)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--size", type=int, default=112, help="pixels; the paper's is 224")
    parser.add_argument("--expensive", default="r2plus1d_50")
    parser.add_argument("--cheap", default="r2d_26")
    return parser.parse_args()


def average(name: str, *, size: int) -> Recognizer:
    """Return average pooling of 8 clips of 32 frames by one encoder."""
    network = sized(untrained(name), num_frames=32, size=size)
    return Recognizer(network, look=methods.uniform(k=8), runtime=Runtime(batch_size=1))


def faster(method: str, expensive: str, cheap: str, *, size: int) -> Recognizer:
    """Return a configuration of FASTER."""
    row = METHODS[method]
    assert row.num_frames is not None
    assert row.pattern is not None
    assert row.num_clips is not None
    networks = [
        sized(untrained(name), num_frames=row.num_frames, size=size) for name in (expensive, cheap)
    ]
    model = presets.faster(networks, pattern=row.pattern, num_clips=row.num_clips)
    return Recognizer(model, look=methods.uniform(k=row.num_clips), runtime=Runtime(batch_size=1))


def sized(network: Network, *, num_frames: int, size: int) -> Network:
    """Give a network clips of another length and size."""
    set_test_size(network, size)
    assert network.clip is not None
    network.clip = ClipSpec(num_frames, 1, network.clip.size)
    return network


def write(
    methods: dict[str, Recognizer],
    seconds: dict[str, dict[str, float]],
    macs: dict[str, int],
    *,
    num_videos: int,
    sha256: str,
    options: argparse.Namespace,
) -> None:
    """Write JSON and a table in Markdown."""
    rows: list[dict[str, Any]] = []
    for name in methods:
        close = seconds[name]["encode"] + seconds[name]["aggregate"]
        base = seconds[BASE]["encode"] + seconds[BASE]["aggregate"]
        saved_macs, saved_seconds = 1 - macs[name] / macs[BASE], 1 - close / base
        saved_total = 1 - seconds[name]["total"] / seconds[BASE]["total"]
        rows.append(
            {
                "method": name,
                "gmacs_per_video": macs[name] / num_videos / 1e9,
                "cpu_seconds": dict(seconds[name]),
                "macs_saved": saved_macs,
                "network_seconds_saved": saved_seconds,
                "total_seconds_saved": saved_total,
                "network_ratio": saved_seconds / saved_macs if saved_macs else None,
                "total_ratio": saved_total / saved_macs if saved_macs else None,
            }
        )
    protocol = {
        "videos": num_videos,
        "size": options.size,
        "expensive": options.expensive,
        "cheap": options.cheap,
        "manifest_sha256": sha256,
        "command": "python benchmarks/faster_speed.py "
        + " ".join("/".join(Path(w).parts[-2:]) if "/" in w else w for w in sys.argv[1:]),
        "hardware": asdict(gather_hardware("cpu")),
        "versions": gather_versions(),
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.with_suffix(".json").write_text(json.dumps({**protocol, "rows": rows}, indent=1) + "\n")
    lines = [
        "# Table 5's form: CPU seconds against multiply-adds",
        "",
        f"{num_videos} videos, 256 frames of each at {options.size} pixels, one thread, fp32, one "
        "clip per batch, random weights; sums over the videos. Networks are encoders and "
        "aggregator; reading is demuxing, decoding and resizing.",
        "",
        "| method | GMACs a video | networks, s | reading, s | total, s | MACs saved | network "
        "seconds saved | ratio | total seconds saved | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        spent = row["cpu_seconds"]
        told = [
            row["method"],
            f"{row['gmacs_per_video']:.1f}",
            f"{spent['encode'] + spent['aggregate']:.1f}",
            f"{spent['read'] + spent['look']:.1f}",
            f"{spent['total']:.1f}",
            f"{100 * row['macs_saved']:.1f} %",
            f"{100 * row['network_seconds_saved']:.1f} %",
            share(row["network_ratio"]),
            f"{100 * row['total_seconds_saved']:.1f} %",
            share(row["total_ratio"]),
        ]
        lines.append(f"| {' | '.join(told)} |")
    lines += ["", *(f"- {key}: {value}" for key, value in protocol.items()), ""]
    OUT.with_suffix(".md").write_text("\n".join(lines))


def share(value: float | None) -> str:
    """Return a ratio, nothing for the base."""
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
