"""What can be asked for of an answer, declared once; `vidskim.recognize` says what each means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from vidskim.look.open import SamplerOptions


class PartOptions(TypedDict, total=False):
    """Parts of a model, and how they run: all that an answer while a video comes can have."""

    pattern: str | None
    cheap: Any
    context: Any
    compress: str | None
    join: str | int | None
    aggregator: Any
    segment_frames: int | None
    random_weights: bool
    num_crops: int
    size: int | None
    precision: str
    device: str


class RecognizeOptions(PartOptions, total=False):
    """All options of one answer; only those that are given are present."""

    method: str | None
    k: int | None
    sampler: Any
    options: SamplerOptions | None
    route: Any
    batch_size: int | None
    fast: str | None
    calibrate: Sequence[str | Path] | None
