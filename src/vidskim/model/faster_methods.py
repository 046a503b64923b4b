"""FASTER's methods by name: which clips, by which encoder, and where the expensive one goes.

Zhu et al., "FASTER Recurrent Networks for Efficient Video Classification", AAAI 2020: FASTER16 and
FASTER32 (section 5). Routing by saliency is ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.open import DEMO, VALID, untrained
from vidskim.errors import UsageError, unknown_name
from vidskim.look import selection
from vidskim.look.contract import PartedSaliency, Saliency
from vidskim.look.look import Look
from vidskim.look.motion import MotionEnergy
from vidskim.look.packets import PacketSaliency
from vidskim.model.aggregate import FastGru
from vidskim.model.faster import Faster, make_adapters, map_shape
from vidskim.model.faster_file import is_faster, load_faster
from vidskim.model.schedule import EXPENSIVE, Pattern, Routed, Schedule, parse_pattern
from vidskim.types import Origin

NUM_FRAMES = 256
"""Frames of a video that are looked at: N clips x L frames (section 4)."""

CHEAP_ENCODER = "r2d_26"


@dataclass(frozen=True, slots=True)
class Preset:
    """A configuration of the paper."""

    num_frames: int
    """L."""
    pattern: Pattern

    @property
    def num_clips(self) -> int:
        """N, from N x L = 256."""
        return NUM_FRAMES // self.num_frames


PRESETS = {
    "faster16": Preset(16, parse_pattern("1:7")),
    "faster32": Preset(32, parse_pattern("1:1")),
}
METHODS = ("faster", *PRESETS)
"""Methods that need a FASTER model; ``faster`` takes clips and pattern from the model."""

UNTRAINED_ROUTES: dict[str, Callable[[], Saliency]] = {
    "packets": PacketSaliency,
    "motion": MotionEnergy,
}
ROUTES = (*UNTRAINED_ROUTES, "scsampler")
"""By what the expensive encoder can be sent to clips."""


def open_faster(
    model: str, *, method: str = "faster", random_weights: bool = False
) -> tuple[Faster, Origin]:
    """Return a FASTER model and where it comes from.

    Args:
        model: the path of a FASTER checkpoint; with random weights also the name of the
            expensive backbone (R2D-26 is the cheap one).
        method: one of `METHODS`; with random weights it tells the clips' length.
        random_weights: build the networks untrained, for measuring cost and speed.

    Raises:
        UsageError: a model that is no FASTER model.
        CheckpointError: a file that is missing or damaged.
    """
    if random_weights and model in VALID and model != DEMO:
        preset = PRESETS.get(method, PRESETS["faster16"])
        warning = f"{model} has random weights: its answers mean nothing, only its cost does"
        faster = untrained_faster(model, preset=preset)
        return faster, Origin(f"{model} and {CHEAP_ENCODER}, random weights", (warning,))
    if model in VALID:
        raise UsageError(
            f"method {method!r} needs a FASTER model, {model} is a single classifier: train one "
            "with recipes/faster and give its file as the model"
        )
    path = Path(model)
    if not is_faster(path):
        raise UsageError(
            f"method {method!r} needs a FASTER model, {model} holds a single backbone: train one "
            "with recipes/faster and give its file as the model"
        )
    if random_weights:
        raise UsageError("random weights go with a backbone's name, not with a FASTER model's file")
    faster = load_faster(path)
    names = " and ".join(encoder.name for encoder in faster.networks())
    return faster, Origin(f"{model} ({names}, {faster.aggregator.name})")


def untrained_faster(
    expensive: str = "r2plus1d_50",
    *,
    cheap: str = CHEAP_ENCODER,
    preset: Preset = PRESETS["faster16"],
    num_classes: int = 400,
) -> Faster:
    """Build FASTER as the paper has it, untrained; the same numbers are drawn each time.

    Args:
        expensive: name of the expensive backbone.
        cheap: name of the cheap one.
        preset: length of the clips, their number and the pattern.
        num_classes: K.

    Raises:
        UsageError: backbones that do not take clips of this length.
    """
    encoders = [untrained(name, num_classes=num_classes) for name in (expensive, cheap)]
    wanted = encoders[0].clip
    assert wanted is not None
    for encoder in encoders:
        assert encoder.clip is not None
        encoder.clip = ClipSpec(preset.num_frames, wanted.stride, encoder.clip.size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        aggregator = FastGru(map_shape(encoders[0])[0], num_classes)
        adapters = make_adapters(encoders, channels=aggregator.channels)
    model = Faster(
        encoders,
        aggregator,
        adapters=adapters,
        pattern=preset.pattern,
        num_clips=preset.num_clips,
    )
    return model.eval()


def faster_look(
    method: str,
    faster: Faster,
    *,
    k: int | None,
    route: str | None,
    saliency: Callable[[], Saliency],
    pattern: str | None = None,
) -> Look:
    """Return the look of a FASTER method: N clips, uniformly placed over the whole video.

    Args:
        method: one of `METHODS`.
        faster: the model, whose clips must be of the preset's length.
        k: N; by default the preset's or, of ``faster``, the model's.
        route: one of `ROUTES`: what scores the clips for the expensive encoder; None for a fixed
            pattern, which needs no scores.
        saliency: gives the trained saliency of route ``scsampler``. It is told how many clips are
            to be chosen, which is how often the pattern has the expensive encoder.
        pattern: as for `faster_schedule`.

    Raises:
        UsageError: an unknown route, an unreadable pattern, a k below 1, or a model of other clips
            than the preset's.
    """
    preset = PRESETS.get(method)
    if preset is not None and faster.clip.num_frames != preset.num_frames:
        raise UsageError(
            f"{method} has clips of {preset.num_frames} frames, those of the model have "
            f"{faster.clip.num_frames}: give method 'faster'"
        )
    if route is not None and route not in ROUTES:
        raise unknown_name("route", route, ROUTES)
    num_clips = k or (faster.num_clips if preset is None else preset.num_clips)
    selection.check_k(num_clips if k is None else k)
    scores: Saliency | None = None
    if route is not None:
        scores = UNTRAINED_ROUTES[route]() if route in UNTRAINED_ROUTES else saliency()
    if isinstance(scores, PartedSaliency):
        places = faster_schedule(method, faster, pattern=pattern, route=None)(num_clips)
        scores = scores.with_k(max(1, places.count(EXPENSIVE)))
    name = method if route is None else f"{method}, routed by {route}"
    return Look(name, selection.by_place(num_clips), scores, k=num_clips)


def faster_schedule(
    method: str, faster: Faster, *, pattern: str | None, route: str | None
) -> Schedule:
    """Return which encoder sees which clip.

    Args:
        method: one of `METHODS`, or another one that chooses the clips.
        faster: the model; its pattern is the default but for the presets.
        pattern: another one, see `vidskim.model.schedule.parse_pattern`.
        route: whether the expensive encoder goes to the most salient clips.

    Raises:
        UsageError: an unreadable pattern.
    """
    chosen = PRESETS[method].pattern if method in PRESETS else faster.pattern
    if pattern is not None:
        chosen = parse_pattern(pattern)
    return chosen if route is None else Routed(chosen)
