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
from vidskim.answer.build import make_recognizer
from vidskim.answer.recognizer import Recognizer, Runtime
from vidskim.api import recognize, select, stream
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import load_backbone, save_backbone
from vidskim.backbones.registry import create_backbone, list_backbones
from vidskim.clips.grid import split
from vidskim.clips.transform import Transform
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
from vidskim.model.compressed import Compressed
from vidskim.model.compression import TemporalCompression
from vidskim.model.file import load_model, save_model
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.model import Card, Model
from vidskim.model.wrap import wrap
from vidskim.types import ChosenClip, Clip, Cost, Prediction, Score, VideoInfo
from vidskim.video import Video

__all__ = [
    "AudioError",
    "Card",
    "CheckpointError",
    "ChosenClip",
    "Clip",
    "ClipSpec",
    "CollaborativeMemory",
    "Compressed",
    "Cost",
    "Count",
    "Look",
    "ManifestError",
    "Model",
    "Prediction",
    "Recognizer",
    "Runtime",
    "Score",
    "Selection",
    "TemporalCompression",
    "Transform",
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
    "load_model",
    "make_recognizer",
    "presets",
    "recognize",
    "save_backbone",
    "save_model",
    "select",
    "split",
    "stream",
    "wrap",
]
