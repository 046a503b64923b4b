"""The methods by name: each a short function to a `Look`, the cheap half that tells them apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidskim.backbones.contract import Backbone, ClipSpec
from vidskim.errors import UsageError, unknown_name
from vidskim.look import selection
from vidskim.look.cascade import Cascade, as_parted
from vidskim.look.contract import PartedSaliency, Saliency
from vidskim.look.look import Look
from vidskim.look.motion import MotionEnergy
from vidskim.look.oracle import OracleSaliency
from vidskim.look.packets import PacketSaliency

MAX_FRAMES = 4096
"""Frames of a video up to which it goes in whole: the paper's "approximately 4k frames (2 minutes
of videos at 30 FPS)"; counted before the stride."""


def dense() -> Look:
    """Every clip of the grid: the cost that the others are measured against."""
    return Look("dense", selection.by_place(None))


def uniform(*, k: int = 10) -> Look:
    """K clips spread evenly."""
    return Look("uniform", selection.by_place(k), k=k)


def random(*, k: int = 10, seed: int = 0) -> Look:
    """K clips drawn by chance."""
    return Look("random", selection.by_chance(k), seed=seed, k=k)


def packets(*, k: int = 10) -> Look:
    """The k clips that cost the encoder most bytes of change; nothing is decoded to find them."""
    return Look("packets", selection.by_score(k), PacketSaliency(), k=k)


def motion(*, k: int = 10) -> Look:
    """The k clips in which most moves against the camera, by the file's own motion vectors."""
    return Look("motion", selection.by_score(k), MotionEnergy(), k=k)


def empirical(histogram: Tensor, *, k: int = 10, seed: int = 0) -> Look:
    """K clips drawn from where training has its best ones, see `selection.empirical`."""
    return Look("empirical", selection.by_histogram(k, histogram), seed=seed, k=k)


def scsampler(saliency: Saliency, *, k: int = 10) -> Look:
    """SCSampler: the k clips that trained saliency networks score highest."""
    if isinstance(saliency, PartedSaliency):
        saliency = saliency.with_k(k)
    return Look("scsampler", selection.by_score(k), saliency, k=k)


def cascade(saliency: PartedSaliency, *, k: int = 10, candidates: int | None = None) -> Look:
    """SCSampler's choice among the few clips that packet sizes keep; no other is decoded.

    Args:
        saliency: trained; it looks at the candidates only.
        k: clips to choose.
        candidates: clips that packet sizes keep, by default three times k.

    Raises:
        UsageError: fewer candidates than k.
    """
    stages = Cascade(saliency.with_k(k), candidates=candidates, k=k)
    return Look("cascade", selection.by_score(k), stages, k=k)


def oracle(encoder: Backbone, *, label: str, k: int = 10) -> Look:
    """The k clips that the classifier itself scores highest for the true label.

    An upper bound that needs the answer (SCSampler, section 3.2: O(v, y; K)); for evaluation only.

    Raises:
        UsageError: the classifier does not know the label.
    """
    return Look("oracle", selection.by_score(k), OracleSaliency(encoder, label=label), k=k)


def memory(*, k: int = 10) -> Look:
    """K clips spread evenly, which overlap in a video of fewer, as the paper's ten do."""
    selection.check_k(k)
    return Look("memory", selection.by_place(k), k=k, overlaps=True)


def whole(*, clip: ClipSpec, segments: int = 8) -> Look:
    """The whole video, or segments of one of more than `MAX_FRAMES` (SFC, section 6)."""

    def choose(scores: Tensor | None, num_clips: int, generator: torch.Generator) -> list[int]:
        if num_clips * clip.span <= max(MAX_FRAMES, clip.span):
            return selection.dense(num_clips)
        return selection.uniform(num_clips, k=segments)

    return Look("sfc", choose)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a look is asked for.

    Attributes:
        k: clips to choose, None for those of the model.
        num_clips: of the model.
        saliency: gives the trained saliency of methods that need one; called only for those.
        candidates: clips that the first stage of ``cascade`` keeps, by default three times k.
        clip: that lays the grid.
        segments: that a compressed encoder was trained on, None for whole videos.
    """

    k: int | None = None
    num_clips: int = 10
    saliency: Callable[[], Saliency] | None = None
    candidates: int | None = None
    clip: ClipSpec | None = None
    segments: int | None = None

    @property
    def number(self) -> int:
        """Clips to choose."""
        return self.num_clips if self.k is None else self.k

    def trained(self) -> Saliency:
        """Return the trained saliency."""
        assert self.saliency is not None, "a trained method without a sampler"
        return self.saliency()


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the table: what a name stands for.

    Attributes:
        summary: which clips are encoded, for help.
        make: to the look.
        is_trained: whether it needs saliency networks.
        needs: the part that a model must have, one of `PARTS`; empty for none.
        pattern: which encoder takes which clip, unless another pattern is given.
        num_frames: of a clip that it is defined for.
        num_clips: of a video, unless k is given.
        elsewhere: where it can be had, if not of ``recognize``.
    """

    summary: str
    make: Callable[[Asked], Look]
    is_trained: bool = False
    needs: str = ""
    pattern: str | None = None
    num_frames: int | None = None
    num_clips: int | None = None
    elsewhere: str = ""


