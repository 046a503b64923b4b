"""The synthetic set: long, mostly uninformative videos whose class shows only in short moments.

Twelve classes. Four differ in gross motion, four only in fine motion (two pairs), two only in the
order of two moments (no single clip can tell them), two are faint to the eye and clear to the ear.
Camera, scene cuts, bystanders and stray sounds are drawn alike for every class, and files are H.264
(B-frames, long GOPs) or MPEG-4 Part 2 (I and P frames, GOP 12) alike, with AAC sound.

The other kind of set, "pairs", has three classes that no clip tells and no mean over clips either:
which of four gross motions occur together. It is for what relates the clips of a video.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vidskim.data.make.scene import (
    FRAME_RATE,
    HEIGHT,
    MARGIN_X,
    MARGIN_Y,
    SAMPLE_RATE,
    WIDTH,
    Generator,
    Pose,
    Sprite,
    ambience,
    texture,
    wander,
)
from vidskim.data.manifest import Row, write_manifest
from vidskim.data.workers import map_in_processes
from vidskim.errors import UsageError, unknown_name
from vidskim.io.write.files import refusing, write_whole
from vidskim.io.write.video import write_video

Motion = Callable[[float, float], Pose]
"""(seconds since the moment began, speed factor) to the actor's pose."""


def _sine(hertz: float, t: float) -> float:
    return float(np.sin(2 * np.pi * hertz * t))


MOTIONS: dict[str, Motion] = {
    "circle": lambda t, s: Pose(x=22 * (float(np.cos(2 * np.pi * s * t)) - 1), y=22 * _sine(s, t)),
    "bounce": lambda t, s: Pose(y=-28 * abs(_sine(0.9 * s, t))),
    "sweep": lambda t, s: Pose(x=26 * _sine(s, t)),
    "pulse": lambda t, s: Pose(scale=1 + 0.55 * _sine(0.75 * s, t) ** 2),
    "spin_left": lambda t, s: Pose(angle=-5 * s * t),
    "spin_right": lambda t, s: Pose(angle=5 * s * t),
    "shake_slow": lambda t, s: Pose(x=9 * _sine(1.9 * s, t), y=9 * _sine(1.9 * s, t)),
    "shake_fast": lambda t, s: Pose(x=5 * _sine(4.2 * s, t), y=5 * _sine(4.2 * s, t)),
    "dart_right": lambda t, s: Pose(x=32 * _sine(0.8 * s, t) ** 2, y=20 * _sine(0.8 * s, t) ** 2),
    "dart_left": lambda t, s: Pose(x=-32 * _sine(0.8 * s, t) ** 2, y=20 * _sine(0.8 * s, t) ** 2),
    "nod": lambda t, s: Pose(y=4 * _sine(2 * s, t)),
    "tilt": lambda t, s: Pose(angle=0.22 * _sine(2 * s, t)),
}
"""What the actor can do in one moment."""

CLASSES: dict[str, tuple[str, ...]] = {
    "bounce": ("bounce",),
    "chirp": ("nod",),
    "circle": ("circle",),
    "knock": ("tilt",),
    "left_then_right": ("dart_left", "dart_right"),
    "pulse": ("pulse",),
    "right_then_left": ("dart_right", "dart_left"),
    "shake_fast": ("shake_fast",),
    "shake_slow": ("shake_slow",),
    "spin_left": ("spin_left",),
    "spin_right": ("spin_right",),
    "sweep": ("sweep",),
}
"""Class name to the motions of its moments, in order; a single one is repeated."""

PAIRS: dict[str, tuple[tuple[str, str], ...]] = {
    "pairs_a": (("bounce", "circle"), ("pulse", "sweep")),
    "pairs_b": (("bounce", "pulse"), ("circle", "sweep")),
    "pairs_c": (("bounce", "sweep"), ("circle", "pulse")),
}
"""Class name to the pairs of motions of its two moments, in either order.

Each motion is in every class, so that a clip says nothing. Nor does a sum of what single clips
say: it gives the two pairs of a class together as much as those of any other, so that at most four
of the six pairs can be told, and one in three if all clips are scored alike.
"""

