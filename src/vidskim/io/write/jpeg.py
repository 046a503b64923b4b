"""A picture as JPEG, for pages."""

import numpy as np
from av.codec.context import CodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray


def to_jpeg(image: NDArray[np.uint8], *, quality: int = 4) -> bytes:
    """Encode one RGB picture.

    Args:
        image: uint8 ``[H, W, 3]``.
        quality: FFmpeg's scale, 2 (best) to 31.
    """
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    context = CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, "yuvj420p"
    context.options = {"qmin": str(quality), "qmax": str(quality), "strict": "unofficial"}
    context.thread_count = 1
    frame.pts = 0
    packets = [*context.encode(frame.reformat(format="yuvj420p")), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
