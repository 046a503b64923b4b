"""Options that several verbs share, from what is typed to what the library takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vidskim.errors import UsageError

if TYPE_CHECKING:
    from vidskim.look.open import SamplerOptions


def sampler_options(
    combine: str | None,
    visual_k: int | None,
    alpha: float,
    residuals: int | None,
    clip_stride: int,
    candidates: int | None,
) -> "SamplerOptions":
    """Return how the command line wants saliency networks to be used."""
    from vidskim.look.open import SamplerOptions

    return SamplerOptions(
        rule=None if combine is None else combine.replace("-", "_"),
        visual_k=visual_k,
        alpha=alpha,
        residuals=residuals,
        every=clip_stride,
        candidates=candidates,
    )


def paths_of(data: str) -> list[Path]:
    """Return the files of a manifest or folder."""
    from vidskim.data.folder import load_manifest

    return list(dict.fromkeys(row.path for row in load_manifest(data).rows))


def words_of(names: str) -> list[str]:
    """Split names with commas between."""
    return [name.strip() for name in names.split(",") if name.strip()]


def refuse(given: Mapping[str, bool], *, reason: str) -> None:
    """Refuse options that mean nothing here, rather than pass over them.

    Raises:
        UsageError: one of them is given.
    """
    wrong = [option for option, is_given in given.items() if is_given]
    if wrong:
        raise UsageError(f"{' and '.join(wrong)} {reason}")