KINDS = {"moments": (1.5, 2.2), "pairs": (3.0, 4.0)}
"""What tells the classes of a set, their moments or which moments occur together, and the shortest
and longest moment in seconds: five clips of a video are to show both moments of a pair often."""

TRIM_SECONDS = 1.5
"""What a trimmed clip shows before and after its moment."""

SHORTEST_SECONDS = 15.0
"""Three moments of up to 2.2 s or two of 4, 3 s between them and 1 s at both ends fit in this."""

LONGEST_SECONDS = 3600.0
"""An hour of sound is held in memory while it is made."""

SPLITS = {"train": 0, "test": 1}
"""Splits and their part in every file's seed."""


@dataclass(frozen=True, slots=True)
class MotionSpan:
    """One stretch of a video in which its class shows."""

    motion: str
    start_seconds: float
    end_seconds: float
    speed: float


@dataclass(frozen=True, slots=True)
class SyntheticFile:
    """Everything that determines one synthetic file."""

    path: str
    label: str
    motions: tuple[str, ...]
    """Of its moments, in order; a single one is repeated."""
    moment_seconds: tuple[float, float]
    """Of the shortest and the longest."""
    split: str
    index: int
    seed: int
    min_seconds: float
    max_seconds: float


def make_synthetic(
    out: str | Path,
    *,
    kind: str = "moments",
    train: int = 240,
    test: int = 120,
    seed: int = 0,
    min_seconds: float = 30.0,
    max_seconds: float = 40.0,
    workers: int | None = None,
) -> Path:
    """Write the synthetic set and its manifests.

    ``videos.csv`` has one row per video; ``moments.csv`` one row per moment with its exact start
    and end, for measuring where methods look; ``trimmed.csv`` the same with what came before and
    after, as annotators trim clips (two fifths of such a clip show its class). The same seed gives
    the same pixels and sound; classes take turns, so every prefix is balanced.

    Args:
        out: folder to write; files that are already complete there are kept.
        kind: "moments", the twelve `CLASSES`, or "pairs", the three of `PAIRS`, whose moments bear
            the name of their video's class.
        train: number of training videos.
        test: number of test videos.
        seed: every file is a function of (seed, split, index).
        min_seconds: shortest video, at least 15.
        max_seconds: longest video, at most 3600.
        workers: processes; by default one per core (see `vidskim.data.workers`).

    Returns:
        The path of ``videos.csv``.

    Raises:
        UsageError: an unknown kind, lengths that leave no room for the moments, no videos, or a
            folder that holds another set or cannot be written to.
    """
    if kind not in KINDS:
        raise unknown_name("kind of set", kind, KINDS)
    if not SHORTEST_SECONDS <= min_seconds <= max_seconds <= LONGEST_SECONDS:
        raise UsageError(
            f"need {SHORTEST_SECONDS:g} <= min_seconds <= max_seconds <= {LONGEST_SECONDS:g}, got "
            f"{min_seconds:g} and {max_seconds:g}"
        )
    if train < 0 or test < 0 or train + test == 0:
        raise UsageError(f"need at least one video, got train={train}, test={test}")
    if seed < 0:
        raise UsageError(f"seed is {seed}; give a whole number of at least 0")
    out = Path(out)
    lengths = (min_seconds, max_seconds)
    jobs = [
        _job(out, split, index, kind=kind, seed=seed, lengths=lengths)
        for split, number in (("train", train), ("test", test))
        for index in range(number)
    ]
    with refusing(out, what="cannot write the set there"):
        seconds = f"{float(min_seconds)}-{float(max_seconds)}"
        told = "" if kind == "moments" else f" kind={kind}"
        _claim(out, f"seed={seed} seconds={seconds} format=1{told}\n")
        moments = list(
            map_in_processes(make_video, jobs, title="synthetic videos", workers=workers)
        )
        return _write_manifests(out, jobs, moments)


