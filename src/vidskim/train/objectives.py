"""What is optimized: networks to the score of a clip, and the loss of each objective on it."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from vidskim.backbones.network import Network
from vidskim.look.network import NetworkSaliency
from vidskim.train.losses import clip_scores, mean_action_loss, membership_loss, ranking_loss

Loss = Callable[[Tensor, Tensor], Tensor]


class HeadOnly(nn.Module):
    """A network of which only the head is trained; norms in the rest keep their statistics.

    Args:
        network: whose other parameters are excluded from training.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        for stage in network.stage_modules():
            stage.requires_grad_(False)

    def train(self, mode: bool = True) -> "HeadOnly":
        """Switch the head; the stages stay as in use."""
        super().train(mode)
        for stage in self.network.stage_modules():
            stage.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs ``[P, C, h, w]`` to logits ``[P, K]``."""
        with torch.no_grad():
            features = self.network.features(x)
        return self.network.classify(features)


class ClipScore(nn.Module):
    """The score of clips as a sampler gives it, from one network or several at once.

    Each network's output is read and averaged over the clip's inputs as in use
    (`NetworkSaliency.read_out`); several visual networks are averaged, then sight and sound
    (SCSampler, section 3.3.3: joint training).

    Args:
        networks: inputs ``[P, C, h, w]`` to logits.
        saliencies: how each network's output is read, and which source it has.
        num_inputs: inputs per clip of each.
        as_classes: give mean class probabilities instead of scores, for the objective AC.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        saliencies: Sequence[NetworkSaliency],
        *,
        num_inputs: Sequence[int],
        as_classes: bool = False,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._read = [saliency.read_out for saliency in saliencies]
        self._is_audio = [saliency.kind == "audio" for saliency in saliencies]
        self.num_inputs = tuple(num_inputs)
        self.as_classes = as_classes

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map inputs ``[B * n, C, h, w]`` of each network to ``[B]``, or ``[B, K]`` classes."""
        sight: list[Tensor] = []
        sound: list[Tensor] = []
        columns = zip(inputs, self.networks, self._read, self._is_audio, self.num_inputs)
        for x, network, read, is_audio, number in columns:
            values = clip_scores(read(network(x)), num_inputs=number)  # [B, K]
            score = values if self.as_classes else values.amax(dim=1)
            (sound if is_audio else sight).append(score)
        modalities = [torch.stack(scores).mean(0) for scores in (sight, sound) if scores]
        return torch.stack(modalities).mean(0)


def loss_of(objective: str, *, clips_per_video: int, margin: float) -> Loss:
    """Return the loss on what `ClipScore` gives and the truth of the clips.

    Args:
        objective: "ac", "sal_cl" or "sal_rank".
        clips_per_video: clips of one video that are neighbors in a batch.
        margin: of "sal_rank".
    """
    if objective == "ac":
        return mean_action_loss
    if objective == "sal_cl":
        return membership_loss
    return partial(_ranking, clips_per_video=clips_per_video, margin=margin)


def _ranking(scores: Tensor, truth: Tensor, *, clips_per_video: int, margin: float) -> Tensor:
    return ranking_loss(
        scores.reshape(-1, clips_per_video), truth.reshape(-1, clips_per_video), margin=margin
    )
