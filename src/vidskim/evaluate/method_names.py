"""The names of methods as `vidskim evaluate` reads them, and which model has which.

Of a FASTER model a method's name may go on with words between slashes, in any order: a pattern
(``faster/1:3``), what the expensive encoder is sent by (``faster/motion``), and ``average`` for the
mean of the clips' class scores instead of the trained aggregator (``faster/all/average``). So every
comparison of the paper is one call: the same clips, encoders and adapters, one thing changed.

Of a backbone with a memory every method chooses clips that then share the memory; of one with a
compression inside, clips that are then joined to one input, and ``sfc/8`` takes eight segments.
``/alone`` behind a name leaves memory or compression out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vidskim.errors import UsageError, printable, unknown_name
from vidskim.look import methods as presets
from vidskim.model.faster_methods import METHODS, ROUTES
from vidskim.model.memory_methods import METHOD as MEMORY
from vidskim.model.schedule import parse_pattern
from vidskim.model.sfc_methods import METHOD as SFC

ORACLE = "oracle"
EVALUATED = (*presets.METHODS, ORACLE)
"""Methods that can be evaluated; the oracle is told the true label."""
AVERAGE = "average"
ALONE = "alone"
"""Behind a method's name: the clips of a backbone alone, without its memory or compression."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A method of a FASTER model as its name spells it."""

    method: str
    pattern: str | None = None
    route: str | None = None
    average: bool = False

    @property
    def is_trained(self) -> bool:
        """Whether it needs saliency networks."""
        return self.method in presets.TRAINED or self.route == "scsampler"


def parse_variant(name: str) -> Variant:
    """Read the name of a method and what follows it.

    >>> parse_variant("faster/1:3/motion")
    Variant(method='faster', pattern='1:3', route='motion', average=False)

    Raises:
        UsageError: an unknown method, a word that is unknown or of a kind that stands there
            already, or a route for a method that chooses the clips itself.
    """
    method, *words = name.split("/")
    known = (*METHODS, *EVALUATED)
    if method not in known:
        raise unknown_name("method", method, known)
    pattern = route = None
    average = False
    for word in words:
        if word in (*ROUTES, ORACLE) and route is None:
            route = word
        elif word == AVERAGE and not average:
            average = True
        elif pattern is None and _is_pattern(word):
            pattern = word
        else:
            raise UsageError(
                f"method {printable(name)!r}: {printable(word)!r} cannot stand there; after a "
                "method go a pattern (1:7, all, none, first or letters), what the expensive "
                f"encoder is sent by ({', '.join((*ROUTES, ORACLE))}) and {AVERAGE}, each once"
            )
    if route is not None and method not in METHODS:
        raise UsageError(
            f"method {printable(name)!r} chooses the clips itself: only {', '.join(METHODS)} can "
            "be routed"
        )
    return Variant(method, pattern, route, average)


def _is_pattern(word: str) -> bool:
    try:
        parse_pattern(word)
    except UsageError:
        return False
    return True


def check_methods(
    methods: Sequence[str],
    *,
    of_faster: bool = False,
    of_memory: bool = False,
    of_sfc: bool = False,
) -> None:
    """Refuse methods that a model does not have.

    Args:
        methods: their names.
        of_faster: whether the model is a FASTER model.
        of_memory: whether it is a backbone with a memory.
        of_sfc: whether it is one with a compression inside.

    Raises:
        UsageError: none, or one that is unknown.
    """
    own = {MEMORY: of_memory, SFC: of_sfc}
    known = (*METHODS, *EVALUATED) if of_faster else EVALUATED
    known = (*(name for name, is_there in own.items() if is_there), *known)
    if not methods:
        raise UsageError(f"name at least one method of {', '.join(known)}")
    for method in methods:
        first, slash, word = method.partition("/")
        if first in own and not own[first]:
            what = "memory" if first == MEMORY else "compression inside"
            raise UsageError(
                f"method {printable(method)!r} needs a backbone with a {what}: give its file"
            )
        if of_memory or of_sfc:
            if first not in known:
                raise unknown_name("method", method, known)
            if slash and word != ALONE and not (first == SFC and segments_in(word)):
                raise UsageError(
                    f"method {printable(method)!r}: {printable(word)!r} cannot stand there; behind "
                    f"a method of this model goes {ALONE!r}, for the backbone by itself"
                    + (f", and behind {SFC!r} a number of segments" if of_sfc else "")
                )
        elif of_faster:
            parse_variant(method)
        elif first in METHODS or (slash and first in EVALUATED):
            raise UsageError(f"method {printable(method)!r} needs a FASTER model: give its file")
        elif method not in EVALUATED:
            raise unknown_name("method", method, known)


def segments_in(word: str) -> int | None:
    """Read a number of segments, None if it is none."""
    if not (word.isascii() and word.isdecimal() and len(word) < 6):
        return None
    return int(word) or None


def is_trained(method: str) -> bool:
    """Say whether a method, of any model, needs saliency networks."""
    first, _, word = method.partition("/")
    if first in (MEMORY, SFC) or word == ALONE:
        return first in presets.TRAINED
    return parse_variant(method).is_trained
