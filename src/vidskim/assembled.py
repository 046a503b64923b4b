"""From a model's name to the parts of its recognizer: a classifier, memory, compression, FASTER."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from vidskim import presets
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network
from vidskim.compress import Compressed
from vidskim.contracts import Aggregator, Context, PartedSaliency
from vidskim.errors import UsageError, printable, unknown_name
from vidskim.faster import Faster
from vidskim.faster_file import is_faster
from vidskim.faster_methods import (
    METHODS,
    UNTRAINED_ROUTES,
    faster_look,
    faster_schedule,
    open_faster,
)
from vidskim.look import Look
from vidskim.memory_methods import METHOD as MEMORY
from vidskim.memory_methods import NUM_CLIPS, memory_look, open_memory
from vidskim.models import is_file_of
from vidskim.recognizer import Origin
from vidskim.samplers import SamplerOptions, check_used, look_of, open_sampler
from vidskim.schedule import Schedule
from vidskim.sfc_methods import METHOD as SFC
from vidskim.sfc_methods import NUM_SEGMENTS, open_sfc, segment_of, set_whole_size, sfc_look


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
    elif method not in presets.METHODS:
        raise unknown_name("method", method, (MEMORY, *presets.METHODS))
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
    elif method not in presets.METHODS:
        raise unknown_name("method", method, (SFC, *presets.METHODS))
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
    known = (*presets.METHODS, *METHODS, MEMORY, SFC)
    if method not in (None, *known, *presets.ELSEWHERE):
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
