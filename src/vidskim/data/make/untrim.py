"""Untrimmed videos composed of trimmed clips, by stream copy (see `vidskim.data.make.compose`).

No public set of untrimmed action videos is small, free and at hand everywhere; trimmed ones are.
Joined without re-encoding, their pixels, packets and motion vectors stay those of a real encoder,
and it is known to the frame where the class of a video shows.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from vidskim.data.folder import load_manifest
from vidskim.data.make.compose import Form, Trimmed, compose
from vidskim.data.manifest import Manifest, Row, write_manifest
from vidskim.data.workers import map_in_processes
from vidskim.errors import ManifestError, UsageError, VideoError, listed, printable, unknown_name
from vidskim.io.packets import read_packets
from vidskim.io.write.files import refusing, write_whole
from vidskim.io.write.join import JoinableFile, join, read_part

SPLITS = {"train": 0, "test": 1, "val": 2}
"""Splits and their part in every video's seed."""

FEWEST = {"train": (20, 240), "test": (10, 160)}
"""Videos made by default: so many a class, and at least so many in all."""


@dataclass(frozen=True, slots=True)
class Untrimmed:
    """What was made."""

    manifest: Path
    num_videos: int
    num_bytes: int
    notes: tuple[str, ...] = ()
    """What was left out, and why."""


@dataclass(frozen=True, slots=True)
class UntrimmedFile:
    """Everything that determines one joined file."""

    path: Path
    label: str
    split: str
    index: int
    clips: tuple[Trimmed, ...]
    parts: tuple[JoinableFile, ...]


def make_untrimmed(
    source: str | Path,
    out: str | Path,
    *,
    background: Sequence[str],
    classes: Sequence[str] | None = None,
    form: Form | None = None,
    seed: int = 0,
    videos: Mapping[str, int | None] | None = None,
    workers: int | None = None,
) -> Untrimmed:
    """Compose untrimmed videos of trimmed clips and write their manifests.

    ``videos.csv`` has one row per video; ``moments.csv`` one per stretch in which its class shows,
    measured on the timestamps of the joined file; ``trimmed.csv`` the source clips of the classes,
    for training on what a video is composed of; ``parts.csv`` one row per clip in a video, with its
    own class and source group. A video never mixes splits, so no source group is in both. Classes
    take turns, so every prefix is balanced. The same seed gives the same bytes, however many
    workers there are and however often the run was interrupted.

    Args:
        source: manifest (or folder) of trimmed, single-label clips with splits; a clip without a
            group is a source of its own.
        out: folder to write; files that are already complete there are kept.
        background: classes that fill the videos.
        classes: classes that the videos are about; by default all others.
        form: bounds of length and share.
        seed: every video is a function of (seed, split, index) and the clips.
        videos: split to number of videos; what is missing or None is 20 a class (at least 240) for
            training, 10 a class (at least 160) for testing, and none for validation.
        workers: processes; by default one per core.

    Raises:
        ManifestError: clips that cannot be used at all: a group in two splits, parts of files,
            several labels, no split, none that can be joined.
        UsageError: unknown classes, too few clips, impossible numbers, or a folder that holds
            another set or cannot be written to.
    """
    form = form or Form()
    out = Path(out)
    if seed < 0:
        raise UsageError(f"seed is {seed}; give a whole number of at least 0")
    manifest = load_manifest(source)
    background, classes = _choose_classes(manifest, background=background, classes=classes)
    counts = _counts(videos, num_classes=len(classes))
    rows = _check_rows(manifest, labels={*background, *classes}, splits=counts)
    rows, parts, notes = _read_parts(manifest, rows, workers=workers)
    clips = [
        Trimmed(number, row.label, row.group or manifest.name_of(row), part.num_frames)
        for number, (row, part) in enumerate(zip(rows, parts, strict=True))
    ]
    recipe = (
        f"seed={seed} seconds={form.min_seconds:g}-{form.max_seconds:g} "
        f"share={form.min_share:g}-{form.max_share:g} classes={','.join(classes)} "
        f"background={','.join(background)} clips={_digest(manifest, rows, parts)} format=1\n"
    )
    jobs = []
    for split, count in counts.items():
        for index in range(count):
            label = classes[index % len(classes)]
            targets, others = (
                [c for c, row in zip(clips, rows) if row.split == split and row.label in labels]
                for labels in ({label}, background)
            )
            drawn = _compose(
                targets,
                others,
                where=f"{label!r} in split {split!r}",
                notes=notes,
                form=form,
                frame_rate=float(parts[0].header.frame_rate),
                rng=np.random.default_rng([seed, SPLITS[split], index]),
            )
            name = re.sub(r"[^\w-]+", "_", label)[:40]
            path = out / split / f"{split}_{index:04d}_{name}.mp4"
            jobs.append(
                UntrimmedFile(
                    path, label, split, index, drawn, tuple(parts[c.number] for c in drawn)
                )
            )
    with refusing(out, what="cannot write the set there"):
        _claim(out, recipe)
        times = list(map_in_processes(make_video, jobs, title="videos", workers=workers))
        manifest_path = _write_manifests(out, jobs, times, rows, classes=classes)
        size = sum(job.path.stat().st_size for job in jobs)
    return Untrimmed(manifest_path, len(jobs), size, tuple(notes))


