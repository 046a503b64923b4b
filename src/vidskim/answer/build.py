"""From a model's name to the parts of its recognizer: a classifier, memory, compression, FASTER."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from vidskim.answer.joined import WholeRecognizer
from vidskim.answer.openvino import accelerate, check_fast_options
from vidskim.answer.recognizer import Recognizer
from vidskim.backbones.contract import Backbone, ClipSpec
from vidskim.backbones.network import Network
from vidskim.backbones.open import is_file_of, open_model
from vidskim.backbones.resolution import set_test_size
from vidskim.errors import UsageError, printable, unknown_name
from vidskim.look import methods
from vidskim.look.contract import PartedSaliency
from vidskim.look.look import Look
from vidskim.look.open import SamplerOptions, check_used, look_of, open_sampler
from vidskim.model import faster_methods
from vidskim.model.compressed import Compressed
from vidskim.model.contract import Aggregator, Context
from vidskim.model.faster import Faster
from vidskim.model.faster_file import is_faster
from vidskim.model.faster_methods import (
    METHODS,
    UNTRAINED_ROUTES,
    faster_look,
    faster_schedule,
    open_faster,
)
from vidskim.model.memory_methods import METHOD as MEMORY
from vidskim.model.memory_methods import NUM_CLIPS, is_memory_model, memory_look, open_memory
from vidskim.model.schedule import Schedule
from vidskim.model.sfc_methods import METHOD as SFC
from vidskim.model.sfc_methods import (
    NUM_SEGMENTS,
    is_sfc_model,
    open_sfc,
    segment_of,
    set_whole_size,
    sfc_look,
)
from vidskim.types import Origin

DEFAULT_MODEL = "r2plus1d_18"
DEFAULT_METHOD = "motion"


@dataclass(frozen=True, slots=True)
class Assembled:
    """What a recognizer is made of."""

    look: Look
    origin: Origin
    encoders: tuple[Network, ...]
    schedule: Schedule | None = None
    adapters: Sequence[nn.Module] | None = None
    aggregator: Aggregator | None = None
    context: Context | None = None
    is_multilabel: bool = False
    whole: Compressed | None = None
    """What takes the chosen clips joined, in place of the encoder."""
    segment: ClipSpec | None = None
    """The clips that are chosen from, where they are not the encoder's."""

    def refuse_fast(self) -> None:
        """Refuse whatever is more than one classifier that can be compiled.

        Raises:
            UsageError: there are.
        """
        if self.aggregator is not None or self.context is not None or self.whole is not None:
            raise UsageError(
                "fast runs a single classifier by OpenVINO, no FASTER model, memory or compression "
                "inside: omit it"
            )


def is_faster_model(model: str) -> bool:
    """Say whether a model's name is the path of a FASTER checkpoint.

    Raises:
        CheckpointError: the file is damaged.
    """
    return is_file_of(model, is_faster)


def make_faster(
    model: str,
    *,
    method: str,
    k: int | None,
    sampler: str | None,
    options: SamplerOptions | None,
    pattern: str | None,
    route: str | None,
    random_weights: bool,
) -> Assembled:
    """Assemble a FASTER model with one of its own methods; see `vidskim.api.recognize`.

    Raises:
        UsageError: a model that is no FASTER model, an unknown route or pattern, a sampler that
            nothing is routed by.
        CheckpointError: weights that cannot be had.
    """
    if route != "scsampler" and (sampler is not None or options not in (None, SamplerOptions())):
        raise UsageError(
            f"method {method!r} uses a sampler with route 'scsampler' only: add it, or leave the "
            "sampler out"
        )
    faster, origin = open_faster(model, method=method, random_weights=random_weights)

    def opened() -> PartedSaliency:
        chosen = options or SamplerOptions()
        found = open_sampler(sampler, options=chosen, random_weights=random_weights)
        check_used(found, chosen)
        return found

    look = faster_look(method, faster, k=k, route=route, saliency=opened, pattern=pattern)
    schedule = faster_schedule(method, faster, pattern=pattern, route=route)
    return _of(faster, look, origin, schedule)


