"""The saliency by which training sends the expensive encoder to clips, looked at once and kept."""

from pathlib import Path

from torch import Tensor

from vidskim.answer.build import ROUTES
from vidskim.backbones.contract import ClipSpec
from vidskim.data.cache.maps import Maps
from vidskim.data.cache.scores import saliency_scores
from vidskim.errors import VideoError
from vidskim.look.contract import Saliency
from vidskim.look.open import open_sampler, settings_of


def route_scores(
    maps: Maps, route: str, *, sampler: str | None, k: int, clip: ClipSpec, folder: str | Path
) -> tuple[Tensor, ...]:
    """Return the saliency of the kept clips of every row, ``[M]`` each.

    Args:
        maps: of any encoder, for rows and clips.
        route: one of `vidskim.answer.build.ROUTES`, or scsampler.
        sampler: of route ``scsampler``, see `vidskim.look.open.open_sampler`.
        k: how many clips of a video the expensive encoder sees.
        clip: whose length and stride lay the grid.
        folder: of the cache.

    Raises:
        VideoError: a video that was readable when its maps were made and is no more.
        UsageError: a folder that cannot be written to.
        CheckpointError: the sampler's weights cannot be had.
    """
    saliency: Saliency
    settings: list[object] = [route]
    if route in ROUTES:
        saliency = ROUTES[route]()
    else:
        trained = open_sampler(sampler).with_k(k)
        saliency, settings = trained, [route, k, *settings_of(trained)]
    kept = saliency_scores(
        [row.path for row in maps.rows], saliency, settings=settings, clip=clip, folder=folder
    )
    for path, told in kept.failures.items():
        raise VideoError(path, told.removeprefix(f"{path}: "))
    return tuple(
        kept[row.path][list(video.clips)] for row, video in zip(maps.rows, maps.videos, strict=True)
    )
