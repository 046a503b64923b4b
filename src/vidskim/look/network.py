"""A trained network as a `Saliency`: inputs to scores, averaged over each clip's inputs.

The three objectives of SCSampler end in two readings of a network's output::

    AC               s(clip) = max_c mean_p softmax(g(input_p))_c        (section 3.2.1)
    SAL-CL, -RANK    s(clip) = mean_p sigmoid(g(input_p))                (section 3.2.2)
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vidskim.errors import CheckpointError, unknown_name
from vidskim.look.packets import PacketSaliency
from vidskim.look.sources import LogMels, Source, read_together
from vidskim.types import Clip
from vidskim.video import Video

Objective = Literal["ac", "sal_cl", "sal_rank"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
"""Action classification, saliency classification, saliency ranking."""

NO_VECTORS = "no motion vectors in this file: clips were scored by packet sizes instead"
NO_SOUND = "no sound in this file: clips were scored by what is seen alone"
NOTHING_SEEN = "nothing to look at in this file: clips were scored by packet sizes instead"


class NetworkSaliency:
    """SCSampler's saliency from one network and one source.

    Args:
        network: inputs ``[P, C, h, w]`` to logits: one per class for the objective "ac", a single
            one for the others.
        source: what it looks at.
        objective: what it was trained for, one of `OBJECTIVES`; tells how its output is read.
        joint: trained together with a network of the other modality, so that the mean of both is
            what was trained.

    Raises:
        UsageError: an unknown objective.
    """

    def __init__(
        self,
        network: nn.Module,
        source: Source,
        *,
        objective: str = "ac",
        joint: bool = False,
    ) -> None:
        if objective not in OBJECTIVES:
            raise unknown_name("objective", objective, OBJECTIVES)
        self.network = network.eval()
        self.source = source
        self.objective = objective
        self.joint = joint

    @property
    def kind(self) -> str:
        """The kind of source, by which the scores are told apart."""
        return self.source.kind

    def read_out(self, logits: Tensor) -> Tensor:
        """Map logits ``[P, K]`` to what is averaged over a clip: ``[P, K]`` or ``[P, 1]``."""
        if self.objective == "ac":
            return torch.softmax(logits.float(), dim=1)
        return torch.sigmoid(logits.float())

    def outputs(self, inputs: Tensor) -> Tensor:
        """Map inputs ``[P, C, h, w]`` to what is averaged over a clip, on the CPU."""
        device = next(self.network.parameters()).device
        return self.read_out(self.network(inputs.to(device))).cpu()

    def __call__(self, video: Video, clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]`` in [0, 1].

        Clips without any input get the mean score of the others; a video without any is scored by
        its packet sizes, and a warning says so.

        Raises:
            VideoError: the file cannot be read.
            CheckpointError: the network answers with something that is no number.
        """
        (scores,) = score_together(video, clips, [self])
        if scores is not None:
            return scores
        told = {"motion": NO_VECTORS, "residual": NO_VECTORS, "audio": NO_SOUND}
        warn(video, told.get(self.kind, NOTHING_SEEN))
        return PacketSaliency()(video, clips)


def check_takes(network: nn.Module, source: Source) -> None:
    """Try, without any arithmetic, whether a network takes the inputs of a source.

    Raises:
        CheckpointError: they are too small for it, or of another shape than it was made for.
    """
    if isinstance(source, LogMels):
        size: tuple[int, int] | None = (source.num_mels, source.num_steps)
    else:
        size = getattr(source, "size", None)
    if size is None:
        return  # as large as the video makes them
    named = [*network.named_parameters(), *network.named_buffers()]
    shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in named}
    inputs = torch.empty(2, source.channels, *size, device="meta")
    try:
        torch.func.functional_call(network, shapes, (inputs,))
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split("\n")[0].split())
        raise CheckpointError(
            f"the network cannot take {source.kind} input of {size[0]} x {size[1]} ({reason})"
        ) from None


@torch.inference_mode()
def score_together(
    video: Video, clips: Sequence[Clip], saliencies: Sequence[NetworkSaliency]
) -> list[Tensor | None]:
    """Score clips by several networks in as few passes over the file as their sources need.

    Args:
        video: the file.
        clips: any clips of it.
        saliencies: the networks.

    Returns:
        Scores ``[N]`` in [0, 1] of each network, None for one whose source gives nothing.

    Raises:
        VideoError: the file cannot be read.
        CheckpointError: a network answers with something that is no number.
    """
    tallies = [_Tally(len(clips)) for _ in saliencies]
    sources = [saliency.source for saliency in saliencies]
    total = len(clips) * len(saliencies)
    with tqdm(desc="looking", total=total, leave=False, delay=2, disable=None) as bar:
        for n, inputs, owner in read_together(video, clips, sources):
            tallies[n].add(saliencies[n].outputs(inputs), owner)
            bar.update(len(set(owner.tolist())))
    return [tally.scores() for tally in tallies]


def mean_per_clip(values: Tensor, *, clip_index: Tensor, num_clips: int) -> tuple[Tensor, Tensor]:
    """Average rows that belong to one clip.

    Args:
        values: ``[P, ...]``.
        clip_index: ``[P]``, the clip each row belongs to.
        num_clips: N.

    Returns:
        Means ``[N, ...]`` (0 where a clip has no row) and the number of rows ``[N]``.
    """
    count = torch.zeros(num_clips).index_add_(0, clip_index, torch.ones(len(clip_index)))
    total = torch.zeros(num_clips, *values.shape[1:]).index_add_(0, clip_index, values.float())
    return total / count.clamp_min(1).reshape(-1, *[1] * (values.ndim - 1)), count


def fill_unseen(scores: Tensor, seen: Tensor) -> Tensor:
    """Give clips that were not seen, ``[N]`` bool, the mean score of the others."""
    return torch.where(seen, scores, scores[seen].mean())


def warn(video: Video, text: str) -> None:
    """Tell something of a video, once."""
    if text not in video.warnings:
        video.warnings.append(text)


class _Tally:
    """The sums over each clip's inputs, while they come."""

    def __init__(self, num_clips: int) -> None:
        self.count = torch.zeros(num_clips)
        self.total: Tensor | None = None

    def add(self, values: Tensor, owner: Tensor) -> None:
        """Add outputs ``[P, K]`` to their clips ``[P]``."""
        if self.total is None:
            self.total = torch.zeros(len(self.count), values.shape[1])
        self.total.index_add_(0, owner, values)
        self.count.index_add_(0, owner, torch.ones(len(owner)))

    def scores(self) -> Tensor | None:
        """Return the scores ``[N]``, None if nothing was ever added."""
        if self.total is None:
            return None
        scores = (self.total / self.count.clamp_min(1)[:, None]).amax(dim=1)
        if not scores.isfinite().all():
            raise CheckpointError(
                "the saliency network answers with something that is no number; its weights are "
                "damaged, give others"
            )
        return fill_unseen(scores, self.count > 0)
