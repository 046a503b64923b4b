"""What a memory can learn and no mean over clips can: which two moments occur together."""

import pytest
import torch
from torch import Tensor, nn

from vidskim.data.make.synthetic import PAIRS
from vidskim.model.memory import CollaborativeMemory
from vidskim.train.video_loss import video_loss

CHANNELS = 32
MOTIONS = sorted({motion for pairs in PAIRS.values() for pair in pairs for motion in pair})
KINDS = torch.tensor(
    [[[MOTIONS.index(motion) for motion in pair] for pair in pairs] for pairs in PAIRS.values()]
)  # [3 classes, 2 pairs, 2]


def draw(generator: torch.Generator, looks: Tensor, *, size: int = 32) -> tuple[Tensor, Tensor]:
    """Return maps of three clips ``[B, 3, C, 1, 1, 1]``, two moments and one of nothing."""
    target = torch.randint(len(PAIRS), (size,), generator=generator)
    pairs = KINDS[target, torch.randint(2, (size,), generator=generator)]
    kinds = torch.cat([pairs, torch.full((size, 1), len(MOTIONS))], dim=1)
    order = torch.rand(size, 3, generator=generator).argsort(1)
    seen = looks[kinds.gather(1, order)]
    noise = 0.1 * torch.randn(seen.shape, generator=generator)
    return (seen + noise).relu()[..., None, None, None], target


def accuracy_of(memory: nn.Module) -> float:
    """Train memory and classifier with the video-level loss; return how many videos are right."""
    generator = torch.Generator().manual_seed(0)
    looks = torch.randn(len(MOTIONS) + 1, CHANNELS, generator=generator).relu()
    classifier = nn.Linear(CHANNELS, len(PAIRS))
    optimizer = torch.optim.AdamW([*memory.parameters(), *classifier.parameters()], lr=1e-2)
    for _ in range(200):
        x, target = draw(generator, looks)
        loss = video_loss(classifier(memory(x).flatten(2)), target, alpha=0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, target = draw(generator, looks, size=600)
    with torch.inference_mode():
        guess = classifier(memory(x).flatten(2)).mean(1).argmax(1)
    return (guess == target).double().mean().item()


@pytest.mark.parametrize(
    ("interaction", "infusion"),
    [("associative", "gating"), ("associative", "residual"), ("average", "gating")],
)
def test_a_memory_learns_which_moments_occur_together(interaction, infusion):
    torch.manual_seed(0)
    memory = CollaborativeMemory(CHANNELS, interaction=interaction, infusion=infusion)
    assert accuracy_of(memory) > 0.9


def test_no_mean_over_clips_does():
    """Nor does adding the mean of all clips to each: that is linear, too."""
    torch.manual_seed(0)
    bound = 2 / 3 + 0.05
    assert accuracy_of(nn.Identity()) < bound
    assert (
        accuracy_of(CollaborativeMemory(CHANNELS, interaction="average", infusion="residual"))
        < bound
    )