def with_other_look(
    model: str,
    *,
    method: str,
    k: int | None,
    sampler: str | None,
    options: SamplerOptions | None,
    pattern: str | None,
    random_weights: bool,
) -> Assembled:
    """Assemble a FASTER model whose clips another method chooses, by default as many as its own.

    Raises:
        UsageError: an unknown method, an unreadable pattern, a sampler for a method without one.
        CheckpointError: weights that cannot be had.
    """
    faster, origin = open_faster(model, random_weights=random_weights)
    number = faster.num_clips if k is None else k
    look = look_of(method, k=number, sampler=sampler, options=options)
    schedule = faster_schedule("faster", faster, pattern=pattern, route=None)
    return _of(faster, look, origin, schedule)


def make_memory(
    model: str,
    *,
    method: str,
    k: int | None,
    sampler: str | None,
    options: SamplerOptions | None,
    random_weights: bool,
) -> Assembled:
    """Assemble a backbone with its memory, whose clips its own method or another one chooses.

    Raises:
        UsageError: a model without a memory, an unknown method, a sampler for a method without one.
        CheckpointError: weights that cannot be had.
    """
    found, origin = open_memory(model, random_weights=random_weights)
    if method == MEMORY:
        if sampler is not None or options not in (None, SamplerOptions()):
            raise UsageError(
                f"method {method!r} takes clips spread evenly, without a sampler: leave it out, or "
                "give method 'scsampler', whose clips then share the memory"
            )
        look = memory_look(k)
    elif method not in methods.METHODS:
        raise unknown_name("method", method, (MEMORY, *methods.METHODS))
    else:
        number = NUM_CLIPS if k is None else k
        look = look_of(
            method, k=number, sampler=sampler, options=options, random_weights=random_weights
        )
    return Assembled(
        look,
        origin,
        (found.backbone,),
        context=found.memory,
        is_multilabel=found.is_multilabel,
    )


def make_sfc(
    model: str,
    *,
    method: str,
    k: int | None,
    sampler: str | None,
    options: SamplerOptions | None,
    random_weights: bool,
    segment_frames: int | None,
    size: int | None,
) -> Assembled:
    """Assemble a compressed backbone, whose input its own method or another one chooses.

    Raises:
        UsageError: a model without a compression, an unknown method, a sampler for a method without
            one, a segment shorter than the stride.
        CheckpointError: weights that cannot be had.
    """
    found, origin = open_sfc(model, random_weights=random_weights)
    segment = segment_of(found, segment_frames)
    if size is not None:
        set_whole_size(found, size)
    if method == SFC:
        if sampler is not None or options not in (None, SamplerOptions()):
            raise UsageError(
                f"method {method!r} takes the whole video, without a sampler: leave it out, or "
                "give method 'scsampler', whose clips are then joined"
            )
        look = sfc_look(found, segment=segment, k=k)
    elif method not in methods.METHODS:
        raise unknown_name("method", method, (SFC, *methods.METHODS))
    else:
        number = NUM_SEGMENTS if k is None else k
        look = look_of(
            method, k=number, sampler=sampler, options=options, random_weights=random_weights
        )
    return Assembled(look, origin, (found.backbone,), whole=found, segment=segment)


def check_method(method: str | None) -> None:
    """Refuse what is no method, and a variant as `vidskim evaluate` names it, an option here.

    Raises:
        UsageError: an unknown method, or one with a slash.
    """
    if method is not None and method.endswith("/alone"):
        raise UsageError(
            f"method {printable(method)!r} is measured by 'vidskim evaluate' only: give method "
            f"{printable(method.partition('/')[0])!r}"
        )
    if method is not None and "/" in method:
        raise UsageError(
            f"method {printable(method)!r} is a variant as 'vidskim evaluate' names it: give "
            f"method {printable(method.partition('/')[0])!r} with --pattern or --route"
        )
    known = (*methods.METHODS, *METHODS, MEMORY, SFC)
    if method not in (None, *known, *methods.ELSEWHERE):
        raise unknown_name("method", str(method), known)


def refuse_faster_options(model: str, *, pattern: str | None, route: str | None) -> None:
    """Refuse what only means something to a FASTER model.

    Raises:
        UsageError: a pattern or route.
    """
    if pattern is not None or route is not None:
        raise UsageError(
            f"a pattern or route needs a FASTER model, {model} is a single classifier: leave them "
            f"out, or give a method of {', '.join(METHODS)} and its model"
        )


