"""Feature maps of a frozen clip classifier on the clips of every video, computed once and kept.

FASTER's second stage trains an aggregator on maps of encoders that stay as they are (section 4.1):
an epoch then costs what the aggregator costs. One safetensors file per video holds the maps in
float16 and the classifier's own logits, from which average pooling is worked out
(`vidskim.data.cache.cache`). Training on a few clips reads no more than these.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vidskim.answer.precision import check_precision, resolve, running_in
from vidskim.answer.recognizer import usable_device
from vidskim.backbones.contract import Backbone
from vidskim.data.cache.cache import (
    collect,
    content_name,
    encoder_settings,
    keep,
    open_home,
    seal,
    short_hash,
    unseal,
)
from vidskim.data.grid import clips_within, grid_of
from vidskim.data.manifest import Row
from vidskim.errors import CheckpointError, ManifestError, UsageError, VideoError
from vidskim.look.selection import check_k, uniform
from vidskim.types import Clip
from vidskim.video import Video

FORMAT = 1

HEADER_KEY = "vidskim_maps"
"""Our entry among the safetensors metadata: one JSON object."""

LARGEST = torch.finfo(torch.float16).max

HELD_BYTES = 2 * 1024**3
"""Maps of a data set up to this size are kept in memory."""


@dataclass(frozen=True, slots=True)
class VideoMaps:
    """Maps and logits of one row's clips; places count the clips that are kept, from 0."""

    file: Path
    clips: tuple[int, ...]
    """Where each kept clip lies in the grid of the file, ascending."""
    grid: int
    """Clips of the whole grid."""
    held: dict[str, Tensor] | None = None
    """All of it, where it is in memory."""

    def __len__(self) -> int:
        return len(self.clips)

    def maps(self, places: Sequence[int]) -> Tensor:
        """Return the encoder's maps float32 ``[n, C, T', H', W']`` of some clips."""
        return self._take("maps", places).float()

    def logits(self, places: Sequence[int]) -> Tensor:
        """Return what the encoder's own classifier says of some clips, float32 ``[n, K]``."""
        return self._take("logits", places)

    def _take(self, name: str, places: Sequence[int]) -> Tensor:
        if self.held is not None:
            return self.held[name][list(places)]
        with safe_open(self.file, framework="pt") as file:
            kept = file.get_slice(name)
            return torch.cat([kept[n : n + 1] for n in places])


