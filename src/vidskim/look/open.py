"""Checkpoints of saliency networks to one sampler: what ``--sampler`` stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidskim.backbones.files.checkpoint import load_backbone, read_header
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.backbones.open import demo_checkpoint, untrained, untrained_like
from vidskim.errors import CheckpointError, UsageError, listed
from vidskim.look import methods
from vidskim.look.cascade import Strided
from vidskim.look.contract import PartedSaliency, Saliency
from vidskim.look.look import Look
from vidskim.look.network import OBJECTIVES, NetworkSaliency, check_takes
from vidskim.look.sampler import AUDIO, Sampler
from vidskim.look.sources import (
    ALL_FRAMES,
    MAX_SIDE,
    SOURCES,
    MotionMaps,
    Source,
    source_from_json,
    to_json,
    with_residuals,
)

PAPERS_NETWORKS = {
    "motion": "resnet_18",
    "residual": "resnet_18",
    "keyframe": "resnet_18",
    "audio": "vggish",
}
"""Source to the network that SCSampler puts on it."""


@dataclass(frozen=True, slots=True)
class SamplerOptions:
    """How saliency networks are used together.

    Attributes:
        rule: how sight and sound are combined, one of `vidskim.look.fusion.RULES`; None for
            the paper's best, "union_list", or "joint" where the networks were trained jointly.
        visual_k: K' of the union, by default 8 of 10.
        alpha: weight of the audio scores in the convex rules, by default 0.5.
        residuals: residual frames per clip that are scored, 0 for all; None as in training.
        every: score every n-th clip only (the paper's clip stride).
        candidates: clips that the first stage of the method "cascade" keeps, by default 3 k.

    Raises:
        UsageError: a number that cannot be meant.
    """

    rule: str | None = None
    visual_k: int | None = None
    alpha: float | None = None
    residuals: int | None = None
    every: int = 1
    candidates: int | None = None

    def __post_init__(self) -> None:
        if self.residuals is not None and self.residuals < 0:
            raise UsageError(f"residuals per clip are at least 1, or 0 for all: {self.residuals}?")
        if self.every < 1:
            raise UsageError(f"the clip stride is at least 1, got {self.every}")


def open_sampler(
    files: str | Sequence[str | Path] | None,
    *,
    options: SamplerOptions | None = None,
    random_weights: bool = False,
) -> PartedSaliency:
    """Return the sampler that checkpoints of saliency networks make together.

    Args:
        files: the checkpoints, one per source, as a list or with commas between; None for the
            demo's. With random weights also kinds of sources ("motion,residual,audio"), which
            stand for the paper's networks.
        options: how they are used together.
        random_weights: build the networks untrained, for measuring cost and speed.

    Raises:
        CheckpointError: a missing file, one that holds no saliency network, two for one source.
        UsageError: impossible options.
    """
    options = options or SamplerOptions()
    demo = "motion" if random_weights else demo_checkpoint("sampler")
    names = [demo] if files is None else _split(files)
    networks = [_open(name, options=options, random_weights=random_weights) for name in names]
    _check_kinds(networks, names)
    in_order = sorted(networks, key=lambda network: list(SOURCES).index(network.kind))
    audio = next((network for network in networks if network.kind == AUDIO), None)
    joint = audio is not None and all(network.joint for network in networks)
    sampler = Sampler(
        visual=tuple(network for network in in_order if network is not audio),
        audio=audio,
        rule=options.rule or ("joint" if joint else "union_list"),
        k=max(10, options.visual_k or 0),  # set anew by the method that chooses
        visual_k=options.visual_k,
        alpha=0.5 if options.alpha is None else options.alpha,
    )
    return sampler if options.every == 1 else Strided(sampler, options.every)


def _check_kinds(networks: Sequence[NetworkSaliency], names: Sequence[str | Path]) -> None:
    kinds = [network.kind for network in networks]
    if len(set(kinds)) < len(kinds):
        raise CheckpointError(
            f"{listed([str(name) for name in names])}: two look at the same ({', '.join(kinds)}); "
            "give one checkpoint per source"
        )


def _split(files: str | Sequence[str | Path]) -> list[str | Path]:
    names: list[str | Path] = list(files.split(",") if isinstance(files, str) else files)
    names = [name.strip() if isinstance(name, str) else name for name in names]
    if not all(str(name) for name in names):
        raise UsageError("a sampler's checkpoints have commas between them, and none is empty")
    return names


def check_used(saliency: PartedSaliency, options: SamplerOptions) -> None:
    """Refuse options that mean nothing to a sampler, instead of answering as if they did.

    Raises:
        UsageError: a combination without both sight and sound, residuals without a network for
            them, or a clip stride in a cascade.
    """
    sampler = saliency.saliency if isinstance(saliency, Strided) else saliency
    if not isinstance(sampler, Sampler):
        return
    both = sampler.audio is not None and sampler.visual
    told = (options.rule, options.visual_k, options.alpha)
    if not both and told != (None, None, None):
        kinds = listed([network.kind for network in sampler.networks])
        raise UsageError(
            f"sight and sound cannot be combined: the sampler has {kinds} only; give networks of "
            "both, or no combination"
        )
    if options.alpha is not None and not sampler.rule.startswith("convex"):
        raise UsageError(
            f"alpha weighs sound in the convex rules, rule is {sampler.rule}: give rule "
            "convex_score or convex_list, or no alpha"
        )
    if options.visual_k is not None and sampler.rule != "union_list":
        raise UsageError(
            f"visual_k is for rule union_list, rule is {sampler.rule}: leave visual_k out"
        )
    if options.residuals is not None and all(s.kind != "residual" for s in sampler.visual):
        raise UsageError(
            "the sampler looks at no residuals: give a network that does, or no residuals per clip"
        )


def settings_of(saliency: PartedSaliency) -> list[object]:
    """Return all that the scores of a sampler depend on besides the video, as plain JSON."""
    sampler = saliency.saliency if isinstance(saliency, Strided) else saliency
    assert isinstance(sampler, Sampler), f"a {type(saliency).__name__} of the user's own"
    every = saliency.every if isinstance(saliency, Strided) else 1
    networks = [
        [weights_sha256(s.network), to_json(s.source), s.objective] for s in sampler.networks
    ]
    return [networks, sampler.rule, sampler.visual_k, sampler.alpha, every]


def check_options(
    method: str,
    *,
    k: int,
    sampler: object,
    options: SamplerOptions | None,
    is_used: bool,
) -> None:
    """Raise for a sampler, or options of one, that mean nothing to a method.

    Args:
        method: its name.
        k: clips to choose.
        sampler: what was given as one.
        options: how it is used.
        is_used: whether the method, or a route, uses a sampler.

    Raises:
        UsageError: such a sampler or option.
    """
    options = options or SamplerOptions()
    if not is_used and sampler is not None:
        raise UsageError(
            f"method {method!r} takes no sampler, got {sampler!r}: choose method 'scsampler', or "
            "route by it"
        )
    if not is_used and options != SamplerOptions():
        raise UsageError(f"method {method!r} takes no sampler and nothing that steers one")
    if options.visual_k is not None and not 0 <= options.visual_k <= k:
        raise UsageError(
            f"visual_k is how many of the {k} clips are chosen by sight, {options.visual_k}?"
        )
    if options.candidates is not None and method == "scsampler":
        raise UsageError("candidates are for method 'cascade'; scsampler looks at every clip")
    if method == "cascade" and options.every != 1:
        raise UsageError("a clip stride is for method 'scsampler'; a cascade skips clips itself")


def look_of(
    method: str,
    *,
    k: int,
    sampler: str | Sequence[str | Path] | Saliency | None = None,
    options: SamplerOptions | None = None,
) -> Look:
    """Return the `Look` of a method that needs no model.

    Args:
        method: one of `vidskim.look.methods.SELECTED`.
        k: clips to choose.
        sampler: checkpoints, see `open_sampler`; only methods that are trained take them.
        options: how they are used.

    Raises:
        UsageError: an unknown method, k below 1, a sampler or options for a method without one.
        CheckpointError: the sampler's weights cannot be had.
    """
    row = methods.find_method(method, methods.SELECTED)
    check_options(method, k=k, sampler=sampler, options=options, is_used=row.is_trained)
    chosen = options or SamplerOptions()

    def opened() -> Saliency:
        if callable(sampler):
            return sampler
        found = open_sampler(sampler, options=chosen)
        check_used(found, chosen)
        return found

    return methods.look(method, k=k, saliency=opened, candidates=chosen.candidates)


def _open(name: str | Path, *, options: SamplerOptions, random_weights: bool) -> NetworkSaliency:
    """Return the saliency of one checkpoint, or of one kind of source with random weights."""
    if random_weights and str(name) in SOURCES:
        kind = str(name)
        source: Source = MotionMaps(b_frames=False) if kind == "motion" else SOURCES[kind]()
        network = untrained(PAPERS_NETWORKS[kind], in_channels=source.channels)
        return NetworkSaliency(network, _with_options(source, options))
    path = Path(name)
    network = untrained_like(path) if random_weights else load_backbone(checkpoint=path)
    if network.clip is not None:
        raise CheckpointError(
            f"{path}: holds the clip classifier {network.name}, no saliency network; train one "
            "with a recipe of task 'saliency'"
        )
    source, objective, joint = _told(path)
    channels = network.options["in_channels"]
    if channels != source.channels:
        raise CheckpointError(
            f"{path}: its network takes {channels} channels, {source.kind} input has "
            f"{source.channels}; train one with a recipe of task 'saliency'"
        )
    if objective != "ac" and network.num_classes != 1:
        raise CheckpointError(
            f"{path}: was trained as {objective}, which gives one score, but its network gives "
            f"{network.num_classes}; train it again"
        )
    try:
        check_takes(network, source)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; train one with other sizes") from None
    if not all(bool(weights.isfinite().all()) for weights in network.parameters()):
        raise CheckpointError(f"{path}: holds weights that are no numbers; train it again")
    return NetworkSaliency(
        network, _with_options(source, options), objective=objective, joint=joint
    )


def _told(path: Path) -> tuple[Source, str, bool]:
    """Return what a checkpoint says of itself: source, objective, whether trained jointly.

    The first release wrote ``map_size`` alone, for motion maps and the objective "ac".
    """
    metadata = read_header(path).metadata
    objective = str(metadata.get("objective", "ac"))
    if objective not in OBJECTIVES:
        raise CheckpointError(f"{path}: unknown objective {objective!r}")
    told = metadata.get("source")
    if told is None:
        return MotionMaps(_map_size(path, metadata.get("map_size"))), objective, False
    try:
        if not isinstance(told, dict):
            raise CheckpointError(f"its source is no source: {told!r}")
        return source_from_json(told), objective, metadata.get("joint") is True
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _with_options(source: Source, options: SamplerOptions) -> Source:
    if options.residuals is None:
        return source
    return with_residuals(source, options.residuals or ALL_FRAMES)


def _map_size(checkpoint: Path, size: object) -> tuple[int, int] | None:
    """Return the (h, w) that the motion maps of a saliency network are resized to."""
    if size is None:
        return None
    try:
        height, width = (int(n) for n in size)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        height = width = 0
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise CheckpointError(f"{checkpoint}: its map_size is (height, width), got {size!r}")
    return height, width
