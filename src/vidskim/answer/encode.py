"""Runs of clips to what the aggregator takes: read, transformed, encoded, each by its encoder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, pairwise

import torch
from torch import Tensor
from tqdm import tqdm

from vidskim.account import Account
from vidskim.answer.lane import Encoded, Lane
from vidskim.backbones.contract import ClipSpec
from vidskim.clips.grid import at_spec, with_rest
from vidskim.clips.views import views_of
from vidskim.errors import UsageError
from vidskim.look.look import Choice
from vidskim.model.schedule import cut_runs
from vidskim.types import ChosenClip, Clip, TimeAttention
from vidskim.video import Video


@dataclass(frozen=True, slots=True)
class ClipRun:
    """Neighbors among the chosen clips that one encoder takes as one input."""

    place: int
    """Of the encoder."""
    clips: tuple[Clip, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs that were encoded together, in time order.

    ``maps`` ``[V, n, C, T', H', W']`` of n runs; ``runs`` hold the clips that could be read, and
    ``encoded`` what was attended to where a run was compressed.
    """

    runs: tuple[ClipRun, ...]
    maps: Tensor
    encoded: tuple[Encoded, ...] = ()

    @property
    def counts(self) -> list[int] | None:
        """Clips of each run; None for one each."""
        counts = [len(run.clips) for run in self.runs]
        return None if set(counts) == {1} else counts


@dataclass(frozen=True, slots=True)
class Answer:
    """Clips that were read, and logits per crop ``[V, K]``."""

    seen: tuple[ChosenClip, ...]
    logits: Tensor
    attention: TimeAttention | None = None


def runs_of(
    clips: Sequence[Clip], places: Sequence[int], join: Sequence[int | None]
) -> list[ClipRun]:
    """Join neighbors that go to the same encoder, up to ``join`` of it at a time.

    With places E E E C E and a join of 2 and 1::

        clip   0  1  2  3  4
        place  E  E  E  C  E
        run   |0  1||2||3||4|
    """
    rest = iter(clips)
    cut = cut_runs(places, join)
    return [ClipRun(place, tuple(islice(rest, count))) for place, count in cut]


def runs_of_choice(
    choice: Choice,
    chosen: Sequence[int],
    places: Sequence[int],
    *,
    join: Sequence[int | None],
    total: int,
    end_seconds: float,
) -> list[ClipRun]:
    """Return the inputs of the encoders in time order.

    Where all clips are chosen and all are joined, they are all of the video, the rest behind the
    last one too.

    Args:
        choice: with the grid of a video.
        chosen: clips of it.
        places: of the encoder of each.
        join: clips in a run of each encoder; None for all.
        total: frames of the video.
        end_seconds: end of the last one.
    """
    clips = [choice.grid[n] for n in chosen]
    if len(clips) == len(choice.grid) and all(join[place] is None for place in places):
        clips = with_rest(clips, total, end_seconds=end_seconds)
    return runs_of(clips, places, join)