def make_video(job: UntrimmedFile) -> tuple[float, ...]:
    """Join one file unless it is there.

    Returns:
        Where its clips begin, and where the last one ends, in seconds: one more than clips.
    """
    wanted = sum(part.num_frames for part in job.parts)
    times = _timestamps(job.path) if job.path.exists() else None
    if times is None or len(times) != wanted + 1:
        join(job.parts, job.path)
        times = _timestamps(job.path)
        if len(times) != wanted + 1:
            raise VideoError(job.path, f"shows {len(times) - 1} frames, but {wanted} were joined")
    starts = np.cumsum([0, *(part.num_frames for part in job.parts)])
    return tuple(times[starts].tolist())


def _timestamps(path: Path) -> np.ndarray:
    """Return the time of each frame ``[F]`` and the end of the last, ``[F + 1]``."""
    index = read_packets(path)
    return np.append(index.timestamps_seconds, index.end_seconds)


def _choose_classes(
    manifest: Manifest, *, background: Sequence[str], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return background and target classes, both known, neither empty, none in both."""
    if not background:
        raise UsageError("name at least one background class")
    if classes is None:
        classes = [name for name in manifest.classes if name not in background]
    for name in (*background, *classes):
        if name not in manifest.classes:
            raise unknown_name("class", name, manifest.classes)
    both = sorted(set(background) & set(classes))
    if both:
        raise UsageError(f"{both[0]!r} is a class of the videos and a background; name it once")
    if not classes:
        raise UsageError("every class is a background; leave at least one for the videos")
    return tuple(dict.fromkeys(background)), tuple(dict.fromkeys(classes))


def _counts(videos: Mapping[str, int | None] | None, *, num_classes: int) -> dict[str, int]:
    """Return the number of videos of each split that gets any."""
    given = {split: count for split, count in (videos or {}).items() if count is not None}
    for split, count in given.items():
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        if count < 0:
            raise UsageError(f"{split} is {count}; give a number of videos of at least 0")
    default = {split: max(each * num_classes, least) for split, (each, least) in FEWEST.items()}
    counts = {split: count for split, count in (default | given).items() if count}
    if not counts:
        raise UsageError("no videos asked for; give a number for train or test")
    return counts


def _check_rows(manifest: Manifest, *, labels: set[str], splits: Mapping[str, int]) -> list[Row]:
    """Return the rows to use, or refuse the manifest."""
    side: dict[str, str | None] = {}
    for row in manifest.rows:
        where = f"{manifest.source}: {printable(manifest.name_of(row))}"
        if row.group is not None and side.setdefault(row.group, row.split) != row.split:
            raise ManifestError(
                f"{manifest.source}: source group {printable(row.group)!r} stands in splits "
                f"{side[row.group]!r} and {row.split!r}; put it on one side"
            )
        if not labels.intersection(row.labels):
            continue
        if len(row.labels) > 1:
            raise ManifestError(f"{where} has several labels; give clips of one class each")
        if row.start_seconds is not None or row.end_seconds is not None:
            raise ManifestError(
                f"{where} is a part of a file; only whole files can be joined: cut it out first"
            )
        if row.split is None:
            raise ManifestError(
                f"{where} is in no split; add a column 'split' (see 'vidskim data scan')"
            )
    rows = [r for r in manifest.rows if r.label in labels and r.split in splits]
    present = {(row.label, row.split) for row in rows}
    for label in sorted(labels):
        for split in splits:
            if (label, split) not in present:
                raise ManifestError(
                    f"{manifest.source}: no clip of {printable(label)!r} is in split {split!r}; "
                    "leave out the class, or make no videos of that split"
                )
    return rows


def _read_parts(
    manifest: Manifest, rows: Sequence[Row], *, workers: int | None
) -> tuple[list[Row], list[JoinableFile], list[str]]:
    """Read every clip, keep the largest group that can be joined, and tell of the others."""
    read = map_in_processes(_try_part, [row.path for row in rows], title="clips", workers=workers)
    found: list[tuple[Row, JoinableFile]] = []
    failed: list[VideoError] = []
    for row, part in zip(rows, read, strict=True):
        if isinstance(part, VideoError):
            failed.append(part)
        else:
            found.append((row, part))
    if not found:
        raise ManifestError(
            f"{manifest.source}: none of {len(rows)} clips can be joined; the first: {failed[0]}"
        )
    headers = Counter(part.header for _, part in found)
    header = max(headers, key=lambda h: (headers[h], str(h)))
    notes = []
    if failed:
        notes.append(f"{len(failed)} clips are left out: {listed([str(e) for e in failed])}")
    if len(headers) > 1:
        names = [manifest.name_of(row) for row, part in found if part.header != header]
        notes.append(
            f"{len(names)} clips are left out because they cannot be joined to the "
            f"{headers[header]} clips of {header}: {listed(names)}"
        )
    kept = [(row, part) for row, part in found if part.header == header]
    notes += _note_sound([part for _, part in kept])
    return [row for row, _ in kept], [part for _, part in kept], notes


def _note_sound(parts: Sequence[JoinableFile]) -> Iterator[str]:
    sounds = Counter(part.sound for part in parts)
    if len(sounds) > 1:
        with_sound = len(parts) - sounds[None]
        yield (
            f"{with_sound} of {len(parts)} clips have sound, in {len(sounds) - (None in sounds)} "
            "forms: a video whose clips do not all have one form is silent"
        )


def _try_part(path: Path) -> JoinableFile | VideoError:
    """Read one clip; what is wrong with it is a result, not the end."""
    try:
        return read_part(path)
    except VideoError as error:
        return error


def _digest(manifest: Manifest, rows: Sequence[Row], parts: Sequence[JoinableFile]) -> str:
    """Name the clips by what decides over the videos: another one, another set."""
    lines = (
        f"{manifest.name_of(row)} {row.label} {row.split} {row.group} {part.num_frames} "
        f"{part.num_bytes}\n"
        for row, part in zip(rows, parts, strict=True)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def _compose(
    targets: Sequence[Trimmed],
    backgrounds: Sequence[Trimmed],
    *,
    where: str,
    notes: Sequence[str],
    form: Form,
    frame_rate: float,
    rng: np.random.Generator,
) -> tuple[Trimmed, ...]:
    why = f" ({'; '.join(notes)})" if notes else ""
    if not targets or not backgrounds:
        what = "clip" if not targets else "background clip"
        raise UsageError(f"{where}: no {what} is left that can be joined{why}; give others")
    try:
        return compose(targets, backgrounds, form=form, frame_rate=frame_rate, rng=rng)
    except UsageError as error:
        raise UsageError(f"{where}: {error}{why}") from None


def _claim(out: Path, recipe: str) -> None:
    """Keep sets of other seeds, settings or clips apart: their files bear the same names."""
    out.mkdir(parents=True, exist_ok=True)
    stamp = out / "seed.txt"
    told = recipe.encode()  # as bytes: names of classes may hold any character
    found = (stamp.read_bytes() if stamp.exists() else b"") or told  # a full disk leaves it empty
    if found != told:
        text = printable(found.decode(errors="replace").strip())
        raise UsageError(f"{out} holds a set made with {text}; choose another folder")
    write_whole(stamp, told)


def _write_manifests(
    out: Path,
    jobs: Sequence[UntrimmedFile],
    times: Sequence[tuple[float, ...]],
    rows: Sequence[Row],
    *,
    classes: Sequence[str],
) -> Path:
    videos: list[Row] = []
    moments: list[Row] = []
    parts: list[Row] = []
    for job, starts in zip(jobs, times, strict=True):
        row = Row(job.path, (job.label,), split=job.split, group=f"{job.split}_{job.index}")
        videos.append(row)
        spans = [
            (clip, round(start, 6), round(end, 6))
            for clip, start, end in zip(job.clips, starts, starts[1:])
        ]
        for clip, start, end in spans:
            shown = replace(row, labels=(clip.label,), group=rows[clip.number].group)
            parts.append(replace(shown, start_seconds=start, end_seconds=end))
        for label, run in groupby(spans, key=lambda span: span[0].label):
            if label == job.label:
                stretch = list(run)
                start, end = stretch[0][1], stretch[-1][2]
                moments.append(replace(row, start_seconds=start, end_seconds=end))
    write_manifest(parts, out / "parts.csv")
    write_manifest(moments, out / "moments.csv")
    write_manifest([row for row in rows if row.label in classes], out / "trimmed.csv")
    write_manifest(videos, out / "videos.csv")
    return out / "videos.csv"