@dataclass(frozen=True, slots=True)
class Maps:
    """Feature maps of one encoder on the clips of the rows of a manifest."""

    rows: tuple[Row, ...]
    """The rows whose video could be read."""
    videos: tuple[VideoMaps, ...]
    """One per row."""
    shapes: frozenset[tuple[int, ...]]
    """(C, T', H', W') of the maps; several only where a transform keeps whole frames."""
    failures: tuple[str, ...] = ()
    """Of the rows that are left out: which, and why."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> VideoMaps:
        """Return what is kept of one row."""
        return self.videos[row]

    def of_rows(self, rows: Sequence[Row]) -> "Maps":
        """Return the same maps of fewer rows, in the order given."""
        place = {row: n for n, row in enumerate(self.rows)}
        videos = tuple(self.videos[place[row]] for row in rows)
        return replace(self, rows=tuple(rows), videos=videos)


def clip_maps(
    rows: Sequence[Row],
    encoder: Backbone,
    *,
    folder: str | Path,
    max_clips: int | None = None,
    precision: str = "fp32",
    device: str | torch.device = "cpu",
    batch_size: int = 8,
) -> Maps:
    """Return an encoder's maps of the clips of every row's video, made where missing.

    Args:
        rows: of a manifest; of rows with seconds only the clips within them are taken.
        encoder: a clip classifier; it is put in evaluation mode on the device and stays there.
        folder: of the cache.
        max_clips: clips that are kept of a video, spread evenly; None keeps all.
        precision: of the encoder, "fp32", "bf16" or "auto", as in `Recognizer`.
        device: where the encoder runs.
        batch_size: clips per forward pass.

    Raises:
        ManifestError: no rows, or more than a tenth of them cannot be read.
        UsageError: a network without clip or transform, an unknown precision or device, a number
            of clips below one, or a folder that cannot be written to.
        CheckpointError: the encoder gives something that is no number.
    """
    if not rows:
        raise ManifestError("no rows to encode: the manifest or its split is empty")
    check_precision(precision)
    check_k(batch_size)
    if max_clips is not None:
        check_k(max_clips)
    device = usable_device(device)
    if encoder.clip is None or encoder.transform is None:
        raise UsageError(f"{encoder.name} is no clip classifier: it has no clip or transform")
    precision = resolve(precision, encoder, device=device)
    settings = {
        "format": FORMAT,
        "max_clips": max_clips,
        **encoder_settings(encoder, precision=precision, device=device),
    }
    encode = _Encoder(encoder, max_clips, precision, device, batch_size)
    try:
        home = open_home(folder, "maps", settings)
        found = collect(
            rows,
            partial(_file_of, encode=encode, home=home),
            key=lambda row: (row.path, row.start_seconds, row.end_seconds),
            title=f"maps of {encoder.name}",
        )
        return _open(found.rows, found.files, failures=found.failures)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{folder}: cannot keep feature maps there ({reason}); give another folder"
        ) from None


@dataclass(frozen=True, slots=True)
class _Encoder:
    """What is made of a row: its clips, their maps and logits."""

    encoder: Backbone
    max_clips: int | None
    precision: str
    device: torch.device
    batch_size: int

    @torch.inference_mode()
    def __call__(self, row: Row) -> tuple[dict[str, Tensor], int]:
        """Return tensors to keep and the clips of the whole grid.

        Raises:
            VideoError: no clip of the row can be read.
            CheckpointError: the encoder gives something that is no number.
        """
        clip = self.encoder.clip
        assert clip is not None
        assert isinstance(self.encoder, nn.Module)
        self.encoder.eval().to(self.device)
        video = Video(row.path)
        grid = grid_of(video, num_frames=clip.num_frames, stride=clip.stride)
        within = clips_within(grid, row)
        if self.max_clips is not None:
            within = [within[n] for n in uniform(len(within), k=self.max_clips)]
        parts: list[tuple[list[int], Tensor, Tensor]] = list(self._batches(video, grid, within))
        if not parts:
            reason = "; ".join(video.warnings) or "no frame decodes"
            raise VideoError(row.path, f"none of its clips can be read ({reason})")
        tensors = {
            "maps": torch.cat([maps for _, maps, _ in parts]).contiguous(),
            "logits": torch.cat([logits for _, _, logits in parts]).contiguous(),
            "clips": torch.tensor([n for places, _, _ in parts for n in places]),
        }
        return tensors, len(grid)

    def _batches(
        self, video: Video, grid: Sequence[Clip], within: Sequence[int]
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Yield places, float16 maps and logits on the CPU, in batches of nearly equal size.

        Raises:
            CheckpointError: the encoder gives something that is no number.
        """
        assert self.encoder.transform is not None
        count = -(-len(within) // self.batch_size)
        sizes = [len(within) * (i + 1) // count - len(within) * i // count for i in range(count)]
        stream = video.iter_frames([grid[n] for n in within])
        for size in sizes:
            places: list[int] = []
            inputs: list[Tensor] = []
            for clip, frames in islice(stream, size):
                places.append(clip.index)
                inputs.append(self.encoder.transform(frames))
            if not places:
                return
            x = torch.stack(inputs).to(self.device)
            x = x.contiguous(memory_format=torch.channels_last_3d)
            with running_in(self.precision, self.device):
                maps = self.encoder.features(x)
            maps = maps.float()
            logits = self.encoder.classify(maps).float()
            if not (maps.isfinite().all() and logits.isfinite().all()):
                raise CheckpointError(
                    f"{self.encoder.name}: gives maps that are no numbers; its weights are "
                    "damaged, give others"
                )
            yield places, maps.clamp(-LARGEST, LARGEST).half().cpu(), logits.cpu()


def _file_of(row: Row, encode: _Encoder, *, home: Path) -> Path:
    """Return the file with a row's maps, computing them if there is none that is whole."""
    stretch = ""
    if row.start_seconds is not None or row.end_seconds is not None:
        stretch = f"-{short_hash(json.dumps([row.start_seconds, row.end_seconds]))}"
    return keep(
        home / f"{content_name(row.path)}{stretch}.safetensors",
        partial(_check, num_classes=encode.encoder.num_classes),
        lambda part: _save(*encode(row), part),
    )


def _save(tensors: dict[str, Tensor], grid: int, path: Path) -> None:
    told = json.dumps(seal({"grid": grid}, tensors))
    save_file(tensors, path, metadata={HEADER_KEY: told})


def _check(path: Path, *, num_classes: int) -> Path:
    """Return a file if it holds what was written into it, of as many classes.

    Raises:
        Exception: it does not.
    """
    tensors = load_file(path)
    grid = unseal(_told(path), tensors)["grid"]
    logits, clips = tensors["logits"], tensors["clips"].tolist()
    counts = len(tensors["maps"]) == len(logits) == len(clips) > 0
    if not counts or logits.shape[1] != num_classes or not 0 <= clips[0] <= clips[-1] < grid:
        raise ValueError("its parts do not fit together")
    return path


def _told(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return dict(json.loads((file.metadata() or {})[HEADER_KEY]))


def _open(rows: Sequence[Row], files: Sequence[Path], *, failures: tuple[str, ...]) -> Maps:
    """Open whole files; what they hold is kept in memory where all of it is small."""
    shapes: set[tuple[int, ...]] = set()
    known: dict[Path, VideoMaps] = {}
    distinct = dict.fromkeys(files)
    is_small = sum(file.stat().st_size for file in distinct) <= HELD_BYTES
    for path in distinct:
        with safe_open(path, framework="pt") as file:
            shapes.add(tuple(file.get_slice("maps").get_shape()[1:]))
            clips = tuple(file.get_tensor("clips").tolist())
        held = load_file(path) if is_small else None
        known[path] = VideoMaps(path, clips, int(_told(path)["grid"]), held)
    return Maps(
        rows=tuple(rows),
        videos=tuple(known[file] for file in files),
        shapes=frozenset(shapes),
        failures=failures,
    )
