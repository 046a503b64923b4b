"""The one path from a file to an answer: look, select, read, encode, relate, aggregate."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vidskim.aggregate import Average
from vidskim.backbones.contract import Backbone, ClipSpec
from vidskim.cost import Account, count
from vidskim.errors import UsageError, VideoError
from vidskim.look import Look
from vidskim.transforms import Transform
from vidskim.types import Aggregator, ChosenClip, Clip, Context, Prediction, Score
from vidskim.video import Video

PRECISIONS: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16}


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
        look: which clips are looked at closely.
        context: relates the clips of the video to each other; None leaves them alone.
        aggregator: clips to logits; by default the mean of the clips' class probabilities.
        batch_size: clips per forward pass.
        precision: "fp32" or "bf16" (autocast).
        device: where the networks run.
        warnings: said in every answer, for example that weights are random.

    Raises:
        UsageError: an unknown precision, an impossible batch size, a network that takes no clips.
    """

    def __init__(
        self,
        encoder: Backbone,
        *,
        look: Look,
        context: Context | None = None,
        aggregator: Aggregator | None = None,
        batch_size: int = 4,
        precision: str = "fp32",
        device: str | torch.device = "cpu",
        warnings: Sequence[str] = (),
    ) -> None:
        if precision not in PRECISIONS:
            raise UsageError(f"precision must be one of {sorted(PRECISIONS)}, got {precision!r}")
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        if encoder.clip is None or encoder.transform is None:
            raise UsageError(f"{encoder.name} is no clip classifier: it has no clip or transform")
        self.device = torch.device(device)
        if isinstance(encoder, nn.Module):
            encoder.eval().to(self.device)
        self.encoder = encoder
        self.clip: ClipSpec = encoder.clip
        self.transform: Transform = encoder.transform
        self.look = look
        self.context = context
        self.aggregator: Aggregator = aggregator or Average(encoder.classify)
        self.batch_size = batch_size
        self.precision = precision
        self.warnings = tuple(warnings)
        self._macs: dict[tuple[int, ...], int] = {}

    @torch.inference_mode()
    def __call__(self, video: Video | str | Path) -> Prediction:
        """Answer for one video.

        Raises:
            VideoError: the file cannot be read, or no chosen clip of it can.
        """
        if not isinstance(video, Video):
            video = Video(video)
        account = Account(self.device)
        decoded, read = video.stats.frames_decoded, video.stats.bytes_read
        with account.stage("look"):
            choice = self.look(
                video, num_frames=self.clip.num_frames, stride=self.clip.stride, account=account
            )
        seen, logits, clip_macs = self._encode(video, choice.clips, account)
        probability = torch.softmax(logits[0].float(), dim=0).cpu()  # [K]
        account.frames_decoded += video.stats.frames_decoded - decoded
        account.bytes_read += video.stats.bytes_read - read
        scores = choice.scores
        return Prediction(
            video=video.info,
            method=self.look.method,
            model=self.encoder.name,
            predictions=self._ranked(probability),
            clips=tuple(
                ChosenClip(c, None if scores is None else float(scores[c.index]), self.encoder.name)
                for c in seen
            ),
            saliency=None if scores is None else tuple(scores.tolist()),
            cost=account.to_cost(dense_macs=clip_macs * len(choice.grid)),
            warnings=tuple(dict.fromkeys([*self.warnings, *video.warnings])),
        )

    def _encode(
        self, video: Video, chosen: Sequence[Clip], account: Account
    ) -> tuple[list[Clip], Tensor, int]:
        """Encode clips batch by batch; return those seen, the logits and the MACs of one clip."""
        aggregator = self.aggregator
        stepwise = isinstance(aggregator, StepwiseAggregator) and self.context is None
        state = aggregator.start() if isinstance(aggregator, StepwiseAggregator) else None
        kept: list[Tensor] = []
        seen: list[Clip] = []
        clip_macs = 0
        for clips, x in self._batches(video, chosen, account):
            clip_macs = self._count(x)
            with account.stage("encode"), self._autocast():
                features = self.encoder.features(x)  # [n, C, T', H', W']
            account.add_macs(clip_macs * len(clips), stage="encode")
            seen += clips
            if stepwise and isinstance(aggregator, StepwiseAggregator):
                with account.stage("aggregate"):
                    state = aggregator.step(state, features[None])
            else:
                kept.append(features)
        if not seen:
            reason = "; ".join(video.warnings) or "no frame decodes"
            raise VideoError(video.path, f"none of the chosen clips can be read ({reason})")
        with account.stage("aggregate"):
            if stepwise and isinstance(aggregator, StepwiseAggregator):
                return seen, aggregator.read(state), clip_macs
            together = torch.cat(kept)[None]  # [1, N, C, T', H', W']
            if self.context is not None:
                together = self.context(together)
            return seen, aggregator(together), clip_macs

    def _batches(
        self, video: Video, chosen: Sequence[Clip], account: Account
    ) -> Iterator[tuple[list[Clip], Tensor]]:
        """Yield clips and network input ``[n, 3, T, h, w]``; reading is timed, waiting is not."""
        stream = ((clip, self.transform(x)) for clip, x in video.iter_frames(list(chosen)))
        while True:
            with account.stage("read"):
                batch = list(islice(stream, self.batch_size))
                if not batch:
                    return
                x = torch.stack([frames for _, frames in batch]).to(self.device)
                x = x.contiguous(memory_format=torch.channels_last_3d)
            yield [clip for clip, _ in batch], x

    def _count(self, x: Tensor) -> int:
        """Return the MACs of one clip of a batch's shape."""
        shape = (1, *x.shape[1:])
        if shape not in self._macs:
            assert isinstance(self.encoder, nn.Module)
            self._macs[shape] = count(self.encoder, shape).macs
        return self._macs[shape]

    def _autocast(self) -> torch.autocast:
        kind = PRECISIONS[self.precision]
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=kind is not None)

    def _ranked(self, probability: Tensor) -> tuple[Score, ...]:
        names = self.encoder.classes or tuple(f"class {i}" for i in range(len(probability)))
        order = torch.sort(probability, descending=True, stable=True).indices.tolist()
        return tuple(Score(names[i], float(probability[i])) for i in order)
