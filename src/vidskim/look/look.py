"""The cheap half of every method: lay the grid, score all clips, choose few."""

import operator
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vidskim.account import Account, MacCounter
from vidskim.errors import UsageError, VideoError, printable
from vidskim.look.contract import PartedSaliency, Saliency
from vidskim.look.network import warn
from vidskim.look.selection import Select, check_k
from vidskim.types import ChosenClip, Clip
from vidskim.video import Video


@dataclass(frozen=True, slots=True)
class Choice:
    """The grid of a video, its scores and what was chosen."""

    grid: tuple[Clip, ...]
    scores: Tensor | None
    """``[N]`` in [0, 1], or None where nothing was scored."""
    chosen: tuple[int, ...]
    """Sorted indices into the grid."""
    num_touching: int
    """Clips of the video side by side, all of which a dense pass sees: those of the grid, where
    the grid was not laid with overlap."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """What each source of the saliency says, ``[N]`` each, NaN for clips it did not see."""

    @property
    def clips(self) -> tuple[Clip, ...]:
        """The chosen clips in time order."""
        return tuple(self.grid[i] for i in self.chosen)

    routing: Tensor | None = None
    """``[N]``: by what the expensive encoder is sent to clips, where the schedule scores them."""

    @property
    def shown(self) -> Tensor | None:
        """What an answer shows of the clips: why they were chosen, or else routed, ``[N]``."""
        return self.routing if self.scores is None else self.scores

    @property
    def told_parts(self) -> dict[str, tuple[float | None, ...]] | None:
        """What an answer shows of `parts`: None for clips that a source did not see."""
        told = {name: part.tolist() for name, part in self.parts.items()}
        return {n: tuple(None if x != x else x for x in row) for n, row in told.items()} or None

    def score_of(self, clip: Clip) -> float | None:
        """Return the score of a clip of the grid."""
        return None if self.shown is None else float(self.shown[clip.index])

    def scores_to_route(self, chosen: Sequence[int]) -> Tensor | None:
        """Return the scores by which some clips are routed ``[n]``."""
        scores = self.scores if self.routing is None else self.routing
        return None if scores is None else scores[torch.tensor(list(chosen), dtype=torch.long)]

    def routed_by(self, saliency: Saliency, video: Video, account: Account) -> "Choice":
        """Return the same with the scores of a saliency of its own for the encoders."""
        scores, parts = scored(saliency, video, self.grid, account)
        if self.scores is None:
            return replace(self, routing=scores, parts=parts)
        return replace(self, routing=scores, parts={**self.parts, "route": scores})

    def as_chosen(self, clip: Clip, *, encoder: str = "") -> ChosenClip:
        """Return a clip of the grid with its score and the name of the encoder that saw it."""
        return ChosenClip(clip, self.score_of(clip), encoder)


@dataclass(frozen=True, slots=True)
class Look:
    """Scores the clips of a video and chooses some of them.

    Attributes:
        method: the name that goes into the answer.
        select: scores to indices, see `vidskim.look.selection`.
        saliency: scores all clips; None where the selection needs no scores.
        k: how many clips ``select`` chooses; None for all. A video with fewer is told of.
        overlaps: where the video has fewer than ``k`` clips side by side, lay that many evenly over
            it, overlapping, instead of choosing all.
        seed: for selections by chance. The draw also depends on the file's packets, never on its
            path or on the order of files, so that a file is always answered alike.
    """

    method: str
    select: Select
    saliency: Saliency | None = None
    seed: int = 0
    k: int | None = None
    overlaps: bool = False

    def __post_init__(self) -> None:
        if not callable(self.select) or not (self.saliency is None or callable(self.saliency)):
            raise UsageError(f"look {self.method!r}: select and saliency are functions or objects")
        if self.k is not None:
            check_k(self.k)

    @torch.inference_mode()
    def __call__(
        self, video: Video, *, num_frames: int, stride: int, account: Account | None = None
    ) -> Choice:
        """Look at one video.

        Args:
            video: the file.
            num_frames: T, frames per clip.
            stride: distance between them.
            account: charged with the multiply-adds of the look, if given.

        Raises:
            VideoError: the file cannot be read or holds no frame.
            UsageError: the saliency does not give one score per clip.
        """
        grid = video.clips(num_frames=num_frames, stride=stride)
        if not grid:
            raise VideoError(video.path, "has no video frame that can be read")
        num_touching = len(grid)
        if grid[0].num_valid < num_frames:
            warn(video, told_short(grid[0]))
        elif self.k is not None and len(grid) < self.k:
            if self.overlaps:
                grid = video.spread_clips(self.k, num_frames=num_frames, stride=stride)
            if len(grid) < self.k:
                told = f"the video has {len(grid)} clips, fewer than {self.k}: all are chosen"
                warn(video, told)
        scores: Tensor | None = None
        parts: dict[str, Tensor] = {}
        if self.saliency is not None:
            scores, parts = scored(self.saliency, video, grid, account)
        # one number of 32 bits: the generator takes no more
        start = zlib.crc32(video.packets.sizes.tobytes(), zlib.crc32(str(self.seed).encode()))
        generator = torch.Generator().manual_seed(start)
        chosen = self._checked(self.select(scores, len(grid), generator), len(grid))
        return Choice(tuple(grid), scores, chosen, num_touching, parts)

    def _checked(self, chosen: Sequence[int], num_clips: int) -> tuple[int, ...]:
        """Return what a selection chose.

        Raises:
            UsageError: anything but sorted, unique indices into the grid.
        """
        try:
            numbers = [operator.index(n) for n in chosen if not isinstance(n, bool)]
            is_right = len(numbers) == len(chosen) > 0
        except TypeError:
            numbers, is_right = [], False
        if not is_right or numbers != sorted({*numbers} & {*range(num_clips)}):
            raise UsageError(
                f"the selection of look {self.method!r} gives sorted, unique indices of the "
                f"{num_clips} clips, at least one, got {printable(repr(chosen)[:80])}"
            )
        return tuple(numbers)


def scored(
    saliency: Saliency, video: Video, grid: Sequence[Clip], account: Account | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return scores ``[N]`` and what each source of a saliency says, charged to the look.

    Raises:
        UsageError: the saliency does not give one score per clip.
    """
    name = type(saliency).__name__
    parts: Mapping[str, Tensor] = {}
    with MacCounter() as counter:
        if isinstance(saliency, PartedSaliency):
            parts = saliency.parts(video, grid)
            if not isinstance(parts, Mapping):
                raise UsageError(f"{name} gives parts by name, got a {type(parts).__name__}")
            parts = {key: _scores(part, len(grid), name=name) for key, part in parts.items()}
            scores = _scores(saliency.combine(parts), len(grid), name=name)
        else:
            scores = _scores(saliency(video, grid), len(grid), name=name)
    if account is not None:
        account.add_macs(counter.macs, stage="look")
    if bool(scores.isnan().all()):
        warn(video, f"{name} says nothing of any clip: the first ones are chosen")
    return torch.nan_to_num(scores), dict(parts)


def _scores(given: Tensor, num_clips: int, *, name: str) -> Tensor:
    """Return what a saliency gives, float32 ``[N]`` on the CPU; NaN where it says nothing.

    Raises:
        UsageError: it is something else.
    """
    is_real = isinstance(given, Tensor) and not given.is_complex()
    if not is_real or given.shape != (num_clips,) or bool(given.isinf().any()):
        told = list(given.shape) if is_real else f"a {type(given).__name__}"
        raise UsageError(
            f"{name} must give one score per clip, a tensor of shape [{num_clips}] without "
            f"infinities, got {told}"
        )
    return given.detach().float().cpu()


def told_short(clip: Clip) -> str:
    """Return the warning for a video that ends inside its first clip."""
    return f"shorter than one clip: the last of {clip.num_valid} frames is repeated"
