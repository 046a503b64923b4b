"""From the names of methods to the recognizers that answer, of every kind of model.

Of a FASTER model a method's name may go on with words between slashes, in any order: a pattern
(``faster/1:3``), what the expensive encoder is sent by (``faster/motion``), and ``average`` for the
mean of the clips' class scores instead of the trained aggregator (``faster/all/average``). So every
comparison of the paper is one call: the same clips, encoders and adapters, one thing changed.

Of a backbone with a memory every method chooses clips that then share the memory; of one with a
compression inside, clips that are then joined to one input, and ``sfc/8`` takes eight segments.
``/alone`` behind a name leaves memory or compression out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vidskim import presets, selection
from vidskim.backbones.contract import Backbone
from vidskim.backbones.network import Network
from vidskim.compress import Compressed
from vidskim.errors import UsageError, printable, unknown_name
from vidskim.faster import Faster
from vidskim.faster_methods import METHODS, ROUTES, faster_look, faster_schedule
from vidskim.look import Look
from vidskim.memory import Collaborative
from vidskim.memory_methods import METHOD as MEMORY
from vidskim.memory_methods import NUM_CLIPS, memory_look, told
from vidskim.recognizer import Recognizer
from vidskim.schedule import Schedule, parse_pattern
from vidskim.sfc_methods import METHOD as SFC
from vidskim.sfc_methods import NUM_SEGMENTS, sfc_look
from vidskim.sfc_methods import told as told_sfc
from vidskim.types import Saliency
from vidskim.whole import WholeRecognizer

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
            if slash and word != ALONE and not (first == SFC and _segments(word)):
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


def _segments(word: str) -> int | None:
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


@dataclass(frozen=True, slots=True)
class Contestants:
    """One recognizer per method.

    Attributes:
        name: of the model.
        classes: what it tells apart.
        fixed: methods whose recognizer is the same for every video.
    """

    name: str
    classes: tuple[str, ...]
    fixed: Mapping[str, Recognizer]
    _told: Mapping[str, Callable[[str], Recognizer]] = field(default_factory=dict)

    def of(self, method: str, *, label: str) -> Recognizer:
        """Return who answers for a method; the true label is for the oracle alone."""
        return self.fixed[method] if method in self.fixed else self._told[method](label)


def of_encoder(
    encoder: Backbone,
    methods: Sequence[str],
    *,
    k: int,
    saliency: Callable[[], Saliency],
    candidates: int | None = None,
    num_crops: int = 1,
    precision: str = "fp32",
    device: str = "cpu",
) -> Contestants:
    """Return the recognizers of one clip classifier; see `vidskim.evaluate.benchmark.benchmark`.

    Raises:
        UsageError: no or an unknown method.
    """
    check_methods(methods, of_faster=False)
    whole = Recognizer(
        encoder, look=presets.dense(), num_crops=num_crops, precision=precision, device=device
    )

    def oracle(label: str) -> Recognizer:
        return whole.with_look(presets.oracle(encoder, label=label, k=k))

    return Contestants(
        encoder.name,
        encoder.classes or (),
        {
            method: whole.with_look(
                presets.look(method, k=k, saliency=saliency, candidates=candidates)
            )
            for method in methods
            if method != ORACLE
        },
        {method: oracle for method in methods if method == ORACLE},
    )


def of_memory(
    model: Collaborative,
    methods: Sequence[str],
    *,
    k: int | None,
    saliency: Callable[[], Saliency],
    candidates: int | None = None,
    num_crops: int = 1,
    precision: str = "fp32",
    device: str = "cpu",
) -> Contestants:
    """Return the recognizers of a backbone with a memory, all of the same weights.

    Args:
        model: the backbone and its memory.
        methods: ``memory``, whose clips are spread evenly, or any other that chooses clips; with
            ``/alone`` the clips do not share the memory. The oracle scores clips alone.
        k: clips per video, by default ten.
        saliency: gives the trained saliency of methods that need one.
        candidates: clips that the first stage of ``cascade`` keeps.
        num_crops: crops of each clip.
        precision: "fp32", "bf16", or "auto" for the faster one.
        device: where the networks run.

    Raises:
        UsageError: no or an unknown method.
    """
    check_methods(methods, of_memory=True)
    encoder = model.backbone
    number = NUM_CLIPS if k is None else k
    together, alone = (
        Recognizer(
            encoder,
            look=presets.dense(),
            context=context,
            is_multilabel=model.is_multilabel,
            num_crops=num_crops,
            precision=precision,
            device=device,
        )
        for context in (model.memory, None)
    )

    fixed, told_label = _two_kinds(
        methods,
        together,
        alone,
        encoder=encoder,
        k=number,
        saliency=saliency,
        candidates=candidates,
        own=lambda name: memory_look(k) if name.partition("/")[0] == MEMORY else None,
    )
    return Contestants(f"{encoder.name}, {told(model)}", encoder.classes or (), fixed, told_label)


def of_sfc(
    model: Compressed,
    methods: Sequence[str],
    *,
    k: int | None,
    saliency: Callable[[], Saliency],
    single: Network | None = None,
    candidates: int | None = None,
    num_crops: int = 1,
    precision: str = "fp32",
    device: str = "cpu",
) -> Contestants:
    """Return the recognizers of a backbone with a compression inside, all of the same weights.

    Args:
        model: the backbone and its compression.
        methods: ``sfc``, the whole video and eight segments of a long one; ``sfc/N``, N segments
            of any; any other that chooses clips, which are joined; each with ``/alone`` for the
            backbone on single clips, ``sfc/alone`` for ten spread evenly. The oracle scores clips
            alone.
        k: clips per video, by default ten, eight where they are joined.
        saliency: gives the trained saliency of methods that need one.
        single: the backbone as it sees single clips, by default the model's.
        candidates: clips that the first stage of ``cascade`` keeps.
        num_crops: crops of each clip of the backbone alone; whole frames are joined.
        precision: "fp32", "bf16", or "auto" for the faster one.
        device: where the networks run.

    Raises:
        UsageError: no or an unknown method.
    """
    check_methods(methods, of_sfc=True)
    joined = WholeRecognizer(model, look=presets.dense(), precision=precision, device=device)
    single = model.backbone if single is None else single
    alone = Recognizer(
        single,
        look=presets.dense(),
        num_crops=num_crops,
        precision=precision,
        device=device,
    )

    def own(name: str) -> Look | None:
        first, _, word = name.partition("/")
        if first != SFC:
            return None
        if word == ALONE:
            return presets.uniform(k=NUM_CLIPS if k is None else k)
        return sfc_look(model, k=_segments(word))

    kinds = []
    for is_alone, number in ((False, NUM_SEGMENTS), (True, NUM_CLIPS)):
        names = [name for name in methods if name.endswith(f"/{ALONE}") == is_alone]
        kinds.append(
            _two_kinds(
                names,
                joined,
                alone,
                encoder=single,
                k=number if k is None else k,
                saliency=saliency,
                candidates=candidates,
                own=own,
            )
        )
    (fixed, told_label), (more_fixed, more_told) = kinds
    return Contestants(
        f"{model.name}, {told_sfc(model)}",
        model.classes or (),
        {**fixed, **more_fixed},
        {**told_label, **more_told},
    )


def _two_kinds(
    methods: Sequence[str],
    together: Recognizer,
    alone: Recognizer,
    *,
    encoder: Backbone,
    k: int,
    saliency: Callable[[], Saliency],
    candidates: int | None,
    own: Callable[[str], Look | None],
) -> tuple[dict[str, Recognizer], dict[str, Callable[[str], Recognizer]]]:
    """Return the recognizers of methods with and without ``/alone``, by name.

    Args:
        methods: their names.
        together: who answers from clips that are told of each other.
        alone: who answers with ``/alone``.
        encoder: by which the oracle scores clips.
        k: clips that are chosen.
        saliency: gives the trained saliency of methods that need one.
        candidates: clips that the first stage of ``cascade`` keeps.
        own: the look of the model's own methods, None for the name of another.

    Returns:
        Those that are the same for every video, and those that are told the true label.
    """
    fixed: dict[str, Recognizer] = {}
    by_label: dict[str, Callable[[str], Recognizer]] = {}

    def oracle(base: Recognizer) -> Callable[[str], Recognizer]:
        return lambda label: base.with_look(presets.oracle(encoder, label=label, k=k))

    for name in methods:
        method = name.partition("/")[0]
        base = alone if name.endswith(f"/{ALONE}") else together
        if method == ORACLE:
            by_label[name] = oracle(base)
            continue
        look = own(name)
        if look is None:
            look = presets.look(method, k=k, saliency=saliency, candidates=candidates)
        fixed[name] = base.with_look(look)
    return fixed, by_label


def of_faster(
    faster: Faster,
    methods: Sequence[str],
    *,
    k: int | None,
    saliency: Callable[[], Saliency],
    candidates: int | None = None,
    num_crops: int = 1,
    precision: str = "fp32",
    device: str = "cpu",
) -> Contestants:
    """Return the recognizers of a FASTER model, all with the same encoders.

    Args:
        faster: the model.
        methods: names as `parse_variant` reads them. The oracle, and what is routed by it, scores a
            clip by the expensive encoder's probability of the true class.
        k: clips per video; by default the preset's or the model's.
        saliency: gives the trained saliency of methods and routes that need one.
        candidates: clips that the first stage of ``cascade`` keeps.
        num_crops: crops of each clip.
        precision: "fp32", "bf16", or "auto" for the faster one, per encoder.
        device: where the networks run.

    Raises:
        UsageError: no or an unknown method, a preset whose clips are not the model's.
    """
    check_methods(methods, of_faster=True)
    expensive, *others = faster.networks()
    shared: dict[bool, Recognizer] = {}

    def base(average: bool) -> Recognizer:
        if average not in shared:
            shared[average] = Recognizer(
                expensive,
                others=others,
                look=presets.dense(),
                schedule=faster.pattern,
                adapters=None if average else tuple(faster.adapters),
                aggregator=None if average else faster.aggregator,
                num_crops=num_crops,
                precision=precision,
                device=device,
            )
        return shared[average]

    num_clips = faster.num_clips if k is None else k
    selection.check_k(num_clips)

    def look(variant: Variant) -> Look:
        if variant.method in METHODS:
            return faster_look(
                variant.method,
                faster,
                k=k,
                route=variant.route,
                saliency=saliency,
                pattern=variant.pattern,
            )
        return presets.look(variant.method, k=num_clips, saliency=saliency, candidates=candidates)

    def schedule(variant: Variant) -> Schedule:
        method = variant.method if variant.method in METHODS else "faster"
        return faster_schedule(method, faster, pattern=variant.pattern, route=variant.route)

    def by_oracle(variant: Variant) -> Callable[[str], Recognizer]:
        def answer(label: str) -> Recognizer:
            if variant.method == ORACLE:
                chosen = presets.oracle(expensive, label=label, k=num_clips)
            else:
                plain = look(Variant(variant.method))
                scores = presets.OracleSaliency(expensive, label=label)
                chosen = Look(f"{plain.method}, routed by oracle", plain.select, scores, k=plain.k)
            return base(variant.average).with_look(chosen, schedule=schedule(variant))

        return answer

    fixed: dict[str, Recognizer] = {}
    by_label: dict[str, Callable[[str], Recognizer]] = {}
    for name in methods:
        variant = parse_variant(name)
        if ORACLE in (variant.method, variant.route):
            by_label[name] = by_oracle(variant)
        else:
            chosen, turns = look(variant), schedule(variant)
            fixed[name] = base(variant.average).with_look(chosen, schedule=turns)
    names = " and ".join(encoder.name for encoder in faster.networks())
    return Contestants(f"{names}, {faster.aggregator.name}", faster.classes or (), fixed, by_label)
