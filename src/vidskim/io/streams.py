"""What a container holds, stream by stream, without decoding."""

from dataclasses import dataclass
from pathlib import Path

from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext

from vidskim.io.container import open_container


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a file."""

    index: int
    kind: str
    """"video", "audio", "subtitle", "data", ..."""
    codec: str
    details: str
    """Size and rate, or channels and sample rate, as text."""


def list_streams(path: str | Path) -> tuple[str, tuple[StreamInfo, ...]]:
    """Return the container's format and its streams.

    Raises:
        VideoError: the file cannot be opened.
    """
    with open_container(path) as container:
        found = []
        for stream in container.streams:
            context = stream.codec_context
            codec = "unknown" if context is None else context.codec.canonical_name
            details = ""
            if isinstance(context, VideoCodecContext):
                details = f", {context.width}x{context.height}, {context.pix_fmt or 'no format'}"
            elif isinstance(context, AudioCodecContext):
                details = f", {context.sample_rate} Hz, {context.channels} channels"
            found.append(StreamInfo(stream.index, str(stream.type), codec, details))
        return container.format.name, tuple(found)
