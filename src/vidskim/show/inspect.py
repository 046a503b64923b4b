"""What a file is made of: streams, groups of pictures and the packet time line."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vidskim.io.records import MOTION_CODECS
from vidskim.io.streams import StreamInfo, list_streams
from vidskim.types import VideoInfo
from vidskim.video import Video

BINS = 72
"""Points of the time line at most."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file from the outside; nothing but its first frame is decoded."""

    video: VideoInfo
    format: str
    streams: tuple[StreamInfo, ...]
    num_packets: int
    bytes_video: int
    picture_types: dict[str, int]
    """Pictures of each type; "?" where the stream does not tell without decoding."""
    num_gops: int
    """Groups of pictures: key frames that something can be sought to."""
    gop_frames_mean: float
    gop_frames_max: int
    has_motion_vectors: bool
    """Whether the codec's decoder exports them."""
    timeline_bytes: tuple[int, ...]
    """Bytes of video in equal stretches of the time line."""
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the object ``vidskim inspect --json`` prints."""
        return {**asdict(self), "video": self.video.to_json()}


def inspect_video(path: str | Path) -> Inspection:
    """Inspect a file.

    Raises:
        VideoError: the file cannot be read as video.
    """
    video = Video(path)
    info, index = video.info, video.packets
    form, streams = list_streams(path)
    types, counts = np.unique(index.picture_types, return_counts=True)
    keys = np.flatnonzero(index.is_key)
    gops = np.diff(np.append(keys, len(index.sizes))) if len(keys) else np.array([len(index.sizes)])
    bins = min(BINS, len(index.sizes))
    edges = np.linspace(0, len(index.sizes), bins + 1).round().astype(int)
    return Inspection(
        video=info,
        format=form,
        streams=streams,
        num_packets=len(index.sizes),
        bytes_video=int(index.sizes.sum()),
        picture_types={str(kind): int(n) for kind, n in zip(types, counts)},
        num_gops=len(gops),
        gop_frames_mean=float(gops.mean()),
        gop_frames_max=int(gops.max()),
        has_motion_vectors=info.codec in MOTION_CODECS,
        timeline_bytes=tuple(int(index.sizes[a:b].sum()) for a, b in pairwise(edges)),
        warnings=tuple(video.warnings),
    )
