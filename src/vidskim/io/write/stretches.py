"""Stretches of a file one after another as a new file: pictures copied or encoded, sound encoded.

Sound is always decoded and encoded again: its packets do not begin where pictures do, so copying
them would shift it against the pictures by up to a packet at every cut.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge as merge_sorted
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidskim.errors import VideoError
from vidskim.io.container import main_video_stream, open_container
from vidskim.io.frames import RgbConverter
from vidskim.io.packets import PacketIndex
from vidskim.io.samples import audio_stream
from vidskim.io.walk import Damage, walk
from vidskim.io.write.cut import TimedContent, copied_packets, length_seconds, seconds_at
from vidskim.io.write.soundtrack import sound_of

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_FINE = Fraction(1, 90000)
"""A tick in which any frame rate can be told."""
_MAX_RATE = 240


@dataclass(frozen=True, slots=True)
class Container:
    """What a container is written with.

    ``copied`` are the codecs that it takes by copy; ``keeps_times`` is False where all frames last
    equally long.
    """

    copied: frozenset[str]
    video: str
    audio: str
    options: dict[str, str]
    keeps_times: bool = True


_X264 = {"crf": "18", "preset": "fast"}
_COMMON = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"})
CONTAINERS = {
    ".mp4": Container(_COMMON, "libx264", "aac", _X264),
    ".mov": Container(
        frozenset({"h264", "hevc", "mpeg4", "mjpeg", "prores"}), "libx264", "aac", _X264
    ),
    ".mkv": Container(
        _COMMON | {"vp8", "mpeg1video", "mpeg2video", "mjpeg", "prores", "ffv1"},
        "libx264",
        "aac",
        _X264,
    ),
    ".webm": Container(
        frozenset({"vp8", "vp9", "av1"}),
        "libvpx-vp9",
        "libopus",
        {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"},
    ),
    ".avi": Container(frozenset(), "libx264", "pcm_s16le", {**_X264, "bf": "0"}, keeps_times=False),
}
"""Suffix to how it is written. AVI tells no time of display, so nothing is copied into it."""


def write_stretches(
    path: str | Path,
    index: PacketIndex,
    stretches: Sequence[range],
    out: Path,
    *,
    copy: bool,
    frame_rate: Fraction,
    warnings: list[str],
) -> bool:
    """Write stretches of frames one after another.

    Args:
        path: the source.
        index: its packets.
        stretches: ascending, apart; for a copy as `vidskim.io.write.cut.widen` gives them.
        out: the new file; its suffix is one of `CONTAINERS`.
        copy: copy the packets of the pictures; else decode, turn upright and encode them.
        frame_rate: of the source.
        warnings: frames that cannot be decoded and damaged sound are told here.

    Returns:
        Whether there is sound.

    Raises:
        VideoError: the source cannot be read, or is too small to be encoded.
        OSError, ValueError: the container does not take what is copied into it, or the file cannot
            be written.
    """
    try:
        return _write(path, index, stretches, out, copy, frame_rate, warnings)
    except av.error.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


def _write(
    path: str | Path,
    index: PacketIndex,
    stretches: Sequence[range],
    out: Path,
    copy: bool,
    frame_rate: Fraction,
    warnings: list[str],
) -> bool:
    kind = CONTAINERS[out.suffix.lower()]
    with ExitStack() as stack:
        source = stack.enter_context(open_container(path))
        pictures = main_video_stream(source, path)
        listener = stack.enter_context(open_container(path))
        heard = audio_stream(listener)
        writer = stack.enter_context(av.open(str(out), "w"))
        items: list[Iterator[TimedContent]] = []
        if copy:
            video = writer.add_stream_from_template(pictures, opaque=True)
            if pictures.sample_aspect_ratio:
                video.sample_aspect_ratio = pictures.sample_aspect_ratio
        else:
            video = _encoder(writer, kind, frame_rate=frame_rate)
        voice: AudioStream | None = None
        if heard is not None:
            voice = _voice(writer, kind, heard)
            spans = [(seconds_at(index, s.start), seconds_at(index, s.stop)) for s in stretches]
            items.append(_sound(listener, heard, voice, spans, warnings=warnings))
        if copy:
            items.insert(0, copied_packets(path, index, stretches, stream=video))
        else:
            items.insert(
                0,
                _pictures(path, index, stretches, video=video, source=pictures, warnings=warnings),
            )
        for item in merge_sorted(*items, key=lambda item: item.seconds):
            content = item.content
            if isinstance(content, VideoFrame):
                writer.mux(video.encode(content))
            elif isinstance(content, AudioFrame):
                assert voice is not None
                writer.mux(voice.encode(content))
            else:
                writer.mux(cast("Any", content))
        if not copy:
            writer.mux(video.encode(None))
        if voice is not None:
            writer.mux(voice.encode(None))
    return voice is not None


def _encoder(writer: OutputContainer, kind: Container, *, frame_rate: Fraction) -> VideoStream:
    """Add a stream to encode into."""
    rate = frame_rate if 0 < frame_rate <= _MAX_RATE else Fraction(25)
    rate = rate.limit_denominator(100_000)
    stream = cast("VideoStream", writer.add_stream(kind.video, rate=rate, options=kind.options))
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _FINE if kind.keeps_times else 1 / rate
    return stream


def _pictures(
    path: str | Path,
    index: PacketIndex,
    stretches: Sequence[range],
    *,
    video: VideoStream,
    source: VideoStream,
    warnings: list[str],
) -> Iterator[TimedContent]:
    """Yield the frames of stretches, upright, of even size, with new times."""
    convert = RgbConverter()
    tick = video.codec_context.time_base
    assert tick is not None
    shifts = _shifts(index, stretches)
    last_tick, place, damage = -1, 0, Damage()
    wanted = [(s.start, s.stop) for s in stretches]
    for number, frame in walk(path, index, wanted, damage=damage):
        while number >= stretches[place].stop:
            place += 1
        image = convert(frame)
        height, width = (side // 2 * 2 for side in image.shape[:2])
        if not height or not width:
            raise VideoError(path, "frames of one pixel a side make no reel; choose a larger video")
        if last_tick < 0:
            turned = image.shape[:2] != (frame.height, frame.width)
            video.height, video.width = height, width
            ratio = source.sample_aspect_ratio
            if ratio:
                video.sample_aspect_ratio = 1 / ratio if turned else ratio
        seconds = seconds_at(index, number) + shifts[place]
        at = round(seconds / tick)
        if at <= last_tick:  # two frames at one time
            if tick != _FINE:
                continue
            at = last_tick + 1
        last_tick = at
        whole = VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), "rgb24")
        whole.pts, whole.time_base = at, tick
        yield TimedContent(seconds, whole)
    if missing := len(damage.numbers_missing):
        total = sum(len(stretch) for stretch in stretches)
        warnings.append(f"{missing} of the reel's {total} frames could not be decoded")
    if last_tick < 0:
        raise VideoError(path, "not one frame of the chosen moments can be decoded")


def _shifts(index: PacketIndex, stretches: Sequence[range]) -> list[float]:
    """Return by how much each stretch moves in time."""
    shifts, offset = [], 0.0
    for stretch in stretches:
        shifts.append(offset - seconds_at(index, stretch.start))
        offset += length_seconds(index, stretch)
    return shifts


def _voice(writer: OutputContainer, kind: Container, heard: AudioStream) -> AudioStream:
    """Add a stream to encode sound into."""
    rate = heard.codec_context.sample_rate
    if kind.audio == "libopus" or rate not in _AAC_RATES:
        rate = 48000
    layout = "mono" if heard.codec_context.channels == 1 else "stereo"
    voice = cast("AudioStream", writer.add_stream(kind.audio, rate=rate, layout=layout))
    if kind.audio != "pcm_s16le":
        voice.bit_rate = 64_000 if layout == "mono" else 128_000
    return voice


def _sound(
    container: Any,
    heard: AudioStream,
    voice: AudioStream,
    spans: Sequence[tuple[float, float]],
    *,
    warnings: list[str],
) -> Iterator[TimedContent]:
    """Yield the sound of stretches of time with new times."""
    rate, layout = voice.codec_context.sample_rate, voice.codec_context.layout.name
    place = 0
    for samples in sound_of(
        container, heard, spans, sample_rate=rate, layout=layout, warnings=warnings
    ):
        planes = np.ascontiguousarray(samples.T)
        frame = AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, place, Fraction(1, rate)
        yield TimedContent(place / rate, frame)
        place += len(samples)
