"""From what is asked for to the recognizer that answers: model, parts, look, schedule."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from vidskim.answer.openvino import accelerate, check_fast_options
from vidskim.answer.recognizer import Recognizer, Runtime
from vidskim.backbones.network import Network
from vidskim.errors import UsageError, printable, unknown_name
from vidskim.look import selection
from vidskim.look.contract import PartedSaliency, Saliency
from vidskim.look.look import Look
from vidskim.look.methods import METHODS, PARTS, Asked, Method, find_method
from vidskim.look.motion import MotionEnergy
from vidskim.look.open import SamplerOptions, check_options, check_used, open_sampler
from vidskim.look.packets import PacketSaliency
from vidskim.model.compose import (
    DEFAULT_STAGE,
    MEMORY,
    NONE,
    Parts,
    check_words,
    compose,
    read_join,
)
from vidskim.model.compressed import Compressed, bare_of, is_joined
from vidskim.model.load import is_name, open_any
from vidskim.model.model import Model, is_alone
from vidskim.model.schedule import EXPENSIVE, Pattern, Routed, Schedule, parse_pattern

DEFAULT_MODEL = "r2plus1d_18"
DEFAULT_METHOD = "motion"

CHEAP_ENCODER, AGGREGATOR = "r2d_26", "fast_gru"
"""What an untrained FASTER has beside its expensive encoder."""

ROUTES: dict[str, Callable[[], Saliency]] = {"packets": PacketSaliency, "motion": MotionEnergy}
TRAINED_ROUTE = "scsampler"

SAMPLER_KEYS = ("rule", "visual_k", "alpha", "residuals", "every", "candidates")

RECIPES = {"cheap": "faster", "context": "memory", "compression": "sfc"}
"""Where a part that a model lacks is trained."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a recognizer is asked for; None leaves it to the model. See `vidskim.recognize`."""

    method: str | Look | None = None
    k: int | None = None
    sampler: str | Sequence[str | Path] | Saliency | None = None
    options: SamplerOptions = field(default_factory=SamplerOptions)
    pattern: str | None = None
    route: str | Saliency | None = None
    cheap: Any = None
    context: Any = None
    compress: str | None = None
    join: str | int | None = None
    aggregator: Any = None
    segment_frames: int | None = None
    size: int | None = None
    random_weights: bool = False
    fast: str | None = None
    calibrate: Sequence[str | Path] | None = None
    videos: Sequence[str | Path] = ()
    runtime: Runtime = field(default_factory=Runtime)

    def with_defaults(self, model: object) -> "Ask":
        """Return the same with the parts that its method needs, where they may be untrained.

        Raises:
            UsageError: an unknown method, or one that needs a part that a backbone does not have.
        """
        if not isinstance(self.method, str):
            return self
        row = find_method(self.method)
        given = {"cheap": self.cheap, "context": self.context, "compression": self.compress}
        if not row.needs or given[row.needs] is not None:
            return self
        if not self.random_weights:
            if is_name(model):
                raise missing(self.method, str(model))
            return self
        if row.needs == "context":
            return replace(self, context=MEMORY)
        if row.needs == "compression":
            return replace(self, compress=DEFAULT_STAGE)
        return replace(self, cheap=CHEAP_ENCODER, aggregator=self.aggregator or AGGREGATOR)


def make_recognizer(*, model: Any = DEFAULT_MODEL, **asked: Any) -> Recognizer:
    """Return the recognizer that options describe; see `vidskim.recognize`.

    With ``fast``, the classifier is checked, and calibrated, on clips of ``videos``.

    Raises:
        UsageError: an unknown method, model, precision or device, a k below 1, options that mean
            nothing to the parts at hand.
        CheckpointError: weights that cannot be had.
    """
    return assemble(*opened(model, ask_of(**asked)))


