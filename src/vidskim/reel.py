"""The chosen moments as one short video."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vidskim.errors import UsageError, VideoError
from vidskim.io.writer import write_video
from vidskim.types import Clip
from vidskim.video import Video

SUFFIXES = (".mp4", ".mkv", ".mov", ".avi")


def write_reel(path: str | Path, clips: Sequence[Clip], out: str | Path) -> None:
    """Write clips one after another, without sound, at the source's frame rate.

    Args:
        path: the source.
        clips: what to show, in time order.
        out: a new video file; odd sizes lose one row or column.

    Raises:
        UsageError: ``out`` is the source itself, has no video suffix, or cannot be written.
        VideoError: the source cannot be read.
    """
    out = Path(out)
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{out}: a reel ends in one of {', '.join(SUFFIXES)}")
    if out.exists() and out.resolve() == Path(path).resolve():
        raise UsageError(f"{out}: is the video itself; write the reel to another file")
    video = Video(path)
    rate = video.info.frame_rate

    def frames() -> Iterator[np.ndarray]:
        for clip, images in video.iter_frames(clips):
            for image in images[: clip.num_valid]:
                whole = image.permute(1, 2, 0).numpy()  # [H, W, 3]
                height, width = (side // 2 * 2 for side in whole.shape[:2])
                if not height or not width:
                    raise VideoError(
                        path, "frames of one pixel a side make no reel; choose a larger video"
                    )
                yield np.ascontiguousarray(whole[:height, :width])

    try:
        write_video(out, frames(), frame_rate=rate)
    except OSError as error:
        raise UsageError(
            f"{out}: the reel cannot be written ({error.strerror}); choose another place"
        ) from None
