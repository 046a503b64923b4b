"""What a training step on N clips of each video costs: seconds and peak memory of both strategies.

    python benchmarks/memory_cost.py

Every cell is a process of its own: a network, a batch of random clips, a warm-up step, then
`--steps` measured ones. Batch reduction keeps the clips of a pass (`--clips`) and takes clips / N
videos; multi-iteration has one clip of `--clips` videos in a pass, as training on single clips has.
CPU seconds are given per clip that was learned from, since steps hold different numbers of them.
Peak memory is the process's high-water mark during the measured steps, less what it held before the
network was built; the C library is told to give freed memory back at once, or its own gaps would be
measured. The clips of a step are made anew in it, in multi-iteration one after another.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vidskim.account import peak_rss_bytes, reset_peak_rss
from vidskim.backbones.registry import create_backbone
from vidskim.evaluate.protocol import gather_hardware, gather_versions
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.presets import memory_channels
from vidskim.train.multi_clip import MultiClip
from vidskim.train.multi_iteration import ClipByClip, multi_iteration
from vidskim.train.sub_batch import use_sub_batches
from vidskim.train.video_loss import video_loss

OUT = Path(__file__).resolve().parent / "results" / "memory"
NUMBERS = (1, 3, 5, 9)
SINGLE = "single"
STRATEGIES = ("batch_reduction", "multi_iteration")


def main() -> None:
    """Measure every cell in a process of its own, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="slow_r50_8x8")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--clips", type=int, default=9, help="of a pass")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--cell", help="STRATEGY,N: measure this one here and print it")
    options = parser.parse_args()
    if options.cell:
        strategy, number = options.cell.split(",")
        print(json.dumps(measure(strategy, int(number), options)))
        return
    cells = [(SINGLE, 1), *((s, n) for s in STRATEGIES for n in NUMBERS)]
    words = list(sys.argv[1:])
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    rows = []
    for strategy, number in cells:
        command = [sys.executable, __file__, *words, "--cell", f"{strategy},{number}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    write(rows, options, words)


def measure(strategy: str, num_clips: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run the steps of one cell."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.nn.Conv3d(1, 1, 1)(torch.zeros(1, 1, 1, 1, 1)).sum().backward()
    reset_peak_rss()
    before = peak_rss_bytes()
    backbone = create_backbone(options.model, num_classes=400, width=options.width)
    memory = None
    if strategy != SINGLE:
        memory = CollaborativeMemory(memory_channels(backbone))
    model = MultiClip(backbone, memory, num_clips=num_clips).train()
    grouping = use_sub_batches(model.backbone)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    videos = options.clips // num_clips if strategy == "batch_reduction" else options.clips

    def draw(n: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(n)
        shape = (videos, 1, 3, options.frames, options.size, options.size)
        return torch.randn(shape, generator=generator)

    target = torch.randint(400, (videos,))

    def loss_of(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return video_loss(logits, y, alpha=0.5)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        if strategy == "multi_iteration":
            multi_iteration(
                model,
                ClipByClip(num_clips, draw),
                target,
                loss_of=loss_of,
                grouping=grouping,
                backward=lambda loss: loss.backward(),
            )
        else:
            grouping.num_groups = num_clips
            x = torch.cat([draw(n) for n in range(num_clips)], dim=1)
            loss_of(model(x), target).backward()
        optimizer.step()

    step()
    reset_peak_rss()
    seconds = []
    for _ in range(options.steps):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    return {
        "strategy": strategy,
        "num_clips": num_clips,
        "videos_per_step": videos,
        "cpu_seconds_per_step": statistics.median(seconds),
        "cpu_seconds_per_clip": statistics.median(seconds) / (videos * num_clips),
        "peak_bytes": peak_rss_bytes() - before,
    }


def write(rows: list[dict[str, Any]], options: argparse.Namespace, words: list[str]) -> None:
    """Write cost.json and cost.md."""
    first = rows[0]
    protocol = {
        "network": f"{options.model}, width {options.width}, {options.frames} x {options.size} x "
        f"{options.size}, float32, one thread",
        "clips_per_pass": options.clips,
        "steps": options.steps,
        "command": " ".join(["python", "benchmarks/memory_cost.py", *words]),
        "hardware": asdict(gather_hardware("cpu")),
        "versions": gather_versions(),
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "cost.json").write_text(json.dumps({**protocol, "rows": rows}, indent=1) + "\n")
    lines = [
        "# Collaborative memory: what a training step costs",
        "",
        f"{protocol['network']}; {options.clips} clips in a pass, median of {options.steps} steps, "
        "each row a process of its own. Ratios are to training on single clips, the first row.",
        "",
        "| strategy | N | videos per step | CPU s per step | per clip | ratio | peak MB | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['strategy'].replace('_', ' ')} | {row['num_clips']} | {row['videos_per_step']} | "
        f"{row['cpu_seconds_per_step']:.2f} | {row['cpu_seconds_per_clip']:.3f} | "
        f"{row['cpu_seconds_per_clip'] / first['cpu_seconds_per_clip']:.2f} | "
        f"{row['peak_bytes'] / 1e6:.0f} | {row['peak_bytes'] / first['peak_bytes']:.2f} |"
        for row in rows
    ]
    told = [f"- {key}: {value}" for key, value in protocol.items()]
    (OUT / "cost.md").write_text("\n".join([*lines, "", *told, ""]))
    print((OUT / "cost.md").read_text())


if __name__ == "__main__":
    main()
