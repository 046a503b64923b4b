"""Skim the whole video, look closely only where it matters.

>>> import vidskim
>>> answer = vidskim.recognize("video.mp4", method="scsampler", model="demo")  # doctest: +SKIP
>>> answer.label, [clip.clip.start_seconds for clip in answer.clips]  # doctest: +SKIP
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("vidskim")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0.0.0"

from vidskim.account import Count, count
from vidskim.answer.recognizer import Recognizer
from vidskim.api import recognize, select, stream
from vidskim.backbones.files.checkpoint import load_backbone, save_backbone
from vidskim.backbones.registry import create_backbone, list_backbones
from vidskim.clips.grid import split
from vidskim.errors import (
    AudioError,
    CheckpointError,
    ManifestError,
    UsageError,
    VideoError,
    VidskimError,
)
from vidskim.look import methods as presets
from vidskim.look.look import Look
from vidskim.look.moments import Selection
from vidskim.model.collaborative import Collaborative
from vidskim.model.compressed import Compressed
from vidskim.model.compressed_file import load_compressed, save_compressed
from vidskim.model.compression import TemporalCompression
from vidskim.model.faster import Faster
from vidskim.model.faster_file import load_faster, save_faster
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.memory_file import load_collaborative, save_collaborative
from vidskim.types import ChosenClip, Clip, Cost, Prediction, Score, VideoInfo
from vidskim.video import Video

__all__ = [
    "AudioError",
    "CheckpointError",
    "ChosenClip",
    "Clip",
    "Collaborative",
    "CollaborativeMemory",
    "Compressed",
    "Cost",
    "Count",
    "Faster",
    "Look",
    "ManifestError",
    "Prediction",
    "Recognizer",
    "Score",
    "Selection",
    "TemporalCompression",
    "UsageError",
    "Video",
    "VideoError",
    "VideoInfo",
    "VidskimError",
    "__version__",
    "count",
    "create_backbone",
    "list_backbones",
    "load_backbone",
    "load_collaborative",
    "load_compressed",
    "load_faster",
    "presets",
    "recognize",
    "save_backbone",
    "save_collaborative",
    "save_compressed",
    "save_faster",
    "select",
    "split",
    "stream",
]