PARTS = {
    "cheap": "a FASTER model, an expensive and a cheap encoder with their aggregator",
    "context": "a backbone with a memory",
    "compression": "a backbone with a compression inside",
}
"""What a method may need of a model."""


def _placed(name: str) -> Callable[[Asked], Look]:
    def make(asked: Asked) -> Look:
        return Look(name, selection.by_place(asked.number), k=asked.number)

    return make


def _whole(asked: Asked) -> Look:
    k = asked.segments if asked.k is None else asked.k
    if k is not None:
        return _placed("sfc")(replace(asked, k=k))
    assert asked.clip is not None
    return whole(clip=asked.clip)


def _cascade(asked: Asked) -> Look:
    return cascade(as_parted(asked.trained()), k=asked.number, candidates=asked.candidates)


def _nowhere(asked: Asked) -> Look:
    raise AssertionError("made where its answer is known")


METHODS: dict[str, Method] = {
    "dense": Method("every clip", lambda asked: dense()),
    "uniform": Method("k clips spread evenly", lambda asked: uniform(k=asked.number)),
    "random": Method("k clips drawn by chance", lambda asked: random(k=asked.number)),
    "packets": Method("the k clips of most bytes", lambda asked: packets(k=asked.number)),
    "motion": Method("the k clips of most motion", lambda asked: motion(k=asked.number)),
    "scsampler": Method(
        "the k clips that trained networks score highest",
        lambda asked: scsampler(asked.trained(), k=asked.number),
        is_trained=True,
    ),
    "cascade": Method("the same among those that packet sizes keep", _cascade, is_trained=True),
    "faster": Method("FASTER: the model's clips, spread evenly", _placed("faster"), needs="cheap"),
    "faster16": Method(
        "FASTER16: 16 clips of 16 frames, pattern 1:7",
        _placed("faster16"),
        needs="cheap",
        pattern="1:7",
        num_frames=16,
        num_clips=16,
    ),
    "faster32": Method(
        "FASTER32: 8 clips of 32 frames, pattern 1:1",
        _placed("faster32"),
        needs="cheap",
        pattern="1:1",
        num_frames=32,
        num_clips=8,
    ),
    "memory": Method(
        "ten clips spread evenly, which share a memory",
        lambda asked: memory(k=asked.number),
        needs="context",
    ),
    "sfc": Method("the whole video in one pass", _whole, needs="compression"),
    "oracle": Method(
        "the k clips that the classifier itself scores highest for the true label",
        _nowhere,
        elsewhere="the oracle needs the true label: it runs in 'vidskim evaluate' only",
    ),
    "empirical": Method(
        "k clips drawn from where a training set has its best ones",
        _nowhere,
        elsewhere="empirical draws from where a training set has its best clips: it runs in "
        "'vidskim evaluate --study' only",
    ),
}
"""Every method there is; help, documentation and the nearest name are made from this table."""

RECOGNIZED = tuple(name for name, row in METHODS.items() if not row.elsewhere)
"""What ``recognize --method`` takes."""

SELECTED = tuple(name for name in RECOGNIZED if not METHODS[name].needs)
"""What ``select --method`` takes: those that need no model."""

TRAINED = tuple(name for name, row in METHODS.items() if row.is_trained)


def find_method(name: str, known: Sequence[str] = RECOGNIZED) -> Method:
    """Return a row of the table.

    Args:
        name: of a method.
        known: those that can be asked for.

    Raises:
        UsageError: an unknown one, with the nearest valid name, or one of another command.
    """
    if name in known:
        return METHODS[name]
    if name in METHODS and METHODS[name].elsewhere:
        raise UsageError(METHODS[name].elsewhere)
    if name in METHODS:
        raise UsageError(
            f"method {name!r} needs {PARTS[METHODS[name].needs]}: give one of {', '.join(known)}"
        )
    raise unknown_name("method", name, known)


def needs(name: str | None, part: str) -> bool:
    """Return whether a method, if any is given, needs a part of `PARTS`."""
    return name in METHODS and METHODS[str(name)].needs == part


def look(
    method: str,
    *,
    k: int,
    saliency: Callable[[], Saliency],
    candidates: int | None = None,
) -> Look:
    """Return the `Look` of a method that needs no model.

    Args:
        method: one of `SELECTED`.
        k: clips to choose; ``dense`` takes all, whatever it is.
        saliency: gives the trained saliency of `TRAINED` methods; called only for those.
        candidates: clips that the first stage of ``cascade`` keeps, by default three times k.

    Raises:
        UsageError: an unknown method, with the nearest valid name, or k below 1.
    """
    selection.check_k(k)
    row = find_method(method, SELECTED)
    return row.make(Asked(k, saliency=saliency, candidates=candidates))
