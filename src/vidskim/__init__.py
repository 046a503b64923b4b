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

from vidskim.api import recognize, select, stream
from vidskim.backbones.checkpoint import load_backbone, save_backbone
from vidskim.backbones.registry import create_backbone, list_backbones
from vidskim.chosen import Selection
from vidskim.clips import split
from vidskim.compress import (
    Compressed,
    TemporalCompression,
    load_compressed,
    save_compressed,
)
from vidskim.cost import Count, count
from vidskim.errors import (
    AudioError,
    CheckpointError,
    ManifestError,
    UsageError,
    VideoError,
    VidskimError,
)
from vidskim.faster import Faster
from vidskim.faster_file import load_faster, save_faster
from vidskim.look import Look
from vidskim.memory import (
    Collaborative,
    CollaborativeMemory,
    load_collaborative,
    save_collaborative,
)
from vidskim.recognizer import Recognizer
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
    "recognize",
    "save_backbone",
    "save_collaborative",
    "save_compressed",
    "save_faster",
    "select",
    "split",
    "stream",
]
