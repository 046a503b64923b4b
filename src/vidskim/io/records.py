"""The motion vectors a codec already computed, as FFmpeg hands them over with decoded frames.

Asking for them costs next to nothing, but decoders differ in when they deliver: some with the
frame, MPEG-4 one reference later, others never.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from av.sidedata.motionvectors import MotionVectors
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import PictureType, VideoFrame
from numpy.typing import NDArray

from vidskim.io.packets import PacketIndex
from vidskim.io.reading import Reading
from vidskim.io.references import References, find_references
from vidskim.io.vectors import RECORD
from vidskim.io.walk import Damage, walk

MOTION_CODECS = frozenset(
    {"h264", "mpeg4", "mpeg1video", "mpeg2video", "h263", "flv1", "msmpeg4v2", "msmpeg4v3"}
    | {"wmv1", "wmv2"}
)
"""Codecs whose FFmpeg decoder exports motion vectors."""

WITHOUT_B_VECTORS = frozenset({"mpeg4"})
"""Codecs whose decoder exports nothing but zeros for B-frames: they get no map."""

DELAYED = frozenset({"mpeg4", "mpeg1video", "mpeg2video"})
"""Codecs whose decoder adds the vectors of a P-frame only when the next P- or I-frame arrives."""

_INTRA = frozenset({PictureType.I, PictureType.SI, PictureType.BI})


def exports_motion(codec: str, *, warnings: list[str] | None) -> bool:
    """Say whether a codec's decoder exports vectors; if not, warn once."""
    if codec in MOTION_CODECS:
        return True
    text = (
        f"codec {codec} exports no motion vectors: key frames, packet sizes and sound are "
        f"left to look at (H.264 and MPEG-4 have vectors)"
    )
    if warnings is not None and text not in warnings:
        warnings.append(text)
    return False


def predicted_kinds(references: References, *, codec: str) -> tuple[NDArray[np.bool_], ...]:
    """Return which frames are P-frames, and which B-frames, with a past reference: bool ``[F]``.

    B-frames are left out where the codec's decoder tells nothing of them.
    """
    has_past = np.arange(len(references.past)) >= references.past
    is_p = ~references.is_intra & ~references.is_b & has_past
    if codec in WITHOUT_B_VECTORS:
        return (is_p,)
    return is_p, references.is_b & has_past


def iter_records(
    reading: Reading, wanted: Iterable[range], *, damage: Damage | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the vectors of predicted frames, those of any choice equal to those of a whole read.

    Args:
        reading: a video file in one of `MOTION_CODECS`.
        wanted: frame numbers.
        damage: what could not be decoded is added here.

    Yields:
        Frame number, ascending, and structured `RECORD` ``[R]``, empty where all is coded without
        vectors. Left out: I-frames, B-frames of `WITHOUT_B_VECTORS`, and the last frame of a file
        where the decoder never delivers its vectors (`DELAYED`).
    """
    ranges = [(numbers.start, numbers.stop) for numbers in wanted]
    index = reading.packets
    asked = np.zeros(len(index), bool)
    for start, stop in ranges:
        asked[start:stop] = True
    delivery = Delivery(index, codec=reading.info.codec)
    frames = walk(
        reading.path,
        index,
        delivery.extend(ranges),
        stats=reading.stats,
        damage=damage,
        motion_vectors=True,
        exact_pixels=False,
    )
    for number, frame in frames:
        if asked[number]:
            records = delivery.records(number, frame)
            if records is not None:
                yield number, records


class Delivery:
    """Which frames of a file come with their vectors, and what must be decoded to get them.

    Args:
        index: the packet index of a file.
        codec: one of `MOTION_CODECS`.
    """

    def __init__(self, index: PacketIndex, *, codec: str) -> None:
        self._without_b = codec in WITHOUT_B_VECTORS
        self._num_frames = len(index)
        self._references: np.ndarray | None = None
        if codec in DELAYED:
            self._references = np.flatnonzero(~find_references(index).is_b)

    def extend(self, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return ranges of frames that reach on to the next reference where vectors come late."""
        if self._references is None:
            return list(ranges)
        following = np.append(self._references, self._num_frames)
        place = self._references.searchsorted
        return [(start, int(following[place(stop)]) + 1) for start, stop in ranges]

    def records(self, number: int, frame: VideoFrame) -> np.ndarray | None:
        """Return the vectors of a decoded frame; None if it has none to tell, as `iter_records`."""
        kind = frame.pict_type
        if kind in _INTRA or (self._without_b and kind == PictureType.B):
            return None
        records = frame_records(frame)
        if self._references is not None and len(records) == 0:
            never_comes = number == int(self._references.max(initial=0))
            return None if never_comes else records
        return records


def frame_records(frame: VideoFrame) -> np.ndarray:
    """Return a copy of a decoded frame's motion vectors, `RECORD` ``[R]``, empty if it has none.

    ``frame.side_data`` would tie the frame into a reference cycle that keeps its pixels alive until
    the garbage collector comes by, 830 MB in a minute of 720p. A container of our own holds the
    frame but is not held by it.
    """
    for found in SideDataContainer(frame):  # type: ignore[call-arg]
        if isinstance(found, MotionVectors):  # half the time of a look-up by name
            return np.frombuffer(bytes(found), RECORD)
    return np.empty(0, RECORD)
