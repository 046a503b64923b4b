"""The one path from a file to an answer: look, select, read, encode, relate, aggregate."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vidskim.aggregate import Average
from vidskim.backbones.contract import Backbone
from vidskim.cost import Account, count
from vidskim.errors import UsageError, VideoError
from vidskim.select import Select
from vidskim.types import (
    Aggregator,
    ChosenClip,
    Clip,
    Context,
    Prediction,
    Saliency,
    Score,
)
from vidskim.video import Video

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


@runtime_checkable
class StepwiseAggregator(Protocol):
    """An `Aggregator` that can also take the clips as they come, at constant memory."""

    def start(self) -> Any:
        """Return the state before the first clip."""
        ...

    def step(self, state: Any, features: Tensor) -> Any:
        """Take in the next clips ``[B, N, C, T', H', W']``."""
        ...

    def read(self, state: Any) -> Tensor:
        """Return the logits ``[B, K]`` after the clips so far."""
        ...


class Recognizer:
    """Recognizes what happens in a video by looking closely at the clips that matter.

    The command line, the Python functions and the evaluation all answer through this class, so the
    same file gives the same answer everywhere.

    Args:
        encoder: a clip classifier, unmodified; its clip length, stride and transform are used.
        method: name that goes into the answer.
        select: scores to indices, see `vidskim.select`.
        saliency: scores all clips first; None where the selection needs no look.
        context: relates the clips of the video to each other; None leaves them alone.
        aggregator: clips to logits; by default the mean of the clips' class probabilities.
        batch_size: clips per forward pass.
        precision: "fp32" or "bf16" (autocast).
        seed: for selections by chance; the draw also depends on the file's packets, never on the
            path or on the order of files.

    Raises:
        UsageError: an unknown precision or an impossible batch size.
    """

    def __init__(
        self,
        encoder: Backbone,
        *,
        method: str,
        select: Select,
        saliency: Saliency | None = None,
        context: Context | None = None,
        aggregator: Aggregator | None = None,
        batch_size: int = 4,
        precision: str = "fp32",
        seed: int = 0,
    ) -> None:
        if precision not in PRECISIONS:
            raise UsageError(f"precision must be one of {sorted(PRECISIONS)}, got {precision!r}")
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        if isinstance(encoder, nn.Module):
            encoder.eval()
        self.encoder = encoder
        self.method = method
        self.select = select
        self.saliency = saliency
        self.context = context
        self.aggregator: Aggregator = aggregator or Average(encoder.classify)
        self.batch_size = batch_size
        self.precision = precision
        self.seed = seed
        self.warnings: list[str] = []
        """Said again in every answer, for example that weights are random."""
        self._macs: dict[tuple[int, ...], int] = {}

    @torch.inference_mode()
    def __call__(self, video: Video | str | Path) -> Prediction:
        """Answer for one video.

        Raises:
            VideoError: the file cannot be read, or no clip of it can.
        """
        if not isinstance(video, Video):
            video = Video(video)
        account = Account()
        decoded, read = video.stats.frames_decoded, video.stats.bytes_read
        with account.stage("look"):
            clips = self.grid(video)
            scores = self._look(video, clips, account)
            chosen = self.choose(video, clips, scores)
        seen, logits, shape = self._encode(video, [clips[i] for i in chosen], account)
        probability = torch.softmax(logits[0].float(), dim=0).cpu()
        account.frames_decoded += video.stats.frames_decoded - decoded
        account.bytes_read += video.stats.bytes_read - read
        return Prediction(
            video=video.info,
            method=self.method,
            model=self.encoder.name,
            predictions=self._ranked(probability),
            clips=tuple(
                ChosenClip(c, None if scores is None else float(scores[c.index]), self.encoder.name)
                for c in seen
            ),
            saliency=None if scores is None else tuple(scores.tolist()),
            cost=account.to_cost(dense_macs=self._clip_macs(shape) * len(clips)),
            warnings=tuple(dict.fromkeys([*self.warnings, *video.warnings])),
        )

    def grid(self, video: Video) -> list[Clip]:
        """Return the candidate clips of a video.

        Raises:
            VideoError: the file holds no frame.
        """
        clips = video.clips(
            num_frames=self.encoder.clip.num_frames, stride=self.encoder.clip.stride
        )
        if not clips:
            raise VideoError(video.path, "has no video frame that can be read")
        return clips

    def choose(self, video: Video, clips: Sequence[Clip], scores: Tensor | None) -> list[int]:
        """Return the sorted indices of the clips to look at closely."""
        content = zlib.crc32(video.packets.sizes.tobytes())
        generator = torch.Generator().manual_seed(self.seed * 2**32 + content)
        return self.select(scores, len(clips), generator)

    def _look(self, video: Video, clips: Sequence[Clip], account: Account) -> Tensor | None:
        if self.saliency is None:
            return None
        with FlopCounterMode(display=False) as counter:
            scores = self.saliency(video, clips)
        account.add_macs(counter.get_total_flops() // 2, stage="look")
        assert scores.shape == (len(clips),), f"saliency gave {tuple(scores.shape)}"
        return scores.float().cpu()

    def _encode(
        self, video: Video, chosen: Sequence[Clip], account: Account
    ) -> tuple[list[Clip], Tensor, tuple[int, ...]]:
        """Read and encode clips batch by batch; return those seen, the logits and a clip's shape."""
        stepwise = isinstance(self.aggregator, StepwiseAggregator) and self.context is None
        state = self.aggregator.start() if stepwise else None  # type: ignore[attr-defined]
        kept: list[Tensor] = []
        seen: list[Clip] = []
        shape: tuple[int, ...] = ()
        for clips, x in self._batches(video, chosen, account):
            shape = (1, *x.shape[1:])
            with account.stage("encode"), self._autocast():
                features = self.encoder.features(x)  # [n, C, T', H', W']
                account.add_macs(self._clip_macs(shape) * len(clips), stage="encode")
            seen += clips
            if stepwise:
                with account.stage("aggregate"):
                    state = self.aggregator.step(state, features[None])  # type: ignore[attr-defined]
            else:
                kept.append(features)
        if not seen:
            reason = "; ".join(video.warnings) or "no frame decodes"
            raise VideoError(video.path, f"none of the chosen clips can be read ({reason})")
        with account.stage("aggregate"):
            if stepwise:
                logits = self.aggregator.read(state)  # type: ignore[attr-defined]
            else:
                together = torch.cat(kept)[None]  # [1, N, C, T', H', W']
                if self.context is not None:
                    together = self.context(together)
                logits = self.aggregator(together)
        return seen, logits, shape

    def _batches(
        self, video: Video, chosen: Sequence[Clip], account: Account
    ) -> Iterator[tuple[list[Clip], Tensor]]:
        """Yield clips and network input ``[n, 3, T, H, W]``; reading is timed, waiting is not."""
        stream = iter(self._read(video, chosen))
        while True:
            with account.stage("read"):
                batch = list(islice(stream, self.batch_size))
                if not batch:
                    return
                x = torch.stack([frames for _, frames in batch])
                x = x.contiguous(memory_format=torch.channels_last_3d)
            yield [clip for clip, _ in batch], x

    def _read(self, video: Video, chosen: Iterable[Clip]) -> Iterator[tuple[Clip, Tensor]]:
        for clip, frames in video.iter_frames(list(chosen)):
            yield clip, self.encoder.transform(frames)  # [3, T, h, w]

    def _clip_macs(self, shape: tuple[int, ...]) -> int:
        if shape not in self._macs:
            self._macs[shape] = count(self.encoder, shape).macs
        return self._macs[shape]

    def _autocast(self) -> torch.autocast:
        kind = PRECISIONS[self.precision]
        return torch.autocast("cpu", dtype=kind or torch.bfloat16, enabled=kind is not None)

    def _ranked(self, probability: Tensor) -> tuple[Score, ...]:
        names = self.encoder.classes or tuple(f"class {i}" for i in range(len(probability)))
        order = torch.sort(probability, descending=True, stable=True).indices.tolist()
        return tuple(Score(names[i], float(probability[i])) for i in order)
