"""Frames minus what motion predicts of them: one frame in, at most one residual out.

A residual needs two pictures, that of its frame and that of the frame's past reference. Only those
are converted, and a reference is held no longer than the last frame that needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from vidskim.io.frames import RgbConverter
from vidskim.io.probe import rotation_degrees
from vidskim.io.references import References
from vidskim.io.vectors import BLOCK, CELL, block_offsets
from vidskim.types import VideoInfo

Pixels = NDArray[np.uint8] | NDArray[np.uint32]
"""``[H, W]``: luma, or R, G, B and a byte without meaning packed into one number."""


@dataclass(frozen=True, slots=True)
class FrameResidual:
    """The finished residual of one frame ``[C, H, W]``, as displayed, and its reference."""

    values: NDArray[np.int16] | NDArray[np.float32]
    reference_number: int


@dataclass(frozen=True, slots=True)
class ResidualForm:
    """What a residual looks like.

    Attributes:
        quarter_luma: luma averaged over 4x4 pixels instead of RGB.
        size: (h, w) the residual is resized to, as displayed; None leaves it as it is.
    """

    quarter_luma: bool = False
    size: tuple[int, int] | None = None

    def shape(self, info: VideoInfo) -> tuple[int, int, int]:
        """Return (C, H, W) of a file's residuals."""
        scale = 4 if self.quarter_luma else 1
        height, width = self.size or (info.height // scale, info.width // scale)
        return 1 if self.quarter_luma else 3, height, width

    @property
    def dtype(self) -> type[np.int16] | type[np.float32]:
        """Numbers of pixels are whole; what is shrunk keeps its fractions."""
        return np.int16 if self.size is None else np.float32


class ResidualMaker:
    """Turns the frames of a decode, in order, into the residuals of some of them.

    Args:
        numbers: the frames whose residuals are wanted.
        references: of all frames of the file.
        rotation: clockwise degrees to turn decoded frames for display.
        form: what the residuals look like.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        *,
        references: References,
        rotation: int,
        form: ResidualForm,
    ) -> None:
        self.targets = frozenset(numbers)
        self._references = references
        self._rotation = rotation
        self._form = form
        self._last_use = {int(n - references.past[n]): n for n in sorted(self.targets)}
        self._picture = _Picture(luma=form.quarter_luma)
        self._held: dict[int, Pixels] = {}

    def ranges(self) -> list[tuple[int, int]]:
        """Return the frames whose pixels are needed, as half-open ranges."""
        return [(number, number + 1) for number in sorted(self.targets | self._last_use.keys())]

    def feed(
        self, number: int, frame: VideoFrame, records: np.ndarray | None
    ) -> FrameResidual | None:
        """Take one decoded frame and its vectors; return its residual if it is wanted.

        Args:
            number: the frame's number; larger than that of the frame fed before.
            frame: decoded with exact pixels.
            records: its motion vectors; None where it has none to tell.
        """
        found = None
        is_target, last_use = number in self.targets, self._last_use.get(number)
        if is_target or last_use is not None:
            pixels = self._picture(frame)
            reference_number = number - int(self._references.past[number])
            if is_target and records is not None and reference_number in self._held:
                offsets = block_offsets(
                    records,
                    grid=(-(-frame.height // CELL), -(-frame.width // CELL)),
                    past=int(self._references.past[number]),
                    future=int(self._references.future[number]),
                )
                whole = np.floor(offsets + 0.5).astype(np.int32)
                predicted = compensate(self._held[reference_number], whole)
                found = FrameResidual(self._finish(pixels, predicted), reference_number)
            for done in [held for held in self._held if self._last_use[held] <= number]:
                del self._held[done]
            if last_use is not None:
                self._held[number] = pixels
        return found

    def _finish(self, pixels: Pixels, predicted: Pixels) -> NDArray[np.int16] | NDArray[np.float32]:
        """Subtract, shrink and turn: ``[C, H, W]`` as displayed."""
        values = difference(pixels, predicted)
        if self._form.quarter_luma:
            values = _quarter(values)
        values = np.rot90(values, k=-(self._rotation // 90), axes=(1, 2))
        if self._form.size is None:
            return values
        return shrink(values, size=self._form.size)


def compensate(reference: Pixels, offsets: NDArray[np.int32]) -> Pixels:
    """Predict a frame by copying blocks of another.

    Args:
        reference: ``[H, W]``, a pixel each.
        offsets: (x, y) of source minus block in whole pixels, ``[2, h, w]``, blocks of 8x8.

    Returns:
        ``[H, W]``; sources outside the picture are taken from its edge.
    """
    height, width = reference.shape
    dx, dy = offsets
    rows = len(dx)
    inside = np.arange(rows * BLOCK, dtype=np.int32).reshape(rows, BLOCK, 1)
    x = dx.repeat(BLOCK, axis=1)[:, :width] + np.arange(width, dtype=np.int32)  # [h, W]
    y = (dy[:, None, :] + inside).clip(0, height - 1) * width  # [h, 8, w]
    source = y.repeat(BLOCK, axis=2)[:, :, :width] + x.clip(0, width - 1)[:, None, :]  # [h, 8, W]
    predicted: Pixels = reference.reshape(-1).take(source.reshape(-1, width)[:height])
    return predicted


def shrink(values: NDArray[np.int16], *, size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize ``[C, H, W]`` to ``[C, h, w]``, bilinear with antialiasing: pixels are averaged."""
    whole = torch.from_numpy(values.copy()).float()
    if whole.shape[1:] == size:
        return whole.numpy()
    small = torch.nn.functional.interpolate(whole[None], size=size, mode="bilinear", antialias=True)
    result: NDArray[np.float32] = small[0].numpy()
    return result


class _Picture:
    """Decoded frames to pixels ``[H, W]`` of their own, before rotation; one size for all."""

    def __init__(self, *, luma: bool) -> None:
        self.luma = luma
        self.to_rgb = RgbConverter()
        self.reformatter = VideoReformatter()
        self.size: tuple[int, int] | None = None

    def __call__(self, frame: VideoFrame) -> Pixels:
        """Return packed RGB, or luma in the range of RGB."""
        if not self.luma:
            return pack_rgb(np.rot90(self.to_rgb(frame), k=rotation_degrees(frame) // 90))
        if self.size is None:
            self.size = frame.width, frame.height
        width, height = self.size
        gray = self.reformatter.reformat(
            frame, width=width, height=height, format="gray", threads=1
        )
        return gray.to_ndarray().astype(np.uint8, copy=False)


def pack_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Pack pixels ``[H, W, 3]`` into one number each, ``[H, W]``: they are then moved as one.

    The fourth byte is whatever follows the pixel.
    """
    height, width = image.shape[:2]
    held = np.empty(height * width * 3 + 1, np.uint8)  # the last pixel is followed by a byte too
    held[:-1].reshape(height, width * 3)[:] = image.reshape(height, width * 3)
    view = as_strided(held[:4].view(np.uint32), (height, width), (width * 3, 3), writeable=False)
    return view.copy()


def difference(pixels: Pixels, predicted: Pixels) -> NDArray[np.int16]:
    """Return pixels minus others, int16 ``[C, H, W]``, a view."""
    height, width = pixels.shape
    # whole rows at once; channel by channel NumPy takes ten times as long
    rows = np.subtract(pixels.view(np.uint8), predicted.view(np.uint8), dtype=np.int16)
    return rows.reshape(height, width, -1).transpose(2, 0, 1)[:3]


def _quarter(values: NDArray[np.int16]) -> NDArray[np.int16]:
    """Average cells of 4x4 pixels: ``[1, H, W]`` to ``[1, H // 4, W // 4]``, rounded."""
    height, width = values.shape[1] // 4, values.shape[2] // 4
    cells = values[:, : height * 4, : width * 4].reshape(1, height, 4, width, 4)
    mean: NDArray[np.int16] = (cells.sum((2, 4), dtype=np.int32) + 8 >> 4).astype(np.int16)
    return mean