def _job(
    out: Path, split: str, index: int, *, kind: str, seed: int, lengths: tuple[float, float]
) -> SyntheticFile:
    """Describe one file; classes take turns, and so do a class's pairs and their two orders."""
    labels = list(CLASSES if kind == "moments" else PAIRS)
    turn, place = divmod(index, len(labels))
    label = labels[place]
    orders: list[tuple[str, ...]] = (
        [CLASSES[label]]
        if kind == "moments"
        else [
            *PAIRS[label],
            *(pair[::-1] for pair in PAIRS[label]),
        ]
    )
    motions = orders[turn % len(orders)]
    path = out / split / f"{split}_{index:04d}_{label}.mp4"
    return SyntheticFile(str(path), label, motions, KINDS[kind], split, index, seed, *lengths)


def _claim(out: Path, recipe: str) -> None:
    """Keep sets of other seeds or lengths apart: their files bear the same names."""
    out.mkdir(parents=True, exist_ok=True)
    stamp = out / "seed.txt"
    found = (stamp.read_text() if stamp.exists() else "") or recipe  # a full disk leaves it empty
    if found != recipe:
        raise UsageError(f"{out} holds a set made with {found.strip()}; choose another folder")
    write_whole(stamp, recipe)


def _write_manifests(
    out: Path, jobs: Sequence[SyntheticFile], moments: Sequence[tuple[MotionSpan, ...]]
) -> Path:
    videos: list[Row] = []
    shown: list[Row] = []
    trimmed: list[Row] = []
    for job, found in zip(jobs, moments, strict=True):
        group = f"{job.split}_{job.index}"
        row = Row(Path(job.path), (job.label,), split=job.split, group=group)
        videos.append(row)
        for moment in found:
            start, end = round(moment.start_seconds, 3), round(moment.end_seconds, 3)
            shown.append(replace(row, start_seconds=start, end_seconds=end))
            start = round(max(0.0, start - TRIM_SECONDS), 3)
            end = round(min(_seconds(job), end + TRIM_SECONDS), 3)
            trimmed.append(replace(row, start_seconds=start, end_seconds=end))
    write_manifest(shown, out / "moments.csv")
    write_manifest(trimmed, out / "trimmed.csv")
    write_manifest(videos, out / "videos.csv")
    return out / "videos.csv"


def _generator(job: SyntheticFile) -> Generator:
    return np.random.default_rng([job.seed, SPLITS[job.split], job.index])


def _num_frames(job: SyntheticFile, rng: Generator) -> int:
    """Draw the length of a file, the first number its generator gives."""
    return int(rng.uniform(job.min_seconds, job.max_seconds) * FRAME_RATE)


def _seconds(job: SyntheticFile) -> float:
    return _num_frames(job, _generator(job)) / FRAME_RATE


def make_video(job: SyntheticFile) -> tuple[MotionSpan, ...]:
    """Write one file (unless it is there) and return its moments."""
    rng = _generator(job)
    num_frames = _num_frames(job, rng)
    moments = _plan(rng, job.motions, num_frames / FRAME_RATE, lasting=job.moment_seconds)
    if not Path(job.path).exists():
        sound = _sound(rng, job.label, moments, num_frames)
        # x264's macroblock tree gives other bytes from run to run on long files with B-frames.
        h264 = rng.random() < 0.5
        write_video(
            job.path,
            _frames(rng, moments, num_frames),
            frame_rate=FRAME_RATE,
            codec="h264" if h264 else "mpeg4",
            options=(
                {"preset": "veryfast", "crf": "29", "g": "100", "bf": "2", "mbtree": "0"}
                if h264
                else {"g": "12", "bf": "0", "q": "5", "qmin": "4", "qmax": "8"}
            ),
            audio=sound,
            sample_rate=SAMPLE_RATE,
        )
    return moments


def _plan(
    rng: Generator,
    motions: tuple[str, ...],
    seconds: float,
    *,
    lasting: tuple[float, float] = KINDS["moments"],
) -> tuple[MotionSpan, ...]:
    """Place the moments: one of each motion, or two to three of a single one, 3 s or more apart."""
    number = 2 if len(motions) > 1 else int(rng.integers(2, 4))
    lengths = rng.uniform(*lasting, number)
    slack = seconds - 2.0 - lengths.sum() - 3.0 * (number - 1)
    gaps = np.diff(np.sort(rng.uniform(0, slack, number)), prepend=0.0)
    moments, clock = [], 1.0
    for i in range(number):
        clock += float(gaps[i])
        speed = float(rng.uniform(0.85, 1.15))
        motion = motions[i % len(motions)]
        moments.append(MotionSpan(motion, clock, clock + float(lengths[i]), speed))
        clock += float(lengths[i]) + 3.0
    return tuple(moments)


