"""The saliency networks at hand: what their checkpoints say of themselves, and which to take.

SCSampler's best configuration (section 4.1.1) is motion and residuals by action classification,
sound by ranking, union-list. `best` finds for each source the checkpoint nearest to it.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidskim.backbones.files.checkpoint import read_header
from vidskim.backbones.open import demo_checkpoint
from vidskim.errors import CheckpointError, listed
from vidskim.look.network import NetworkSaliency
from vidskim.look.open import PAPERS_NETWORKS, SamplerOptions, open_sampler
from vidskim.look.sampler import AUDIO

VISUAL_KINDS = ("motion", "residual", "keyframe")
PREFERRED = {AUDIO: ("sal_rank", "ac", "sal_cl")}
"""Objectives of a source from best to worst in the paper's section 4.2.1; others as visual."""
PREFERRED_VISUAL = ("ac", "sal_rank", "sal_cl")


@dataclass(frozen=True)
class Trained:
    """One saliency network and what it was trained with."""

    path: Path
    saliency: NetworkSaliency
    network: str
    width: int | None
    classifier_weights: str | None
    """Hash of the classifier that gave its labels, None if none did."""
    classifier: str | None
    manifest_sha256: str | None
    frozen: str
    """Layer on whose activations a single linear layer was trained, empty for the whole network."""
    is_finetuned: bool
    """Whether it was started from another checkpoint."""

    @property
    def kind(self) -> str:
        """What it looks at."""
        return self.saliency.kind

    @property
    def objective(self) -> str:
        """What it was trained for."""
        return self.saliency.objective

    @property
    def architecture(self) -> str:
        """Name of the network, with its width where that is not the usual one."""
        return self.network if self.width in (None, 64) else f"{self.network} x{self.width}"

    @property
    def name(self) -> str:
        """File name, which its folder's name tells apart where all are called alike."""
        stem = self.path.stem
        return self.path.parent.name if stem == "model" else stem


def find_networks(where: str | None, *, residuals: int | None = None) -> tuple[Trained, ...]:
    """Open the checkpoints of saliency networks that are named or lie in a folder.

    Args:
        where: files and folders with commas between; None for the demo's.
        residuals: residual frames per clip that are looked at, 0 for all; None as in training.

    Returns:
        Saliency networks in the order of their names; clip classifiers in a folder are passed over,
        files that are no checkpoint of vidskim with a warning.

    Raises:
        CheckpointError: a missing file, a named one that holds no saliency network, or none at all.
    """
    named: list[tuple[Path, bool]] = []
    for word in [str(demo_checkpoint("sampler"))] if where is None else where.split(","):
        path = Path(word.strip())
        if path.is_dir():
            named += [(file, False) for file in sorted(path.rglob("*.safetensors"))]
        else:
            named.append((path, True))
    found: dict[Path, Trained] = {}
    for path, must in named:
        if not must and _is_other(path):
            continue
        found.setdefault(path.resolve(), _open(path, residuals=residuals))
    if not found:
        raise CheckpointError(
            f"{where}: no saliency network lies there; train one with a recipe of task 'saliency'"
        )
    return tuple(found.values())


def best(
    networks: Sequence[Trained],
    kind: str,
    *,
    weights: str | None,
    manifest_sha256: str | None,
    objectives: Sequence[str] | None = None,
    joint: bool = False,
) -> Trained | None:
    """Return the checkpoint of one source that is nearest to the paper's best, None if none is.

    In this order: trained on this manifest; with this classifier, or without any; for the objective
    the paper finds best; as a whole; on the paper's network; as wide as can be.

    Args:
        networks: to choose among.
        kind: the source.
        weights: hash of the classifier it will be used with.
        manifest_sha256: of the manifest it will be used on.
        objectives: from best to worst; others are not taken. By default the paper's order.
        joint: take one that was trained jointly with the other modality, instead of none such.
    """
    order = tuple(objectives or PREFERRED.get(kind, PREFERRED_VISUAL))

    def far(t: Trained) -> tuple[Any, ...]:
        return (
            t.manifest_sha256 not in (None, manifest_sha256),
            t.classifier_weights not in (None, weights),
            order.index(t.objective),
            t.frozen != "",
            t.network != PAPERS_NETWORKS[kind],
            -(t.width or 0),
            str(t.path),
        )

    mine = [
        t for t in networks if t.kind == kind and t.objective in order and t.saliency.joint == joint
    ]
    return min(mine, key=far, default=None)


def _is_other(path: Path) -> bool:
    """Say whether a file of a folder is no saliency network of ours."""
    try:
        header = read_header(path)
    except CheckpointError as error:
        warnings.warn(f"passed over: {error}", stacklevel=3)
        return True
    return header.clip is not None


def _open(path: Path, *, residuals: int | None) -> Trained:
    opened = open_sampler([path], options=SamplerOptions(residuals=residuals))
    (saliency,) = opened.networks  # type: ignore[attr-defined]
    header = read_header(path)
    told = header.metadata
    trained_with = _dict(told.get("trained_with"))
    recipe, metrics = _dict(told.get("recipe")), _dict(told.get("metrics"))
    width = header.options.get("width")
    uses_labels = saliency.objective != "ac"
    return Trained(
        path=path,
        saliency=saliency,
        network=header.name,
        width=width if isinstance(width, int) else None,
        classifier_weights=_text(trained_with.get("weights_sha256")) if uses_labels else None,
        classifier=_text(trained_with.get("model")) if uses_labels else None,
        manifest_sha256=_text(
            trained_with.get("manifest_sha256") or metrics.get("manifest_sha256")
        ),
        frozen=_text(recipe.get("freeze")) or "",
        is_finetuned=_text(recipe.get("init")) is not None,
    )


def told_of(networks: Sequence[Trained]) -> str:
    """Name checkpoints in a note."""
    return listed([f"{t.name} ({t.kind}, {t.architecture}, {t.objective})" for t in networks])


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
