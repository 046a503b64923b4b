"""An answer as a picture: fetch one frame of every chosen clip, then draw the time line."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vidskim.clips.grid import lay_clip
from vidskim.errors import UsageError
from vidskim.io.write.files import refusing, whole
from vidskim.types import ChosenClip, Clip, Prediction
from vidskim.video import Video

THUMBNAIL_HEIGHT = 144


def save_timeline(
    prediction: Prediction,
    path: str | Path,
    *,
    moments: Sequence[tuple[float, float]] | None = None,
    title: str | None = None,
) -> None:
    """Draw the saliency of a video over time with its chosen clips and their middle frames.

    Args:
        prediction: the answer.
        path: the PNG to write.
        moments: (start, end) seconds of what was to be found, where known.
        title: by default the video's file name.

    Raises:
        UsageError: ``path`` is no PNG or cannot be written.
        VideoError: the video is gone.
    """
    check_png(path, what="a time line")
    from vidskim.show.timeline import draw_timeline  # matplotlib takes a second to import

    frames = middle_frames(prediction.video.path, prediction.clips)
    write_whole(
        path, lambda part: draw_timeline(prediction, frames, part, moments=moments, title=title)
    )


def check_png(path: str | Path, *, what: str) -> None:
    """Refuse a picture that is no PNG.

    Raises:
        UsageError: another suffix.
    """
    if Path(path).suffix.lower() != ".png":
        raise UsageError(f"{path}: {what} is a PNG; give a name that ends in .png")


def write_whole(path: str | Path, draw: Callable[[Path], None]) -> None:
    """Write a picture that appears under its name only when it is complete.

    Args:
        path: the PNG to write; its folder is made.
        draw: writes it to a path.

    Raises:
        UsageError: ``path`` cannot be written.
    """
    with refusing(path, what="cannot be written", remedy="give another name"), whole(path) as part:
        draw(part)


def middle_frames(path: str | Path, clips: Sequence[ChosenClip]) -> Tensor:
    """Return the middle frame of every clip, uint8 ``[K, 3, h, w]``, 144 pixels high at most.

    A frame that cannot be decoded is gray.

    Raises:
        VideoError: the video cannot be read.
    """
    middles: list[Clip] = []
    for chosen in clips:
        clip = chosen.clip
        frame = clip.frame_indices[(clip.num_valid - 1) // 2]
        middles.append(lay_clip(frame, num_frames=1, index=len(middles)))
    images: dict[int, Tensor] = {}
    for clip, frames in Video(path).iter_frames(middles):
        image = frames[:1].float()  # [1, 3, H, W]
        if image.shape[2] > THUMBNAIL_HEIGHT:
            width = max(1, image.shape[3] * THUMBNAIL_HEIGHT // image.shape[2])
            size = (THUMBNAIL_HEIGHT, width)
            image = interpolate(image, size=size, mode="bilinear", antialias=True)
        images[clip.index] = image.round().clamp(0, 255).to(torch.uint8)[0]
    shape = next(iter(images.values())).shape if images else (3, THUMBNAIL_HEIGHT, 192)
    blank = torch.full(shape, 128, dtype=torch.uint8)
    return torch.stack([images.get(n, blank) for n in range(len(middles))])


def frames_at(path: str | Path, numbers: Sequence[int]) -> Tensor:
    """Return frames by their numbers, uint8 ``[K, 3, h, w]``, 144 pixels high at most.

    A frame that cannot be decoded is gray.

    Raises:
        VideoError: the video cannot be read.
    """
    clips = [lay_clip(number, num_frames=1, index=n) for n, number in enumerate(numbers)]
    return middle_frames(path, [ChosenClip(clip, None, "") for clip in clips])
