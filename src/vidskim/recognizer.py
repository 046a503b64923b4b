"""The one path from a file to an answer: look, select, read, encode, relate, aggregate."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vidskim.aggregate import Average
from vidskim.backbones.contract import Backbone, ClipSpec, Features
from vidskim.cost import Account, MacCounter, count
from vidskim.errors import CheckpointError, UsageError, VideoError
from vidskim.fast import FastBackbone
from vidskim.look import Choice, Look
from vidskim.precision import PRECISIONS, check_precision, resolve
from vidskim.selection import uniform
from vidskim.transforms import Transform
from vidskim.types import Aggregator, ChosenClip, Clip, Context, Prediction, Score
from vidskim.video import Video
from vidskim.views import check_crops, fold, views_of


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a classifier comes from: the name answers give it, and what they must warn of."""

    model: str
    warnings: tuple[str, ...] = ()


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
        encoder: a clip classifier, unmodified; its clip length, stride and transform are used. A
            `vidskim.fast.FastBackbone` runs on the CPU in its own precision.
        look: which clips are looked at closely.
        context: relates the clips of the video to each other; None leaves them alone.
        aggregator: clips to logits; by default the mean of the clips' class probabilities.
        num_crops: crops of each clip, 1 or 3 along its longer side. The clips of one crop are
            related and aggregated like those of one video; the answer is the mean probability of
            the crops (the papers' "10 clips x 3 crops" is k = 10 and num_crops = 3).
        batch_size: views (clips x crops) per forward pass.
        precision: "fp32", "bf16" (autocast of the encoder; what follows it is float32), or "auto",
            the faster of both as `vidskim.precision` measures it.
        device: where the networks run.
        origin: what the answers call the classifier; by default the encoder's name.

    Raises:
        UsageError: an unknown precision or device, an impossible batch size or number of crops, a
            network that takes no clips.
    """

    def __init__(
        self,
        encoder: Backbone,
        *,
        look: Look,
        context: Context | None = None,
        aggregator: Aggregator | None = None,
        num_crops: int = 1,
        batch_size: int = 4,
        precision: str = "fp32",
        device: str | torch.device = "cpu",
        origin: Origin | None = None,
    ) -> None:
        check_precision(precision)
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        if encoder.clip is None or encoder.transform is None:
            raise UsageError(f"{encoder.name} is no clip classifier: it has no clip or transform")
        check_crops(num_crops, encoder.transform)
        elsewhere = precision != "fp32" or str(device) != "cpu"
        own_precision = encoder.precision if isinstance(encoder, FastBackbone) else None
        if own_precision is not None and elsewhere:
            raise UsageError(
                f"{encoder.name} was compiled for the CPU in a precision of its own: leave "
                f"precision {precision!r} and device {str(device)!r} out"
            )
        assert isinstance(encoder, nn.Module)
        self.device = usable_device(device)
        encoder.eval()
        for part in (encoder, context, aggregator):
            if isinstance(part, nn.Module):
                part.to(self.device)
        self.encoder: Backbone = encoder
        self.clip: ClipSpec = encoder.clip
        self.transform: Transform = encoder.transform
        self.look = look
        self.context = context
        self.aggregator = Average(encoder.classify) if aggregator is None else aggregator
        self.num_crops = num_crops
        self.batch_size = batch_size
        self.precision = own_precision or resolve(precision, encoder, device=self.device)
        self.origin = Origin(encoder.name) if origin is None else origin
        self._macs: dict[tuple[int, ...], _ClipMacs] = {}
        self._count(self.clip.input_shape)  # the counter's own start-up belongs to no video

    def with_look(self, look: Look) -> "Recognizer":
        """Return the same recognizer with another look; networks and counts are shared."""
        other = copy.copy(self)
        other.look = look
        return other

    @torch.inference_mode()
    def __call__(self, video: Video | str | Path) -> Prediction:
        """Answer for one video.

        Raises:
            VideoError: the file cannot be read, or no clip of it can.
            CheckpointError: the networks answer with something that is no number.
        """
        if not isinstance(video, Video):
            video = Video(video)
        account = Account(self.device)
        decoded, read = video.stats.frames_decoded, video.stats.bytes_read
        with account.stage("look"):
            info = video.info
            choice = self.look(
                video, num_frames=self.clip.num_frames, stride=self.clip.stride, account=account
            )
        answer = self._encode(video, choice.clips, account)
        if answer is None:
            answer = self._encode(video, _others(choice), account)
            if answer is not None:
                video.warnings.append(
                    "none of the chosen clips can be read: others were seen instead"
                )
        if answer is None:
            reason = "; ".join(video.warnings) or "no frame decodes"
            raise VideoError(video.path, f"none of its clips can be read ({reason})")
        shares = torch.softmax(answer.logits.float(), dim=1)  # [V, K]
        probability = fold(shares, num_crops=self.num_crops)[0].cpu()  # [K]
        if not probability.isfinite().all():
            raise CheckpointError(
                f"{self.origin.model}: answers with something that is no number; its weights are "
                "damaged, give others"
            )
        account.frames_decoded += video.stats.frames_decoded - decoded
        account.bytes_read += video.stats.bytes_read - read
        scores = choice.scores
        return Prediction(
            video=info,
            method=self.look.method,
            model=self.origin.model,
            predictions=self._ranked(probability),
            clips=tuple(
                ChosenClip(c, None if scores is None else float(scores[c.index]), self.encoder.name)
                for c in answer.seen
            ),
            saliency=None if scores is None else tuple(scores.tolist()),
            cost=account.to_cost(dense_macs=answer.clip_macs * len(choice.grid)),
            num_crops=self.num_crops,
            precision=self.precision,
            parts={name: _told(part) for name, part in choice.parts.items()} or None,
            warnings=tuple(dict.fromkeys([*self.origin.warnings, *video.warnings])),
        )

    def _encode(self, video: Video, chosen: Sequence[Clip], account: Account) -> "_Answer | None":
        """Encode clips batch by batch; None if not one of them can be read."""
        aggregator = self.aggregator
        steps: StepwiseAggregator | None = None
        if self.context is None and isinstance(aggregator, StepwiseAggregator):
            steps = aggregator
        state = None if steps is None else steps.start()
        kept: list[Tensor] = []
        seen: list[Clip] = []
        clip_macs = 0
        for clips, x in self._batches(video, chosen, account):
            macs = self._count((1, *x.shape[1:]))
            clip_macs = macs.whole * self.num_crops
            with account.stage("encode"):
                with self._autocast():
                    features = self.encoder.features(x)  # [n * V, C, T', H', W']
                features = features.float().reshape(-1, self.num_crops, *features.shape[1:])
                features = features.transpose(0, 1)  # [V, n, C, T', H', W']: crops as videos
            account.add_macs(macs.features * len(x), stage="encode")
            seen += clips
            if steps is None:
                kept.append(features)
                continue
            with account.stage("aggregate"), MacCounter() as counter:
                state = steps.step(state, features)
            account.add_macs(counter.macs, stage="aggregate")
        if not seen:
            return None
        with account.stage("aggregate"), MacCounter() as counter:
            if steps is not None:
                logits = steps.read(state)
            else:
                together = torch.cat(kept, dim=1)  # [V, N, C, T', H', W']
                if self.context is not None:
                    together = self.context(together)
                logits = aggregator(together)
        account.add_macs(counter.macs, stage="aggregate")
        return _Answer(tuple(seen), logits, clip_macs)

    def _batches(
        self, video: Video, chosen: Sequence[Clip], account: Account
    ) -> Iterator[tuple[list[Clip], Tensor]]:
        """Yield clips and network input ``[n * V, 3, T, h, w]``; reading is timed, waiting is not.

        Batches are of nearly equal size: on a CPU torch takes several times longer for the clip of
        a batch of one than for one of two, where a network is narrow.
        """
        count = -(-len(chosen) // max(1, self.batch_size // self.num_crops))
        sizes = [len(chosen) * (i + 1) // count - len(chosen) * i // count for i in range(count)]
        stream = self._inputs(video, chosen)
        with tqdm(
            desc="recognizing", total=len(chosen), unit="clip", leave=False, delay=2, disable=None
        ) as bar:
            for size in sizes:
                with account.stage("read"):
                    batch = list(islice(stream, size))
                    if not batch:
                        return
                    x = torch.cat([views for _, views in batch]).to(self.device)
                    x = x.contiguous(memory_format=torch.channels_last_3d)
                yield [clip for clip, _ in batch], x
                bar.update(len(batch))
            with account.stage("read"):
                next(stream, None)  # to its end, where the reader tells what was damaged

    def _inputs(self, video: Video, chosen: Sequence[Clip]) -> Iterator[tuple[Clip, Tensor]]:
        """Yield clips and network input ``[V, 3, T, h, w]``, one clip of full size at a time."""
        for clip, frames in video.iter_frames(list(chosen)):
            x = views_of(frames, transform=self.transform, num_crops=self.num_crops)
            del frames  # before the next clip is read: 44 MB at 1280x720
            yield clip, x

    def _count(self, shape: tuple[int, ...]) -> "_ClipMacs":
        """Return the MACs of one clip of a shape ``(1, 3, T, h, w)``."""
        if shape not in self._macs:
            assert isinstance(self.encoder, nn.Module)
            self._macs[shape] = _ClipMacs(
                whole=count(self.encoder, shape).macs,
                features=count(Features(self.encoder), shape).macs,
            )
        return self._macs[shape]

    def _autocast(self) -> torch.autocast:
        kind = PRECISIONS.get(self.precision)
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=kind is not None)

    def _ranked(self, probability: Tensor) -> tuple[Score, ...]:
        names = self.encoder.classes
        if names is None or len(names) != len(probability):
            names = tuple(f"class {i}" for i in range(len(probability)))
        order = torch.sort(probability, descending=True, stable=True).indices.tolist()
        return tuple(Score(names[i], float(probability[i])) for i in order)


def usable_device(name: str | torch.device) -> torch.device:
    """Return a device that tensors can be put on.

    Raises:
        UsageError: there is no such device here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"device {str(name)!r} cannot be used here ({reason}): try 'cpu'"
        ) from None
    return device


@dataclass(frozen=True, slots=True)
class _Answer:
    """Clips that were read, logits per crop ``[V, K]``, MACs of the whole classifier on a clip."""

    seen: tuple[Clip, ...]
    logits: Tensor
    clip_macs: int


@dataclass(frozen=True, slots=True)
class _ClipMacs:
    """MACs of the whole classifier on one clip, and of its convolutional part."""

    whole: int
    features: int


def _told(part: Tensor) -> tuple[float | None, ...]:
    """Return scores ``[N]``, None for clips that were not seen."""
    return tuple(None if x != x else x for x in part.tolist())


def _others(choice: Choice) -> tuple[Clip, ...]:
    """Return as many other clips as were chosen, spread evenly, for where those cannot be read."""
    chosen = set(choice.chosen)
    rest = [clip for clip in choice.grid if clip.index not in chosen]
    return tuple(rest[i] for i in uniform(len(rest), k=max(1, len(chosen))))