def refuse_route(route: str | None, *, method: str) -> None:
    """Refuse to route where the method chooses the clips itself.

    Raises:
        UsageError: a route.
    """
    if route is not None:
        raise UsageError(
            f"method {method!r} chooses clips itself: give method 'faster' with a route of "
            f"{', '.join((*UNTRAINED_ROUTES, 'scsampler'))}, or no route"
        )


def _of(faster: Faster, look: Look, origin: Origin, schedule: Schedule) -> Assembled:
    return Assembled(
        look,
        origin,
        faster.networks(),
        schedule,
        tuple(faster.adapters),
        faster.aggregator,
    )


def make_recognizer(
    *,
    method: str | None = None,
    model: str = DEFAULT_MODEL,
    k: int | None = None,
    sampler: str | None = None,
    options: SamplerOptions | None = None,
    pattern: str | None = None,
    route: str | None = None,
    segment_frames: int | None = None,
    random_weights: bool = False,
    num_crops: int = 1,
    size: int | None = None,
    batch_size: int | None = None,
    precision: str = "fp32",
    fast: str | None = None,
    videos: Sequence[str | Path] = (),
    calibrate: Sequence[str | Path] | None = None,
    device: str = "cpu",
) -> Recognizer:
    """Return the recognizer that the command line's options describe; see `recognize`.

    With ``fast``, the classifier is checked, and calibrated, on clips of ``videos``.

    Raises:
        UsageError: an unknown method, model, precision or device, a k below 1, a sampler for a
            method that takes none, an impossible number of crops or size, a pattern or route for
            a model that is no FASTER model.
        CheckpointError: weights that cannot be had.
    """
    check_method(method)
    check_fast_options(fast, calibrate=calibrate is not None, precision=precision, device=device)
    if method in faster_methods.METHODS or (method is None and is_faster_model(model)):
        made = make_faster(
            model,
            method=method or "faster",
            k=k,
            sampler=sampler,
            options=options,
            pattern=pattern,
            route=route,
            random_weights=random_weights,
        )
    elif is_faster_model(model):
        refuse_route(route, method=str(method))
        made = with_other_look(
            model,
            method=str(method),
            k=k,
            sampler=sampler,
            options=options,
            pattern=pattern,
            random_weights=random_weights,
        )
    elif method == MEMORY or is_memory_model(model):
        refuse_faster_options(model, pattern=pattern, route=route)
        made = make_memory(
            model,
            method=method or MEMORY,
            k=k,
            sampler=sampler,
            options=options,
            random_weights=random_weights,
        )
    elif method == SFC or is_sfc_model(model):
        refuse_faster_options(model, pattern=pattern, route=route)
        made = make_sfc(
            model,
            method=method or SFC,
            k=k,
            sampler=sampler,
            options=options,
            random_weights=random_weights,
            segment_frames=segment_frames,
            size=size,
        )
    else:
        refuse_faster_options(model, pattern=pattern, route=route)
        look = look_of(
            method or DEFAULT_METHOD,
            k=10 if k is None else k,
            sampler=sampler,
            options=options,
            random_weights=random_weights,
        )
        network, origin = open_model(model, random_weights=random_weights)
        made = Assembled(look, origin, (network,))
    if segment_frames is not None and made.whole is None:
        raise UsageError(
            "segments are joined by a model with a compression inside: leave segment_frames out, "
            "or give method 'sfc' and its model"
        )
    for network in made.encoders:
        if size is not None and made.whole is None:
            set_test_size(network, size)
    encoders: tuple[Backbone, ...] = made.encoders
    if fast is not None:
        made.refuse_fast()
        (network,) = made.encoders
        encoders = (accelerate(network, kind=fast, videos=videos, calibrate=calibrate),)
    if made.whole is not None:
        if batch_size is not None:
            raise UsageError("a whole video is one pass: leave batch_size out")
        return WholeRecognizer(
            made.whole,
            look=made.look,
            segment=made.segment,
            num_crops=num_crops,
            precision=precision,
            device=device,
            origin=made.origin,
        )
    return Recognizer(
        encoders[0],
        others=encoders[1:],
        look=made.look,
        schedule=made.schedule,
        adapters=made.adapters,
        context=made.context,
        aggregator=made.aggregator,
        is_multilabel=made.is_multilabel,
        num_crops=num_crops,
        batch_size=batch_size,
        precision=precision,
        device=device,
        origin=made.origin,
    )
