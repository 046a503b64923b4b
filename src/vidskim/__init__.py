"""Skim the whole video, look closely only where it matters.

>>> import vidskim
>>> answer = vidskim.recognize("video.mp4", method="scsampler", model="demo")  # doctest: +SKIP
>>> answer.label, [clip.clip.start_seconds for clip in answer.clips]  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str

    from vidskim.account import Count, count
    from vidskim.answer.recognizer import Recognizer, Runtime
    from vidskim.api import make_recognizer, recognize, select, stream
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
    from vidskim.evaluate.run import evaluate_manifest
    from vidskim.look import methods as presets
    from vidskim.look.look import Look
    from vidskim.look.moments import Selection
    from vidskim.model.compressed import Compressed
    from vidskim.model.compression import TemporalCompression
    from vidskim.model.file import load_model, save_model
    from vidskim.model.memory import CollaborativeMemory
    from vidskim.model.model import Card, Model
    from vidskim.model.schedule import Pattern, Routed
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
    "Pattern",
    "Prediction",
    "Recognizer",
    "Routed",
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
    "evaluate_manifest",
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

_HOMES = {
    "AudioError": "vidskim.errors:AudioError",
    "Card": "vidskim.model.model:Card",
    "CheckpointError": "vidskim.errors:CheckpointError",
    "ChosenClip": "vidskim.types:ChosenClip",
    "Clip": "vidskim.types:Clip",
    "ClipSpec": "vidskim.backbones.contract:ClipSpec",
    "CollaborativeMemory": "vidskim.model.memory:CollaborativeMemory",
    "Compressed": "vidskim.model.compressed:Compressed",
    "Cost": "vidskim.types:Cost",
    "Count": "vidskim.account:Count",
    "Look": "vidskim.look.look:Look",
    "ManifestError": "vidskim.errors:ManifestError",
    "Model": "vidskim.model.model:Model",
    "Pattern": "vidskim.model.schedule:Pattern",
    "Prediction": "vidskim.types:Prediction",
    "Recognizer": "vidskim.answer.recognizer:Recognizer",
    "Routed": "vidskim.model.schedule:Routed",
    "Runtime": "vidskim.answer.recognizer:Runtime",
    "Score": "vidskim.types:Score",
    "Selection": "vidskim.look.moments:Selection",
    "TemporalCompression": "vidskim.model.compression:TemporalCompression",
    "Transform": "vidskim.clips.transform:Transform",
    "UsageError": "vidskim.errors:UsageError",
    "Video": "vidskim.video:Video",
    "VideoError": "vidskim.errors:VideoError",
    "VideoInfo": "vidskim.types:VideoInfo",
    "VidskimError": "vidskim.errors:VidskimError",
    "count": "vidskim.account:count",
    "create_backbone": "vidskim.backbones.registry:create_backbone",
    "evaluate_manifest": "vidskim.evaluate.run:evaluate_manifest",
    "list_backbones": "vidskim.backbones.registry:list_backbones",
    "load_backbone": "vidskim.backbones.files.checkpoint:load_backbone",
    "load_model": "vidskim.model.file:load_model",
    "make_recognizer": "vidskim.api:make_recognizer",
    "presets": "vidskim.look.methods",
    "recognize": "vidskim.api:recognize",
    "save_backbone": "vidskim.backbones.files.checkpoint:save_backbone",
    "save_model": "vidskim.model.file:save_model",
    "select": "vidskim.api:select",
    "split": "vidskim.clips.grid:split",
    "stream": "vidskim.api:stream",
    "wrap": "vidskim.model.wrap:wrap",
}
"""Where each public name is defined. A module is imported when one of its names is first used: what
needs no torch starts without it."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    found = import_module(module)
    value = globals()[name] = getattr(found, attribute) if attribute else found
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """Return the version, which takes longer to find than the rest to start."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("vidskim")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0.0.0"
