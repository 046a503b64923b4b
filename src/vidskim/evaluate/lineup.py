"""From the names of methods to the recognizers that answer, all of one model.

Behind a method's name go words between slashes, in any order, each an option of ``recognize``: a
pattern (``faster/1:3``), what the expensive encoder is sent by (``faster/motion``), an aggregator
(``faster/all/average``), a number of clips or segments (``sfc/8``), any other as ``key=value``
(``sfc/join=2``), and ``alone`` for the first encoder without memory or compression. So every
comparison of the papers is one call: the same clips and weights, one thing changed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from vidskim.answer.build import ROUTES, TRAINED_ROUTE, Ask, aimed, composed
from vidskim.answer.recognizer import Recognizer, Runtime
from vidskim.errors import UsageError, listed, printable
from vidskim.look.look import Look
from vidskim.look.methods import METHODS, RECOGNIZED, dense, find_method, oracle
from vidskim.look.open import SamplerOptions
from vidskim.look.oracle import OracleSaliency
from vidskim.model.aggregate import AGGREGATORS
from vidskim.model.compose import AVERAGE, NONE
from vidskim.model.compressed import Compressed
from vidskim.model.model import Model, describe
from vidskim.model.schedule import parse_pattern

ORACLE = "oracle"
EVALUATED = (*RECOGNIZED, ORACLE)
"""Methods that can be evaluated; the oracle is given the true label."""
ALONE = "alone"
KEYS = ("join", "cheap", "context", "compress", "aggregator", "pattern", "route", "segment_frames")
"""Options that may stand behind a method's name as ``key=value``."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """One recognizer per method.

    Attributes:
        name: of the model.
        classes: its classes.
        fixed: methods whose recognizer is the same for every video.
        by_label: those that are given the true label of a video.
    """

    name: str
    classes: tuple[str, ...]
    fixed: Mapping[str, Recognizer]
    by_label: Mapping[str, Callable[[str], Recognizer]] = field(default_factory=dict)

    def of(self, method: str, *, label: str) -> Recognizer:
        """Return the recognizer of a method; the true label is for the oracle alone."""
        return self.fixed[method] if method in self.fixed else self.by_label[method](label)


def asked_for(name: str, base: Ask) -> Ask:
    """Return what a method's name and the words behind it ask for.

    Args:
        name: the method and its words.
        base: what is asked for of all methods.

    Raises:
        UsageError: an unknown method, a word that is unknown or of a kind that stands there
            already.
    """
    method, *words = name.split("/")
    find_method(method, EVALUATED)
    given: dict[str, object] = {"method": method}
    for word in words:
        for key, value in _option(name, word).items():
            if key in given:
                raise _misplaced(name, word)
            given[key] = value
    is_whole = METHODS[method].needs == "compression" and given.get("compress") != NONE
    if is_whole or method == "dense":
        given.setdefault("k", None)  # all of the video, however many clips the others choose
    return replace(base, **given)  # type: ignore[arg-type]


def _option(name: str, word: str) -> dict[str, object]:
    """Return the options that a word stands for."""
    key, equals, value = word.partition("=")
    if equals and key.replace("-", "_") in KEYS and value:
        key = key.replace("-", "_")
        return {key: int(value) if key == "segment_frames" and value.isdecimal() else value}
    if word == ALONE:
        return {"context": NONE, "compress": NONE}
    if word in (*ROUTES, TRAINED_ROUTE, ORACLE):
        return {"route": word}
    if word == AVERAGE or word in AGGREGATORS:
        return {"aggregator": word}
    if word.isascii() and word.isdecimal() and len(word) < 6 and int(word):
        return {"k": int(word)}
    try:
        parse_pattern(word)
    except UsageError:
        raise _misplaced(name, word) from None
    return {"pattern": word}


def _misplaced(name: str, word: str) -> UsageError:
    return UsageError(
        f"method {printable(name)!r}: {printable(word)!r} cannot stand there; behind a method go a "
        "pattern (1:7, all, none, first or letters), what the expensive encoder is sent by "
        f"({', '.join((*ROUTES, TRAINED_ROUTE, ORACLE))}), an aggregator, a number of clips, "
        f"{ALONE}, and {', '.join(KEYS)} as key=value, each once"
    )


def name_of(method: str | Look) -> str:
    """Return what results call a method."""
    return method if isinstance(method, str) else method.method


def check_methods(methods: Sequence[str | Look]) -> None:
    """Raise unless methods can be evaluated.

    Raises:
        UsageError: none, one that is unknown, or two of one name.
    """
    if not methods:
        raise UsageError(f"name at least one method of {', '.join(EVALUATED)}")
    for method in methods:
        if isinstance(method, str):
            asked_for(method, Ask())
        elif not isinstance(method, Look):
            raise UsageError(f"a method is a name or a vidskim.Look, got {method!r}")
    names = [name_of(method) for method in methods]
    if len(set(names)) < len(names):
        raise UsageError(f"two methods have one name: {listed(names)}; give each its own")


def is_trained(method: str | Look, base: Ask | None = None) -> bool:
    """Return whether a method needs saliency networks, to choose clips or to route them.

    Args:
        method: its name and words, or a look.
        base: what is asked for of all methods.
    """
    ask = base or Ask()
    if isinstance(method, Look):
        return ask.route == TRAINED_ROUTE
    ask = asked_for(method, ask)
    return METHODS[str(ask.method)].is_trained or ask.route == TRAINED_ROUTE


def line_up(model: Model, methods: Sequence[str | Look], base: Ask) -> Lineup:
    """Return the recognizers of methods, all of one model's weights.

    Args:
        model: any.
        methods: their names, with the words behind them, or looks of your own.
        base: what is asked for of all of them.

    Raises:
        UsageError: no or an unknown method, or one that the model cannot have.
    """
    check_methods(methods)
    shared: dict[object, Recognizer] = {}

    def whole(ask: Ask) -> Recognizer:
        """Return the recognizer of a choice of parts, which methods of any pattern share."""
        key = (ask.cheap, ask.context, ask.compress, ask.join, ask.aggregator, ask.segment_frames)
        if key not in shared:
            made = composed(model, replace(ask, pattern=None))[0]
            shared[key] = Recognizer(made, look=dense(), runtime=_runtime(made, ask))
        return shared[key]

    def recognizer(method: str | Look, label: str | None = None) -> Recognizer:
        look = method if isinstance(method, Look) else None
        ask = asked_for(method, base) if isinstance(method, str) else base
        if not is_trained(method, base):
            ask = replace(ask, sampler=None, options=SamplerOptions())
        built = whole(ask)
        if label is not None:
            bare: Any = built.lanes[0].bare
            if ask.route == ORACLE:
                ask = replace(ask, route=OracleSaliency(bare, label=label))
            if ask.method == ORACLE:
                look = oracle(bare, label=label, k=ask.k or built.model.card.num_clips)
        name = str(ask.method) if isinstance(method, str) else method.method
        chosen, schedule = aimed(built.model, name, ask, look=look)
        return built.with_look(chosen, schedule=schedule)

    fixed: dict[str, Recognizer] = {}
    by_label: dict[str, Callable[[str], Recognizer]] = {}
    for method in methods:
        if isinstance(method, str) and ORACLE in method.split("/"):
            by_label[method] = partial(recognizer, method)
        else:
            fixed[name_of(method)] = recognizer(method)
    return Lineup(describe(model), model.classes or (), fixed, by_label)


def _runtime(model: Model, ask: Ask) -> Runtime:
    """Return how answers are computed: whole frames, which nothing crops, in one view."""
    whole = any(e.transform.crop is None for e in model.networks if isinstance(e, Compressed))
    return replace(ask.runtime, crops=1) if whole else ask.runtime
