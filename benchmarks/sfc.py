"""What a whole video costs by selective feature compression, against 10 x 3 views of its backbone.

    python benchmarks/sfc.py

The input is random: 36 frames at the backbone's stride (the paper's 288) of 256x312 pixels for one
pass, and ten clips x three crops of 256x256 for the views. Every measurement is a process of its
own: networks, a warm-up pass, then one measured pass; the cells take turns, and the median over
`--rounds` is given. Peak memory is the process's high-water mark during the measured pass, less
what it held before the network was built ("with weights") or before the pass ("pass alone": the
input is made in it); the C library is told to give freed memory back at once. Videos per batch, the
paper's measure, is how many such passes would fit into `--gib` beside the weights, reckoned from
one. On a single thread PyTorch unfolds the input of temporal convolutions of fewer than 16 clips,
on several it does not: CPU seconds are compared best with the former, memory with the latter.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidskim.account import count, peak_rss_bytes, reset_peak_rss
from vidskim.backbones.registry import create_backbone
from vidskim.evaluate.protocol import gather_hardware, gather_versions
from vidskim.model.compressed import Compressed, map_channels
from vidskim.model.compression import TemporalCompression

OUT = Path(__file__).resolve().parent / "results" / "sfc"
VIEWS = 30
CELLS = {
    "views": "10 x 3 views in one batch",
    "views by one": "10 x 3 views one by one",
    "one view": "one view",
    "uncompressed": "one pass, not compressed",
    "sfc 1": "SFC, tau = 1",
    "sfc 4/3": "SFC, tau = 4/3",
    "sfc 2": "SFC, tau = 2",
    "sfc 4": "SFC, tau = 4",
    "sfc 8": "SFC, tau = 8",
    "sfc 2 windows": "SFC, tau = 2, early part in windows of 8 frames",
}


def main() -> None:
    """Measure every cell in processes of their own, in turns, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="slow_r50_8x8")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--at", default="res3")
    parser.add_argument("--frames", type=int, default=36, help="of the whole video, strided")
    parser.add_argument("--clip-frames", type=int, default=8)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width-pixels", type=int, default=312)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gib", type=float, default=16.0, help="memory for videos per batch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--name", default="cpu")
    parser.add_argument("--cell", help="measure this one here and print it")
    options = parser.parse_args()
    if options.cell:
        print(json.dumps(measure(options.cell, options)))
        return
    words = list(sys.argv[1:])
    environment = {
        **os.environ,
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "OMP_NUM_THREADS": str(options.threads),
    }
    found: dict[str, list[dict[str, Any]]] = {cell: [] for cell in CELLS}
    for n in range(options.rounds):
        for cell in (*list(CELLS)[n % len(CELLS) :], *list(CELLS)[: n % len(CELLS)]):
            command = [sys.executable, __file__, *words, "--cell", cell]
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, env=environment
            )
            found[cell].append(json.loads(done.stdout.splitlines()[-1]))
            print(n, cell, found[cell][-1], flush=True)
    rows = [
        {
            "cell": cell,
            "told": CELLS[cell],
            "macs": runs[0]["macs"],
            **{
                key: statistics.median(run[key] for run in runs)
                for key in ("seconds", "wall_seconds", "peak_bytes", "pass_bytes")
            },
        }
        for cell, runs in found.items()
    ]
    write(rows, options, words)