def of_spec(clip: Clip, spec: ClipSpec, *, laid_by: ClipSpec) -> Clip:
    """Return a clip of the grid, which the first encoder lays, with the frames of another."""
    if (spec.num_frames, spec.stride) == (laid_by.num_frames, laid_by.stride):
        return clip
    return at_spec(clip, num_frames=spec.num_frames, stride=spec.stride)


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoders of a recognizer and how runs of clips are brought to them.

    Attributes:
        lanes: one per encoder.
        num_crops: V, crops of each clip.
        batch_size: views per forward pass, of runs of one clip.
        device: where the encoders run.
    """

    lanes: tuple[Lane, ...]
    num_crops: int
    batch_size: int
    device: torch.device

    def batches(self, video: Video, runs: Sequence[ClipRun], account: Account) -> Iterator[Batch]:
        """Yield runs as they are encoded; reading is timed, waiting is not.

        Runs of one clip are encoded in batches of nearly equal size: on a CPU torch takes several
        times longer for the clip of a batch of one than for one of two, where a network is narrow.
        Joined ones are encoded one by one, their frames as they come.
        """
        laid_by = self.lanes[0].clip
        clips = [
            of_spec(clip, self.lanes[run.place].clip, laid_by=laid_by)
            for run in runs
            for clip in run.clips
        ]
        stream = _Stream(video.iter_frames(clips), account)
        with tqdm(
            desc="recognizing", total=len(clips), unit="clip", leave=False, delay=2, disable=None
        ) as bar:
            for joined, group in groupby(runs, key=lambda run: self.lanes[run.place].is_joined):
                for several in [[run] for run in group] if joined else self._batched(list(group)):
                    batch = (
                        self._joined(several[0], stream, account)
                        if joined
                        else self._together(several, stream, account)
                    )
                    if batch is not None:
                        yield batch
                    bar.update(sum(len(run.clips) for run in several))
            stream.close()

    def _batched(self, runs: list[ClipRun]) -> list[list[ClipRun]]:
        count = -(-len(runs) // max(1, self.batch_size // self.num_crops))
        cuts = [len(runs) * n // count for n in range(count + 1)]
        return [runs[begin:end] for begin, end in pairwise(cuts)]

    def _together(
        self, runs: Sequence[ClipRun], stream: "_Stream", account: Account
    ) -> Batch | None:
        """Encode runs of one clip each, those of each encoder in one pass."""
        found: list[tuple[ClipRun, Tensor]] = []
        with account.stage("read"):
            for run in runs:
                taken = stream.take(run.clips[0].index)
                if taken is not None:
                    clip, frames = taken
                    found.append((ClipRun(run.place, (clip,)), self._views(frames, run.place)))
                    del frames, taken  # before the next clip is read: 44 MB at 1280x720
        return self.encode(found, account) if found else None

    def encode(self, found: Sequence[tuple[ClipRun, Tensor]], account: Account) -> Batch:
        """Encode runs of one clip each, given as views ``[V, 3, T, h, w]``.

        Raises:
            UsageError: maps of different sizes.
        """
        maps: dict[int, Tensor] = {}
        for place in dict.fromkeys(run.place for run, _ in found):
            positions = [n for n, (run, _) in enumerate(found) if run.place == place]
            with account.stage("read"):
                x = torch.cat([found[n][1] for n in positions]).to(self.device)
                x = x.contiguous(memory_format=torch.channels_last_3d)
            encoded = self.lanes[place].encode(x, account)
            encoded = encoded.reshape(-1, self.num_crops, *encoded.shape[1:])
            if len(positions) == len(found):
                return Batch(tuple(run for run, _ in found), encoded.transpose(0, 1))
            maps.update(zip(positions, encoded, strict=True))  # [V, C, T', H', W'] each
        return Batch(tuple(run for run, _ in found), _stacked([maps[n] for n in sorted(maps)]))

    def _joined(self, run: ClipRun, stream: "_Stream", account: Account) -> Batch | None:
        seen: list[Clip] = []

        def parts() -> Iterator[Tensor]:
            for clip in run.clips:
                with account.stage("read"):
                    taken = stream.take(clip.index)
                    if taken is None:
                        continue
                    own, frames = taken
                    del taken
                    x = self.part(own, frames, run.place)
                    del frames
                    seen.append(own)
                yield x

        stretch = parts()
        first = next(stretch, None)
        if first is None:
            return None
        return self.encode_joined(ClipRun(run.place, ()), _chained(first, stretch), seen, account)

    def encode_joined(
        self, run: ClipRun, parts: Iterator[Tensor], seen: list[Clip], account: Account
    ) -> Batch:
        """Encode a run whose frames come part by part; ``seen`` holds its clips at the end."""
        encoded = self.lanes[run.place].encode_parts(parts, account)
        return Batch((ClipRun(run.place, tuple(seen)),), encoded.maps[:, None], (encoded,))

    def part(self, clip: Clip, frames: Tensor, place: int) -> Tensor:
        """Return the frames of a clip as a part of a joined input ``[V, 3, t, h, w]``.

        Of a compressed encoder frames that repeat the video's last one are left out: where it needs
        more it repeats that itself.
        """
        count = clip.num_valid if self.lanes[place].is_compressed else len(frames)
        x = self._views(frames[:count], place).to(self.device)
        return x.contiguous(memory_format=torch.channels_last_3d)

    def one(self, clip: Clip, frames: Tensor, place: int, account: Account) -> Batch:
        """Encode a single clip with frames uint8 ``[T, 3, H, W]``."""
        return self.encode([(ClipRun(place, (clip,)), self._views(frames, place))], account)

    def _views(self, frames: Tensor, place: int) -> Tensor:
        return views_of(frames, transform=self.lanes[place].transform, num_crops=self.num_crops)


class _Stream:
    """Clips and their frames in time order; those that cannot be read do not come."""

    def __init__(self, frames: Iterator[tuple[Clip, Tensor]], account: Account) -> None:
        self._frames = frames
        self._account = account
        self._next: tuple[Clip, Tensor] | None = None

    def take(self, index: int) -> tuple[Clip, Tensor] | None:
        """Return the clip of an index of the grid, None where it cannot be read."""
        if self._next is None:
            self._next = next(self._frames, None)
        if self._next is None or self._next[0].index != index:
            return None
        taken, self._next = self._next, None
        return taken

    def close(self) -> None:
        """Read to the end, where the reader warns of what was damaged."""
        with self._account.stage("read"):
            next(self._frames, None)


def _stacked(maps: Sequence[Tensor]) -> Tensor:
    """Return maps ``[V, C, T', H', W']`` of runs as ``[V, n, C, T', H', W']``."""
    sizes = {tuple(one.shape[1:]) for one in maps}
    if len(sizes) > 1:
        told = " and ".join(str(list(size)) for size in sorted(sizes))
        raise UsageError(f"encoders give maps of different sizes {told}: give adapters")
    return torch.stack(list(maps), dim=1)


def _chained(first: Tensor, rest: Iterator[Tensor]) -> Iterator[Tensor]:
    yield first
    yield from rest
