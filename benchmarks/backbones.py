"""What every backbone costs on the machine at hand: time per clip, multiply-adds, peak memory.

    python benchmarks/backbones.py --precision bf16 --names slow_r50_8x8 x3d_m

Full networks with random weights (speed does not depend on them) on one clip of the size they were
made for, or a batch of such clips; decoding is not in it. Each network has a process of its own, so
that its peak memory is its own; the first pass only warms up and the median of the others counts.
CPU time is given beside wall time: with one thread it depends little on what else the machine does.
The table is named by hardware and precision; rows that are in it already and are not asked for
again stay.
"""

import argparse
import csv
import json
import re
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from vidskim.account import count, peak_rss_bytes, reset_peak_rss
from vidskim.answer.recognizer import usable_device
from vidskim.backbones import create_backbone, list_networks
from vidskim.evaluate.protocol import gather_hardware, gather_versions

RESULTS = Path(__file__).parent / "results" / "backbones"
PRECISIONS = ("fp32", "bf16")
MARK = "row: "


@dataclass(frozen=True)
class Row:
    """One network on one machine."""

    name: str
    num_frames: int
    height: int
    width: int
    batch: int
    gmacs: float
    """1e9 multiply-adds per clip."""
    params: int
    milliseconds_per_clip: float
    cpu_milliseconds_per_clip: float
    gmacs_per_cpu_second: float
    peak_megabytes: float
    """Resident memory of the process, torch itself (some 200 MB) in it; on CUDA what was allocated
    on the device."""
    precision: str
    runs: int
    hardware: str
    torch: str


def hardware_name(device: str) -> str:
    """Return the hardware as part of a file's name: ``amd-epyc-9r14-96-core-processor-1thread``."""
    hardware = gather_hardware(device)
    if hardware.device != "cpu":
        text = hardware.device
    else:
        threads = hardware.torch_threads
        text = f"{hardware.cpu} {threads}thread{'s' if threads > 1 else ''}"
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def measure(name: str, *, precision: str, device: str, batch: int, seconds: float) -> Row:
    """Measure one network in this process."""
    place = usable_device(device)
    torch.manual_seed(0)
    network = create_backbone(name).eval().to(place)
    if network.clip is None:  # on images, motion maps or log-mel windows
        shape = (1, network.options["in_channels"], *network.image_size)
        layout = torch.channels_last
    else:
        shape = network.clip.input_shape
        layout = torch.channels_last_3d
    counted = count(network, shape)
    x = torch.randn(batch, *shape[1:], device=place).contiguous(memory_format=layout)
    reset_peak_rss()
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    times: list[float] = []
    cpu_times: list[float] = []
    with torch.inference_mode():
        while len(times) < 3 or (sum(times) < seconds and len(times) < 50):
            start, cpu_start = time.perf_counter(), time.process_time()
            with torch.autocast(place.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
                features = network.features(x)
            network.classify(features.float())
            if place.type == "cuda":
                torch.cuda.synchronize(place)
            times.append(time.perf_counter() - start)
            cpu_times.append(time.process_time() - cpu_start)
    middle, cpu_middle = (statistics.median(t[1:]) / batch for t in (times, cpu_times))
    peak = torch.cuda.max_memory_allocated(place) if place.type == "cuda" else peak_rss_bytes()
    return Row(
        name=name,
        num_frames=1 if network.clip is None else network.clip.num_frames,
        height=shape[-2],
        width=shape[-1],
        batch=batch,
        gmacs=round(counted.macs / 1e9, 3),
        params=counted.params,
        milliseconds_per_clip=round(1000 * middle, 2),
        cpu_milliseconds_per_clip=round(1000 * cpu_middle, 2),
        gmacs_per_cpu_second=round(counted.macs / 1e9 / cpu_middle, 1),
        peak_megabytes=round(peak / 1e6, 1),
        precision=precision,
        runs=len(times) - 1,
        hardware=str(gather_hardware(device)),
        torch=gather_versions()["torch"],
    )


def measure_apart(name: str, arguments: argparse.Namespace, precision: str) -> Row | None:
    """Measure one network in a process of its own; None, and the reason printed, if it fails."""
    command = [sys.executable, __file__, "--one", name, "--precision", precision]
    for option in ("device", "batch", "seconds", "threads"):
        value = getattr(arguments, option)
        if value is not None:
            command += [f"--{option}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return Row(**json.loads(line.removeprefix(MARK)))
    reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    print(f"{name:24} {precision}: failed, {reason}", flush=True)
    return None


def write(rows: list[Row], path: Path) -> None:
    """Put rows into a table, in the place of those of the same name, in the registry's order."""
    kept: dict[str, dict] = {}
    if path.exists():
        with path.open(newline="") as file:
            kept = {row["name"]: row for row in csv.DictReader(file)}
    kept |= {row.name: asdict(row) for row in rows}
    order = list(list_networks())
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept[name] for name in order if name in kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=list_networks(), metavar="NAME")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, help="of torch (default: its own choice)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring per network")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the tables")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    if arguments.one is not None:
        row = measure(
            arguments.one,
            precision=arguments.precision[0],
            device=arguments.device,
            batch=arguments.batch,
            seconds=arguments.seconds,
        )
        print(MARK + json.dumps(asdict(row)))
        return
    unknown = sorted(set(arguments.names) - set(list_networks()))
    if unknown:
        parser.error(f"no backbone {unknown[0]!r}: {', '.join(list_networks())}")
    usable_device(arguments.device)
    for name in arguments.names:
        for precision in arguments.precision:
            row = measure_apart(name, arguments, precision)
            if row is None:
                continue
            write([row], arguments.out / f"{hardware_name(arguments.device)}_{precision}.csv")
            print(
                f"{name:24} {precision} {row.milliseconds_per_clip:9.1f} ms per clip "
                f"({row.cpu_milliseconds_per_clip:.1f} CPU) "
                f"{row.gmacs:8.2f} GMACs {row.peak_megabytes:7.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
