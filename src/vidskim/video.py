"""One video file, read lazily: nothing is opened before it is asked for, nothing is read twice.

video = Video("game.mp4")
clips = video.clips(num_frames=16, stride=2)
frames = video.frames(clips[3:5])  # uint8 [2, 16, 3, H, W]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidskim.clips.grid import split, spread
from vidskim.declare import check_path
from vidskim.io.reading import Reading
from vidskim.types import Clip, VideoInfo

if TYPE_CHECKING:
    from torch import Tensor

    from vidskim.io.audio import LogMel
    from vidskim.io.keyframes import ClipKeyFrames
    from vidskim.io.motion import Motion
    from vidskim.io.packets import PacketIndex
    from vidskim.io.residual import Residual
    from vidskim.io.walk import ReadStats


class Video:
    """A local video file.

    What reading costs adds up in ``stats``; what went wrong is told in ``warnings``. Functions of
    `vidskim.io` that read clips take its ``reading``.

    Args:
        path: the file; it is not touched before its first use.

    Raises:
        VideoError: from every property and method but ``path``, ``stats`` and ``warnings``, if the
            file cannot be read at all. A file that breaks half-way gives what is readable and a
            warning.
    """

    def __init__(self, path: str | Path) -> None:
        check_path(path)
        self.reading = Reading(Path(path))

    def __repr__(self) -> str:
        return f"Video({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The file."""
        return self.reading.path

    @property
    def stats(self) -> ReadStats:
        """What reading has cost so far."""
        return self.reading.stats

    @property
    def warnings(self) -> list[str]:
        """What went wrong, each thing once."""
        return self.reading.warnings

    @property
    def packets(self) -> PacketIndex:
        """Size, time, type and place of every frame, without decoding one."""
        return self.reading.packets

    @property
    def info(self) -> VideoInfo:
        """What the file is; one frame is decoded for it."""
        return self.reading.info

    @property
    def timestamps_seconds(self) -> NDArray[np.float64]:
        """Presentation time of every frame ``[F]``, from the start of the file."""
        return self.packets.timestamps_seconds

    def clips(
        self, *, num_frames: int = 16, stride: int = 1, step: int | None = None
    ) -> list[Clip]:
        """Lay the grid of candidate clips over the video; see `vidskim.clips.grid.split`."""
        return split(
            self.timestamps_seconds.tolist(),
            num_frames=num_frames,
            stride=stride,
            step=step,
            end_seconds=self.packets.end_seconds,
        )

    def spread_clips(self, num_clips: int, *, num_frames: int = 16, stride: int = 1) -> list[Clip]:
        """Lay so many clips evenly over the video; see `vidskim.clips.grid.spread`."""
        return spread(
            self.timestamps_seconds.tolist(),
            num_clips=num_clips,
            num_frames=num_frames,
            stride=stride,
            end_seconds=self.packets.end_seconds,
        )

    def iter_frames(self, clips: Sequence[Clip]) -> Iterator[tuple[Clip, Tensor]]:
        """Yield each clip with its frames, uint8 ``[T, 3, H, W]``, in time order.

        Memory stays flat however many clips there are. A frame that cannot be decoded is replaced
        by the nearest one of its clip, a clip without any is left out; a warning tells of both.
        """
        from vidskim.io.frames import read_clips

        return read_clips(self.reading, clips)

    def frames(self, clips: Sequence[Clip]) -> Tensor:
        """Return the frames of clips, uint8 ``[N, T, 3, H, W]``, in the order given.

        Raises:
            UsageError: no clips, or clips of unequal length.
            VideoError: not one frame of a clip can be decoded.
        """
        from vidskim.io.frames import stack_clips

        return stack_clips(self.reading, clips)

    def iter_motion(
        self, clips: Sequence[Clip], *, b_frames: bool = True
    ) -> Iterator[tuple[Clip, Motion]]:
        """Yield each clip with its motion maps, in time order; see `vidskim.io.motion`."""
        from vidskim.io.motion import iter_motion

        return iter_motion(self.reading, clips, b_frames=b_frames)

    def motion(self, clips: Sequence[Clip], *, b_frames: bool = True) -> Motion:
        """Return the motion maps of clips, packed; see `vidskim.io.motion`."""
        from vidskim.io.motion import motion

        return motion(self.reading, clips, b_frames=b_frames)

    def iter_residuals(
        self,
        clips: Sequence[Clip],
        *,
        per_clip: int = 1,
        quarter_luma: bool = False,
        size: tuple[int, int] | None = None,
    ) -> Iterator[tuple[Clip, Residual]]:
        """Yield each clip with some residual frames, in time order; see `vidskim.io.residual`."""
        from vidskim.io.residual import iter_residuals

        return iter_residuals(
            self.reading, clips, per_clip=per_clip, quarter_luma=quarter_luma, size=size
        )

    def residuals(
        self,
        clips: Sequence[Clip],
        *,
        per_clip: int = 1,
        quarter_luma: bool = False,
        size: tuple[int, int] | None = None,
    ) -> Residual:
        """Return residual frames of clips, packed; see `vidskim.io.residual`."""
        from vidskim.io.residual import residuals

        return residuals(
            self.reading, clips, per_clip=per_clip, quarter_luma=quarter_luma, size=size
        )

    def iter_compressed(
        self,
        clips: Sequence[Clip],
        *,
        residuals_per_clip: int = 1,
        quarter_luma: bool = False,
        size: tuple[int, int] | None = None,
        b_frames: bool = True,
    ) -> Iterator[tuple[Clip, Motion, Residual]]:
        """Yield each clip with motion maps and residuals of one decode, in time order.

        The numbers are those of `iter_motion` and `iter_residuals`; see
        `vidskim.io.motion_residual`.
        """
        from vidskim.io.motion_residual import iter_compressed

        return iter_compressed(
            self.reading,
            clips,
            residuals_per_clip=residuals_per_clip,
            quarter_luma=quarter_luma,
            size=size,
            b_frames=b_frames,
        )

    def iter_key_frames(self, clips: Sequence[Clip]) -> Iterator[tuple[list[int], int, Tensor]]:
        """Yield each key frame once, with the positions of the clips it stands for, in time order.

        Positions, frame number, uint8 RGB ``[3, H, W]``; see `vidskim.io.keyframes`.
        """
        from vidskim.io.keyframes import iter_key_frames

        return iter_key_frames(self.reading, clips)

    def key_frames(self, clips: Sequence[Clip]) -> ClipKeyFrames:
        """Return one key frame per clip, decoding nothing else; see `vidskim.io.keyframes`."""
        from vidskim.io.keyframes import key_frames

        return key_frames(self.reading, clips)

    def iter_log_mel(
        self,
        clips: Sequence[Clip],
        *,
        window_clips: float = 2.0,
        num_steps: int = 200,
        num_mels: int = 40,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield log-mel windows in batches: positions of clips ``[n]``, values ``[n, 1, M, S]``.

        Nothing comes where there is no track or nothing but silence, and a warning says which; see
        `vidskim.io.audio`.
        """
        from vidskim.io.audio import iter_log_mel

        return iter_log_mel(
            self.reading,
            clips,
            window_clips=window_clips,
            num_steps=num_steps,
            num_mels=num_mels,
        )

    def log_mel(
        self,
        clips: Sequence[Clip],
        *,
        window_clips: float = 2.0,
        num_steps: int = 200,
        num_mels: int = 40,
    ) -> LogMel:
        """Return one log-mel window per clip; see `vidskim.io.audio`."""
        from vidskim.io.audio import log_mel

        return log_mel(
            self.reading,
            clips,
            window_clips=window_clips,
            num_steps=num_steps,
            num_mels=num_mels,
        )