def as_built(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as `ask_of` takes them: those of saliency networks together.

    Args:
        asked: the options that are given, see `vidskim.declare.given`.

    Raises:
        UsageError: impossible options of saliency networks.
    """
    built = {key: value for key, value in asked.items() if key not in (*SAMPLER_KEYS, "crops")}
    steered = {key: asked[key] for key in SAMPLER_KEYS if key in asked}
    if "rule" in steered:
        steered["rule"] = steered["rule"].replace("-", "_")
    if steered:
        built["options"] = SamplerOptions(**steered)
    if "crops" in asked:
        built["num_crops"] = asked["crops"]
    return built


def ask_of(
    *,
    num_crops: int = 1,
    batch_size: int | None = None,
    precision: str = "fp32",
    device: str = "cpu",
    **asked: Any,
) -> Ask:
    """Return what is asked for; None means the same as leaving an option out.

    Raises:
        UsageError: an option that there is not.
    """
    unknown = set(asked) - {field.name for field in fields(Ask)}
    if unknown:
        raise unknown_name("option", sorted(unknown)[0], [field.name for field in fields(Ask)])
    method = asked.get("method")
    if method is not None and not isinstance(method, str | Look):
        raise UsageError(f"method is a word or a vidskim.Look, got {printable(repr(method)[:60])}")
    runtime = Runtime(num_crops, batch_size, precision, device)
    given = {key: value for key, value in asked.items() if value is not None}
    return Ask(**given, runtime=runtime)


def opened(model: Any, ask: Ask) -> tuple[Model, Ask]:
    """Open a model with the parts that are asked for.

    Raises:
        UsageError: a method, pattern or part that it cannot have.
        CheckpointError: weights that cannot be had.
    """
    check_spelling(ask.method)
    ask = ask.with_defaults(model)
    check_fast_options(
        ask.fast,
        calibrate=ask.calibrate is not None,
        precision=ask.runtime.precision,
        device=str(ask.runtime.device),
    )
    if ask.pattern is not None:
        parse_pattern(ask.pattern)
    if ask.join is not None:
        read_join(ask.join)
    check_words(ask.context, ask.aggregator)
    trained = isinstance(ask.method, str) and METHODS[ask.method].is_trained
    if ask.sampler is not None and (trained or ask.route == TRAINED_ROUTE):
        ask = replace(ask, sampler=sampler_of(ask))  # before weights are fetched for nothing
    parts = (ask.cheap, ask.context, ask.compress, ask.aggregator)
    adds = any(part not in (None, NONE) for part in parts)
    return open_any(model, random_weights=ask.random_weights, keeps_files=adds), ask


def check_spelling(method: object) -> None:
    """Raise for a variant as `vidskim evaluate` spells it, which is an option here.

    Raises:
        UsageError: a method with a slash.
    """
    if isinstance(method, str) and "/" in method:
        raise UsageError(
            f"method {printable(method)!r} is a variant as 'vidskim evaluate' names it: give "
            f"method {printable(method.partition('/')[0])!r}, and the rest as options (pattern, "
            "route, aggregator, context, compress)"
        )


def assemble(model: Model, ask: Ask) -> Recognizer:
    """Return the recognizer of an open model.

    Raises:
        UsageError: what the parts at hand cannot do.
    """
    own = ask.method if isinstance(ask.method, Look) else None
    if own is not None:
        if (ask.k, ask.options) != (None, SamplerOptions()):
            raise UsageError("a Look has chosen its own k and sampler: leave these options out")
        ask = replace(ask, method=None)
    model, name = composed(model, ask)
    look, schedule = aimed(model, name, ask, look=own)
    return Recognizer(model, look=look, schedule=schedule, runtime=ask.runtime)


def composed(model: Model, ask: Ask) -> tuple[Model, str]:
    """Return a model with the parts that are asked for, and the name of its method.

    Raises:
        UsageError: parts that it cannot have.
    """
    check_shares(model, ask)
    altered = (ask.cheap, ask.context, ask.compress)
    kept = "" if any(part is not None for part in altered) else model.card.method
    name = ask.method if isinstance(ask.method, str) else kept
    model = compose(
        model,
        Parts(
            cheap=ask.cheap,
            context=ask.context,
            compress=ask.compress,
            join=ask.join,
            aggregator=ask.aggregator,
            pattern=ask.pattern,
            num_frames=METHODS[name].num_frames or _faster_frames(ask) if name else None,
            segment_frames=ask.segment_frames,
            size=ask.size,
            random_weights=ask.random_weights,
        ),
    )
    if ask.fast is not None:
        model = accelerated(model, ask)
    if ask.runtime.batch_size is not None and all(map(is_joined, model.networks, model.card.join)):
        raise UsageError("joined clips are one input, encoded alone: leave batch_size out")
    return model, name or model.card.method


def aimed(model: Model, name: str, ask: Ask, *, look: Look | None = None) -> tuple[Look, Schedule]:
    """Return which clips are encoded, and by which encoder.

    Args:
        model: with all of its parts.
        name: of the method.
        ask: what is asked for.
        look: instead of the method's.

    Raises:
        UsageError: a method that the model cannot have, options that mean nothing to it.
    """
    row = find_method(name) if look is None else METHODS.get(name, METHODS["dense"])
    check_has(model, name, row, ask)
    schedule = schedule_of(model, row, ask)
    look = look_of(model, name, row, ask) if look is None else look
    if ask.route is not None:
        route = ask.route if isinstance(ask.route, str) else None
        named = route or getattr(ask.route, "name", type(ask.route).__name__)
        look = replace(look, method=f"{look.method}, routed by {named}")
    return look, schedule


def _faster_frames(ask: Ask) -> int | None:
    """Return the frames of an untrained FASTER's clips, where no preset says."""
    return 16 if ask.cheap == CHEAP_ENCODER and ask.method == "faster" else None


def check_has(model: Model, name: str, row: Method, ask: Ask) -> None:
    """Raise unless a model has what a method needs.

    Raises:
        UsageError: a part is missing, or its clips are of other frames than the method's.
    """
    has = {
        "": True,
        "cheap": len(model.networks) > 1,
        "context": model.context is not None or ask.context == NONE or model.card.method == name,
        "compression": isinstance(model.networks[0], Compressed) or ask.compress == NONE,
    }
    if not has[row.needs]:
        raise missing(name, model.origin.model)
    if row.num_frames is not None and model.clip.num_frames != row.num_frames:
        raise UsageError(
            f"{name} has clips of {row.num_frames} frames, those of the model have "
            f"{model.clip.num_frames}: give method 'faster'"
        )


def missing(method: str, model: str) -> UsageError:
    """Return the error for a method whose part a model lacks."""
    needs = METHODS[method].needs
    return UsageError(
        f"method {method!r} needs {PARTS[needs]}, {printable(model)} has none: train one with "
        f"recipes/{RECIPES[needs]} and give its file as the model"
    )


def look_of(model: Model, name: str, row: Method, ask: Ask) -> Look:
    """Return the look of a method for a model.

    Raises:
        UsageError: k below 1, a sampler for a method and route without one.
    """
    if ask.k is not None:
        selection.check_k(ask.k)
        if name == "dense":
            raise UsageError("method 'dense' takes every clip: leave k out")
    number = row.num_clips or model.card.num_clips
    check_options(
        name,
        k=number if ask.k is None else int(ask.k),
        sampler=ask.sampler,
        options=ask.options,
        is_used=row.is_trained or ask.route == TRAINED_ROUTE,
    )
    first = model.networks[0]
    segments = first.segments[0] if isinstance(first, Compressed) and first.segments else None
    alone = row.needs == "compression" and not isinstance(first, Compressed)
    if alone:
        return METHODS["uniform"].make(Asked(ask.k))
    return row.make(
        Asked(
            None if ask.k is None else int(ask.k),
            num_clips=number,
            saliency=lambda: sampler_of(ask),
            candidates=ask.options.candidates,
            clip=model.clip,
            segments=segments,
        )
    )


def sampler_of(ask: Ask) -> Saliency:
    """Return the trained saliency that is asked for, or one of your own.

    Raises:
        UsageError: options that mean nothing to it.
        CheckpointError: weights that cannot be had.
    """
    if ask.sampler is not None and callable(ask.sampler):
        return ask.sampler
    given: Any = ask.sampler
    found = open_sampler(given, options=ask.options, random_weights=ask.random_weights)
    check_used(found, ask.options)
    return found


def schedule_of(model: Model, row: Method, ask: Ask) -> Schedule:
    """Return which encoder takes which run of clips.

    Raises:
        UsageError: an unknown route, or a pattern or route for a model of one encoder.
    """
    pattern = model.pattern
    if row.pattern is not None:
        pattern = parse_pattern(row.pattern)
    if ask.pattern is not None:
        pattern = parse_pattern(ask.pattern)
    check_shares(model, ask)
    if ask.route is None:
        return pattern
    return Routed(pattern, routing_saliency(model, pattern, row, ask))


def check_shares(model: Model, ask: Ask) -> None:
    """Raise for a pattern or route of a model of one encoder.

    Raises:
        UsageError: one is asked for.
    """
    if len(model.networks) > 1 or ask.cheap is not None:
        return
    if ask.pattern is not None or ask.route is not None:
        raise UsageError(
            f"a pattern or route shares clips between two encoders, {model.origin.model} has one: "
            "leave them out, or give cheap"
        )


def routing_saliency(model: Model, pattern: Pattern, row: Method, ask: Ask) -> Saliency:
    """Return what scores the clips for the expensive encoder.

    It is told how many clips are to be chosen, which is how often the pattern has that encoder.

    Raises:
        UsageError: an unknown route.
    """
    route = ask.route
    if not isinstance(route, str):
        assert route is not None
        return route
    if route in ROUTES:
        return ROUTES[route]()
    if route != TRAINED_ROUTE:
        raise unknown_name("route", route, (*ROUTES, TRAINED_ROUTE))
    saliency = sampler_of(ask)
    if isinstance(saliency, PartedSaliency):
        num_clips = ask.k or row.num_clips or model.card.num_clips
        places = pattern.over(num_clips, model.card.join)
        saliency = saliency.with_k(max(1, places.count(EXPENSIVE)))
    return saliency


def accelerated(model: Model, ask: Ask, *, labels: Sequence[str] | None = None) -> Model:
    """Return a model whose classifier runs by OpenVINO.

    Args:
        model: of a single classifier.
        ask: with ``fast``, and the videos on whose clips it is checked and calibrated.
        labels: of these videos, where they are known.

    Raises:
        UsageError: more than one classifier that can be compiled.
    """
    network = model.networks[0]
    if not isinstance(bare_of(network), Network):
        raise UsageError(f"fast compiles networks of ours, {network.name} is wrapped: omit it")
    if not is_alone(model) or not isinstance(network, Network):
        raise UsageError(
            "fast runs a single classifier by OpenVINO, clip by clip: no second encoder, memory, "
            "compression, trained aggregator or joined clips: omit it"
        )
    assert ask.fast is not None
    compiled = accelerate(
        network, kind=ask.fast, videos=ask.videos, labels=labels, calibrate=ask.calibrate
    )
    made = Model([compiled], card=model.card)
    made.origin = model.origin
    return made
