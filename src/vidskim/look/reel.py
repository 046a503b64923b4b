"""The chosen moments as one short video, copied out of the file where that is possible."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidskim.errors import UsageError
from vidskim.io.write.cut import (
    lead_seconds,
    length_seconds,
    merge,
    seconds_at,
    shows_the_same,
    widen,
)
from vidskim.io.write.files import refusing, whole
from vidskim.io.write.stretches import CONTAINERS, write_stretches
from vidskim.types import Clip
from vidskim.video import Video

SUFFIXES = tuple(CONTAINERS)

WIDEN_SECONDS = 1.0
"""A reel is copied if every stretch can begin at a key frame at most so much earlier."""


@dataclass(frozen=True, slots=True)
class Reel:
    """How a reel was made."""

    path: str
    stretches: tuple[tuple[float, float], ...]
    """Start and end of what it shows, in seconds of the source."""
    seconds_chosen: float
    """Length of the chosen clips, joined where they touch."""
    seconds_copied: float
    """Shown bit for bit as in the source, what copying had to add included."""
    seconds_encoded: float
    has_sound: bool
    reason: str | None
    """Why it was encoded again; None where it was copied."""
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the ``reel`` object of ``vidskim select --json``."""
        told = asdict(self)
        told["stretches"] = [list(stretch) for stretch in self.stretches]
        del told["warnings"]  # they stand with those of the answer
        return told


def write_reel(
    path: str | Path,
    clips: Sequence[Clip],
    out: str | Path,
    *,
    widen_seconds: float = WIDEN_SECONDS,
) -> Reel:
    """Write clips one after another, with their sound; those that touch or overlap are joined.

    The pictures are copied, bit for bit, if every stretch can begin at a key frame at most
    ``widen_seconds`` before it, and the new container takes the codec; a stretch may then also end
    some frames later, where its last frames refer to later ones. What was copied is decoded and
    compared with the source. Otherwise all of it is encoded again, at the exact frames: a stream
    whose parts come from two encoders is one that many players do not play.

    Args:
        path: the source.
        clips: what to show.
        out: a new video file, see `SUFFIXES`. When it is encoded, odd sizes lose a row or column.
        widen_seconds: 0 copies only what begins at key frames, infinity whatever can be copied.

    Raises:
        UsageError: ``out`` is the source itself, has no video suffix, or cannot be written; no clip
            of the video, or a negative number of seconds.
        VideoError: the source cannot be read.
    """
    out = Path(out)
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{out}: a reel ends in one of {', '.join(SUFFIXES)}")
    if not widen_seconds >= 0:
        raise UsageError(f"a stretch is widened by at least 0 seconds, got {widen_seconds}")
    if out.exists() and out.resolve() == Path(path).resolve():
        raise UsageError(f"{out}: is the video itself; write the reel to another file")
    video = Video(path)
    index = video.packets
    wanted = merge([range(c.start_frame, c.stop_frame) for c in clips], num_frames=len(index))
    if not wanted:
        raise UsageError(f"{out}: a reel needs at least one clip of the video")
    copied = widen(index, wanted)
    reason = _obstacle(video, wanted, copied, out=out, widen_seconds=widen_seconds)
    with (
        refusing(out, what="the reel cannot be written", remedy="choose another place"),
        whole(out) as part,
    ):
        has_sound = False
        shown, warnings = wanted, list[str]()
        if reason is None:
            assert copied is not None
            shown = copied
            reason, has_sound = _copy(video, shown, part, warnings=warnings)
        if reason is not None:
            shown, warnings = wanted, []
            has_sound = write_stretches(
                path,
                index,
                shown,
                part,
                copy=False,
                frame_rate=video.info.frame_rate,
                warnings=warnings,
            )
    length = sum(length_seconds(index, stretch) for stretch in shown)
    return Reel(
        path=str(out),
        stretches=tuple((seconds_at(index, s.start), seconds_at(index, s.stop)) for s in shown),
        seconds_chosen=sum(length_seconds(index, stretch) for stretch in wanted),
        seconds_copied=length if reason is None else 0.0,
        seconds_encoded=0.0 if reason is None else length,
        has_sound=has_sound,
        reason=reason,
        warnings=tuple(warnings),
    )


def _obstacle(
    video: Video,
    wanted: Sequence[range],
    copied: Sequence[range] | None,
    *,
    out: Path,
    widen_seconds: float,
) -> str | None:
    """Say why the packets cannot be copied, as far as that can be told before trying."""
    codec, suffix = video.info.codec, out.suffix.lower()
    if codec not in CONTAINERS[suffix].copied:
        return f"{codec} is not copied into {suffix}"
    if copied is None:
        return "the file does not tell which packets show these frames"
    early = max(lead_seconds(video.packets, stretch) for stretch in wanted)
    if early > widen_seconds + 1e-6:
        return (
            f"the key frame before a chosen moment lies {early:.2f} s before it, and it may be "
            f"widened by {widen_seconds:g} s"
        )
    return None


def _copy(
    video: Video, stretches: Sequence[range], part: Path, *, warnings: list[str]
) -> tuple[str | None, bool]:
    """Copy and check; return why it cannot stay, if so, and whether there is sound."""
    try:
        has_sound = write_stretches(
            video.path,
            video.packets,
            stretches,
            part,
            copy=True,
            frame_rate=video.info.frame_rate,
            warnings=warnings,
        )
    except (OSError, ValueError) as error:
        text = " ".join((getattr(error, "strerror", None) or str(error)).split())
        return f"its packets cannot be copied ({text})", False
    if not shows_the_same(video.path, video.packets, stretches, copy=part):
        return "decoders would not show the copied packets as in the source", has_sound
    return None, has_sound