def measure(cell: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one pass of one cell."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    on_gpu = device.type == "cuda"
    torch.nn.Conv3d(1, 1, 1)(torch.zeros(1, 1, 1, 1, 1))
    before = 0 if on_gpu else peak_after_reset()
    with torch.inference_mode():
        run, macs = job(cell, options, device)
        run()
        if on_gpu:
            torch.cuda.synchronize()
            held = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        else:
            held = peak_after_reset()
        start, wall = time.process_time(), time.perf_counter()
        run()
        if on_gpu:
            torch.cuda.synchronize()
        seconds, walls = time.process_time() - start, time.perf_counter() - wall
        peak = torch.cuda.max_memory_allocated() if on_gpu else peak_rss_bytes()
    return {
        "macs": macs,
        "seconds": walls if on_gpu else seconds,
        "wall_seconds": walls,
        "peak_bytes": peak - before,
        "pass_bytes": peak - held,
    }


def peak_after_reset() -> int:
    """Forget the high-water mark; return what is held now."""
    reset_peak_rss()
    return peak_rss_bytes()


def job(
    cell: str, options: argparse.Namespace, device: torch.device
) -> tuple[Callable[[], Tensor], int]:
    """Return one pass over one video, and its multiply-adds."""
    backbone = create_backbone(options.model, num_classes=400, width=options.width).eval()
    crop = (3, options.clip_frames, options.height, options.height)
    whole = (3, options.frames, options.height, options.width_pixels)
    kind, *more = cell.split(" ")
    if kind in ("views", "one"):
        network = backbone.to(device)
        number = 1 if kind == "one" else VIEWS
        step = 1 if more == ["by", "one"] else number

        def of_views() -> Tensor:
            scores = [
                network(torch.rand(step, *crop, device=device)).softmax(1)
                for _ in range(number // step)
            ]
            return torch.cat(scores).mean(0)

        return of_views, number * count(backbone, crop).macs
    if kind == "uncompressed":
        network = backbone.to(device)
        return lambda: network(torch.rand(1, *whole, device=device)), count(backbone, whole).macs
    compression = TemporalCompression(map_channels(backbone, options.at), ratio=more[0])
    model = Compressed(backbone, at=options.at, compression=compression).eval().to(device)
    macs = count(model, whole).macs
    if more[1:] == ["windows"]:
        model.reach()

        def of_parts() -> Tensor:
            size = (1, 3, 8, *whole[2:])
            parts = (
                torch.rand(*size[:2], min(8, whole[1] - n), *size[3:], device=device)
                for n in range(0, whole[1], 8)
            )
            return model.classify(model.attend(parts, window_frames=8)[0].float())

        return of_parts, macs
    return lambda: model(torch.rand(1, *whole, device=device)), macs


def write(rows: list[dict[str, Any]], options: argparse.Namespace, words: list[str]) -> None:
    """Write NAME.json and NAME.md."""
    first = rows[0]
    room = options.gib * 2**30
    for row in rows:
        row["videos_per_batch"] = (room - (row["peak_bytes"] - row["pass_bytes"])) / row[
            "pass_bytes"
        ]
    protocol = {
        "network": f"{options.model}, width {options.width}, cut after {options.at}, float32",
        "threads": options.threads,
        "input": f"{options.frames} x {options.height} x {options.width_pixels}; views "
        f"{options.clip_frames} x {options.height} x {options.height}",
        "rounds": options.rounds,
        "device": options.device,
        "command": " ".join(["python", "benchmarks/sfc.py", *words]),
        "hardware": asdict(gather_hardware(options.device)),
        "versions": gather_versions(),
    }
    OUT.mkdir(parents=True, exist_ok=True)
    record = {**protocol, "rows": rows}
    (OUT / f"speed-{options.name}.json").write_text(json.dumps(record, indent=1) + "\n")
    clock = "CPU s" if options.device == "cpu" else "s"
    lines = [
        "# Selective feature compression: time and memory of a video",
        "",
        f"Median of {options.rounds} rounds, cells in turns, each pass in a process of its own. "
        "Ratios are to 10 x 3 views in one batch. MACs include the attention's own products. "
        f'"Fit" is how many videos would fit into {options.gib:g} GiB, reckoned from one.',
        "",
        f"| | GMACs | ratio | {clock} | ratio | MB, pass alone | ratio | MB, with weights | ratio "
        "| fit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['told']} | {row['macs'] / 1e9:.1f} | {first['macs'] / row['macs']:.2f} | "
        f"{row['seconds']:.2f} | {first['seconds'] / row['seconds']:.2f} | "
        f"{row['pass_bytes'] / 1e6:.0f} | {first['pass_bytes'] / row['pass_bytes']:.2f} | "
        f"{row['peak_bytes'] / 1e6:.0f} | {first['peak_bytes'] / row['peak_bytes']:.2f} | "
        f"{int(row['videos_per_batch'])} |"
        for row in rows
    ]
    told = [f"- {key}: {value}" for key, value in protocol.items()]
    (OUT / f"speed-{options.name}.md").write_text("\n".join([*lines, "", *told, ""]))
    print((OUT / f"speed-{options.name}.md").read_text())


if __name__ == "__main__":
    main()
