"""What a figure was measured under: data, views, precision, machine, versions, command.

An accuracy or a time without these cannot be compared with another; every report carries them.
"""

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from vidskim.data.manifest import Manifest

PACKAGES = ("vidskim", "torch", "numpy", "av")
"""Whose versions are recorded, besides Python's."""


@dataclass(frozen=True, slots=True)
class Views:
    """What of a video a method looks at closely."""

    num_clips: int
    """Clips chosen per video at most (``dense`` takes all, whatever this says)."""
    num_crops: int
    num_frames: int
    stride: int
    size: tuple[int, int]
    """(height, width) of the network's input in pixels."""

    def __str__(self) -> str:
        height, width = self.size
        crops = f"{self.num_crops} crop{'s' if self.num_crops > 1 else ''}"
        return (
            f"up to {self.num_clips} clips x {crops}, "
            f"{self.num_frames} frames x stride {self.stride}, {height} x {width} pixels"
        )


@dataclass(frozen=True, slots=True)
class Hardware:
    """The machine, as far as speed depends on it."""

    cpu: str
    cores: int
    """Cores this process may run on."""
    torch_threads: int
    device: str
    """``cpu``, or the accelerator's name."""

    def __str__(self) -> str:
        text = f"{self.cpu}, {self.cores} cores, {self.torch_threads} torch threads"
        return text if self.device == "cpu" else f"{self.device}; {text}"


@dataclass(frozen=True, slots=True)
class Protocol:
    """All that a reader needs to measure again."""

    manifest: str
    """File or folder name, without the folders above it: those are one machine's affair."""
    manifest_sha256: str
    split: str | None
    """The split all videos are from, if the manifest says."""
    num_videos: int
    seed: int
    views: Views
    precision: str
    hardware: Hardware
    versions: dict[str, str]
    command: str

    def lines(self) -> list[str]:
        """Return the protocol as a few short lines of text."""
        packages = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return [
            f"data: {self.manifest} (sha256 {self.manifest_sha256[:12]}), "
            f"{self.num_videos} {self.split + ' ' if self.split else ''}videos, seed {self.seed}",
            f"views: {self.views}, {self.precision}",
            f"machine: {self.hardware}",
            f"versions: {packages}",
            f"command: {self.command}",
        ]


def gather_protocol(
    manifest: Manifest,
    *,
    views: Views,
    seed: int,
    precision: str = "fp32",
    device: str | torch.device = "cpu",
    command: Sequence[str] | None = None,
) -> Protocol:
    """Record what is about to be measured, on this machine, in this process.

    Args:
        manifest: the rows that are evaluated.
        views: what the methods look at closely.
        seed: of everything random in the evaluation.
        precision: of the networks: ``fp32``, ``bf16``, ...
        device: where they run.
        command: the command and its arguments; by default this process's, the program without its
            folder.
    """
    if command is None:
        command = [Path(sys.argv[0]).name or "python", *sys.argv[1:]]
    splits = {row.split for row in manifest.rows}
    return Protocol(
        manifest=manifest.source.resolve().name,
        manifest_sha256=manifest.sha256,
        split=splits.pop() if len(splits) == 1 else None,
        num_videos=len(manifest.rows),
        seed=seed,
        views=views,
        precision=precision,
        hardware=gather_hardware(device),
        versions=gather_versions(),
        command=shlex.join(command),
    )


def gather_hardware(device: str | torch.device = "cpu") -> Hardware:
    """Describe this machine.

    Args:
        device: where the networks run.
    """
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return Hardware(
        cpu=cpu_model(),
        cores=_available_cores(),
        torch_threads=torch.get_num_threads(),
        device=name,
    )


def gather_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cpu_model(cpuinfo: str | Path = "/proc/cpuinfo") -> str:
    """Return the processor's marketing name, or its architecture where no system file tells.

    Args:
        cpuinfo: Linux's description of the processors.
    """
    try:
        lines = Path(cpuinfo).read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return " ".join(value.split())
    return platform.processor() or platform.machine() or "unknown processor"


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
