"""From the names of methods to the recognizers that answer, of every kind of model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vidskim.answer.joined import WholeRecognizer
from vidskim.answer.recognizer import Recognizer
from vidskim.backbones.contract import Backbone
from vidskim.backbones.network import Network
from vidskim.evaluate.method_names import (
    ALONE,
    ORACLE,
    Variant,
    check_methods,
    parse_variant,
    segments_in,
)
from vidskim.look import methods as presets
from vidskim.look import selection
from vidskim.look.contract import Saliency
from vidskim.look.look import Look
from vidskim.look.oracle import OracleSaliency
from vidskim.model.collaborative import Collaborative
from vidskim.model.compressed import Compressed
from vidskim.model.faster import Faster
from vidskim.model.faster_methods import METHODS, faster_look, faster_schedule
from vidskim.model.memory_methods import METHOD as MEMORY
from vidskim.model.memory_methods import NUM_CLIPS, memory_look, told
from vidskim.model.schedule import Schedule
from vidskim.model.sfc_methods import METHOD as SFC
from vidskim.model.sfc_methods import NUM_SEGMENTS, sfc_look
from vidskim.model.sfc_methods import told as told_sfc


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
        return sfc_look(model, k=segments_in(word))

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
                scores = OracleSaliency(expensive, label=label)
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
