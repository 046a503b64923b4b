"""The methods by name: each a short function to a `Look`, the cheap half that tells them apart."""

from collections.abc import Callable

from torch import Tensor

from vidskim.backbones.contract import Backbone
from vidskim.errors import UsageError, unknown_name
from vidskim.look import selection
from vidskim.look.cascade import Cascade
from vidskim.look.contract import PartedSaliency, Saliency
from vidskim.look.look import Look
from vidskim.look.motion import MotionEnergy
from vidskim.look.oracle import OracleSaliency
from vidskim.look.packets import PacketSaliency


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


UNTRAINED: dict[str, Callable[..., Look]] = {
    "uniform": uniform,
    "random": random,
    "packets": packets,
    "motion": motion,
}
TRAINED = ("scsampler", "cascade")
"""Methods that need saliency networks."""
METHODS = ("dense", *UNTRAINED, *TRAINED)
"""What ``--method`` takes."""
ELSEWHERE = {
    "oracle": "the oracle needs the true label: it runs in 'vidskim evaluate' only",
    "empirical": "empirical draws from where a training set has its best clips: it runs in "
    "'vidskim evaluate --study' only",
}
"""Methods of other commands, and what is said of them."""


def look(
    method: str,
    *,
    k: int,
    saliency: Callable[[], Saliency],
    candidates: int | None = None,
) -> Look:
    """Return the `Look` a method's name stands for.

    Args:
        method: one of `METHODS`.
        k: clips to choose; ``dense`` takes all, whatever it is.
        saliency: gives the trained saliency of `TRAINED` methods; called only for those.
        candidates: clips that the first stage of ``cascade`` keeps, by default three times k.

    Raises:
        UsageError: an unknown method, with the nearest valid name, or k below 1.
    """
    selection.check_k(k)
    if method in UNTRAINED:
        return UNTRAINED[method](k=k)
    if method == "dense":
        return dense()
    if method == "scsampler":
        return scsampler(saliency(), k=k)
    if method == "cascade":
        second = saliency()
        if not isinstance(second, PartedSaliency):
            raise UsageError(f"a cascade cannot be made of {type(second).__name__}; give a Sampler")
        return cascade(second, k=k, candidates=candidates)
    if method in ELSEWHERE:
        raise UsageError(ELSEWHERE[method])
    raise unknown_name("method", method, METHODS)
