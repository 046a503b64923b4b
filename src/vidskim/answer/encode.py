"""Clips to what the aggregator takes: read, transformed, encoded, each by its own encoder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from tqdm import tqdm

from vidskim.account import Account
from vidskim.answer.lane import Lane
from vidskim.clips.views import views_of
from vidskim.errors import UsageError
from vidskim.types import Clip
from vidskim.video import Video


@dataclass(frozen=True, slots=True)
class Batch:
    """Clips in time order, and what each encoder is given of them.

    ``inputs`` holds the encoder's place, the positions of its clips in the batch, and their views
    ``[n * V, 3, T, h, w]``.
    """

    clips: tuple[Clip, ...]
    inputs: tuple[tuple[int, tuple[int, ...], Tensor], ...]


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoders of a recognizer and how clips are brought to them.

    Attributes:
        lanes: one per encoder.
        num_crops: V, crops of each clip.
        batch_size: views per forward pass.
        device: where the encoders run.
    """

    lanes: tuple[Lane, ...]
    num_crops: int
    batch_size: int
    device: torch.device

    def batches(
        self, video: Video, chosen: Sequence[Clip], place_of: Mapping[int, int], account: Account
    ) -> Iterator[Batch]:
        """Yield clips and the input of each encoder; reading is timed, waiting is not.

        Batches are of nearly equal size: on a CPU torch takes several times longer for the clip of
        a batch of one than for one of two, where a network is narrow.

        Args:
            video: the file.
            chosen: clips of it, in time order.
            place_of: the index of a clip to the lane that sees it.
            account: charged with reading.
        """
        count = -(-len(chosen) // max(1, self.batch_size // self.num_crops))
        sizes = [len(chosen) * (i + 1) // count - len(chosen) * i // count for i in range(count)]
        stream = self._inputs(video, chosen, place_of)
        with tqdm(
            desc="recognizing", total=len(chosen), unit="clip", leave=False, delay=2, disable=None
        ) as bar:
            for size in sizes:
                with account.stage("read"):
                    batch = list(islice(stream, size))
                    if not batch:
                        return
                    places = [place_of[clip.index] for clip, _ in batch]
                    inputs = []
                    for place in dict.fromkeys(places):
                        positions = tuple(n for n, p in enumerate(places) if p == place)
                        inputs.append(
                            (place, positions, self._ready([batch[n][1] for n in positions]))
                        )
                yield Batch(tuple(clip for clip, _ in batch), tuple(inputs))
                bar.update(len(batch))
            with account.stage("read"):
                next(stream, None)  # to its end, where the reader tells what was damaged

    def _inputs(
        self, video: Video, chosen: Sequence[Clip], place_of: Mapping[int, int]
    ) -> Iterator[tuple[Clip, Tensor]]:
        """Yield clips and network input ``[V, 3, T, h, w]``, one clip of full size at a time."""
        for clip, frames in video.iter_frames(list(chosen)):
            x = self._views(frames, place_of[clip.index])
            del frames  # before the next clip is read: 44 MB at 1280x720
            yield clip, x

    def _views(self, frames: Tensor, place: int) -> Tensor:
        return views_of(frames, transform=self.lanes[place].transform, num_crops=self.num_crops)

    def one(self, clip: Clip, frames: Tensor, *, place: int) -> Batch:
        """Return the batch of a single clip with frames uint8 ``[T, 3, H, W]``."""
        return Batch((clip,), ((place, (0,), self._ready([self._views(frames, place)])),))

    def features(self, batch: Batch, account: Account) -> Tensor:
        """Encode a batch, each clip by its own encoder, to ``[V, n, C, T', H', W']``.

        Crops are told apart like videos (V), clips are in time order.

        Raises:
            UsageError: maps of different sizes.
        """
        found: dict[int, Tensor] = {}
        for place, positions, x in batch.inputs:
            maps = self.lanes[place].encode(x, account)
            maps = maps.reshape(-1, self.num_crops, *maps.shape[1:])  # [n, V, C, T', H', W']
            if len(batch.inputs) == 1:
                return maps.transpose(0, 1)
            found.update(zip(positions, maps, strict=True))
        sizes = {tuple(maps.shape[1:]) for maps in found.values()}
        if len(sizes) > 1:
            told = " and ".join(str(list(size)) for size in sorted(sizes))
            raise UsageError(f"encoders give maps of different sizes {told}: give adapters")
        return torch.stack([found[n] for n in range(len(found))], dim=1)

    def _ready(self, views: Sequence[Tensor]) -> Tensor:
        """Put the views of clips on the device, ``[n * V, 3, T, h, w]``."""
        x = torch.cat(list(views)).to(self.device)
        return x.contiguous(memory_format=torch.channels_last_3d)
