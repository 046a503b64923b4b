"""The stages of SlowFast, which keep two pathways side by side: slow and fast.

Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019, section 3.
"""

import torch
from torch import Tensor, nn

from vidskim.errors import UsageError


class Pathways(nn.Module):
    """One stage of both pathways; then the fast one is added to the slow one's channels.

    Args:
        slow: of the slow pathway.
        fast: of the fast pathway.
        fuse: from the fast map to what joins the slow map, at its frame rate; None for none.
    """

    def __init__(self, slow: nn.Module, fast: nn.Module, *, fuse: nn.Module | None) -> None:
        super().__init__()
        self.slow = slow
        self.fast = fast
        self.fuse = fuse

    def forward(self, maps: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Map (slow ``[N, C, T, H, W]``, fast ``[N, c, alpha T, H, W]``) to the same pair."""
        slow, fast = self.slow(maps[0]), self.fast(maps[1])
        if self.fuse is not None:
            slow = torch.cat((slow, self.fuse(fast)), dim=1)
        return slow, fast


class PathwayStem(Pathways):
    """The first stage: takes the fast clip and picks the slow frames.

    Args:
        slow: of the slow pathway.
        fast: of the fast pathway.
        fuse: from the fast map to what joins the slow map.
        alpha: fast frames per slow one.
        name: of the network, for errors.
        regular_frames: pick every alpha-th frame, the first among them, not `slow_indices`.
    """

    def __init__(
        self,
        slow: nn.Module,
        fast: nn.Module,
        *,
        fuse: nn.Module,
        alpha: int,
        name: str,
        regular_frames: bool = False,
    ) -> None:
        super().__init__(slow, fast, fuse=fuse)
        self.alpha = alpha
        self.regular_frames = regular_frames
        self.name = name

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Map clips ``[N, 3, T, H, W]`` to (slow, fast).

        Raises:
            UsageError: T is no multiple of alpha.
        """
        if x.shape[2] % self.alpha:
            raise UsageError(
                f"{self.name} takes {self.alpha} fast frames for each slow one: give a multiple of "
                f"{self.alpha} frames, got {x.shape[2]}"
            )
        slow = x.index_select(2, self.slow_indices(x.shape[2]).to(x.device))
        return super().forward((slow, x))

    def slow_indices(self, num_frames: int) -> Tensor:
        """Return which of so many frames the slow pathway sees, int64 ``[T / alpha]``."""
        if self.regular_frames:
            return torch.arange(0, num_frames, self.alpha, device="cpu")
        return slow_indices(num_frames, alpha=self.alpha)


class JoinedPathways(Pathways):
    """The last stage: one map at the slow frame rate."""

    def __init__(self, slow: nn.Module, fast: nn.Module, *, alpha: int) -> None:
        super().__init__(slow, fast, fuse=None)
        self.alpha = alpha

    def forward(self, maps: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        """Map (slow, fast) to ``[N, C + c, T, H, W]``, slow channels first.

        Each alpha consecutive frames of the fast map are averaged, so that the mean over the joined
        map is that of each pathway, what the head takes.
        """
        slow, fast = super().forward(maps)
        N, c, T, H, W = fast.shape
        per_slow_frame = fast.reshape(N, c, T // self.alpha, self.alpha, H, W)
        return torch.cat((slow, per_slow_frame.mean(3)), dim=1)


def slow_indices(num_frames: int, *, alpha: int) -> Tensor:
    """Pick T / alpha frames of T, the first and the last among them, as PySlowFast does.

    Args:
        num_frames: T.
        alpha: frames that one is picked of.
    """
    # always on the CPU: another device may round to the neighboring frame
    return torch.linspace(0, num_frames - 1, num_frames // alpha, device="cpu").long()