def _frames(
    rng: Generator, moments: tuple[MotionSpan, ...], num_frames: int
) -> Iterator[np.ndarray]:
    """Yield the frames, uint8 ``[HEIGHT, WIDTH, 3]``."""
    camera = wander(rng, num_frames, speed=(0.6, 2.2), limit=(MARGIN_X, MARGIN_Y))
    bystanders = [
        (
            Sprite.random(
                rng,
                diameter=int(rng.integers(22, 40)),
                home_x=rng.uniform(10, WIDTH - 10),
                home_y=rng.uniform(10, HEIGHT - 10),
            ),
            wander(rng, num_frames, speed=(0.7, 2.6), limit=(70, 50)),
        )
        for _ in range(int(rng.integers(1, 4)))
    ]
    actor = Sprite.random(
        rng,
        diameter=int(rng.integers(36, 48)),
        home_x=WIDTH / 2 + rng.uniform(-16, 16),
        home_y=HEIGHT / 2 + rng.uniform(-6, 10),
    )
    size = (HEIGHT + 2 * MARGIN_Y + 4, WIDTH + 2 * MARGIN_X + 4)
    place = texture(rng, *size, contrast=22)
    next_cut = int(rng.uniform(8, 20) * FRAME_RATE)
    noise = rng.integers(0, 5, (4, HEIGHT, WIDTH, 1), dtype=np.uint8)
    for number in range(num_frames):
        if number == next_cut:
            place = texture(rng, *size, contrast=22)
            next_cut += int(rng.uniform(8, 20) * FRAME_RATE)
        dx, dy = float(camera[number, 0]), float(camera[number, 1])
        left, top = round(MARGIN_X + dx) + 1, round(MARGIN_Y + dy) + 1
        image = place[top : top + HEIGHT, left : left + WIDTH].copy()
        for sprite, path in bystanders:
            pose = Pose(x=float(path[number, 0]), y=float(path[number, 1]))
            sprite.draw(image, pose, camera_x=dx, camera_y=dy)
        pose = _pose_at(moments, number / FRAME_RATE)
        actor.draw(image, pose, camera_x=dx, camera_y=dy)
        yield np.minimum(image, 250) + noise[number % 4]


def _pose_at(moments: tuple[MotionSpan, ...], seconds: float) -> Pose:
    for moment in moments:
        if moment.start_seconds <= seconds < moment.end_seconds:
            return MOTIONS[moment.motion](seconds - moment.start_seconds, moment.speed)
    return Pose()


def _sound(
    rng: Generator, label: str, moments: tuple[MotionSpan, ...], num_frames: int
) -> np.ndarray:
    """Return the sound, float32 ``[samples]``: ambience, and something at each moment."""
    sound = ambience(rng, num_frames * SAMPLE_RATE // FRAME_RATE)
    for moment in moments:
        start = int(moment.start_seconds * SAMPLE_RATE)
        length = int((moment.end_seconds - moment.start_seconds) * SAMPLE_RATE)
        time = np.arange(length) / SAMPLE_RATE
        if label == "chirp":
            phase = (time * 2.5) % 1.0
            voice = 0.4 * np.sin(2 * np.pi * (600 + 900 * phase) * phase / 2.5)
        elif label == "knock":
            voice = 0.5 * rng.normal(0, 1, length) * np.exp(-40 * ((time * 4) % 1.0))
        else:
            # A thump that tells that something happens, not what.
            loud = rng.uniform(0.05, 0.25)
            voice = loud * np.sin(2 * np.pi * 110 * time) * np.exp(-3 * ((time * 2) % 1.0))
        sound[start : start + length] += voice.astype(np.float32)
    return np.asarray(np.clip(sound, -1, 1), dtype=np.float32)
