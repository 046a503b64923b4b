"""FASTER: Zhu et al., "FASTER Recurrent Networks for Efficient Video Classification", AAAI 2020."""

from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from vidskim.account import Count, count
from vidskim.cost.papers.counted import I3D_108, counted
from vidskim.cost.papers.row import PaperRow, Table
from vidskim.model.aggregate.fast_gru import FastGruCell

PAPER = "FASTER"
NUM_FRAMES = 256
"""Frames of a video that are looked at: clips x frames of a clip."""

SIDE = 224

TABLE_4 = {
    0: (982.4, 980.2, 979.2),
    1: (553.6, 552.0, 550.4),
    3: (339.2, 337.6, 336.0),
    7: (230.4, 230.4, 228.8),
    15: (176.0, 176.0),
    31: (150.4,),
}
"""Cheap clips after each expensive one, to GFLOPs at 8, 16 and 32 frames a clip."""

ROUNDED = (
    "ours as the paper prints it: the mean over the clips, rounded to one digit, times the clips "
    "(one FAST-GRU step per clip after the first)"
)
MISPRINT_6_0 = (
    "a misprint of 6.3: 8 and 32 frames cost 3.2 and 12.7, and the 16-frame cells of Table 4 fit "
    "6.33 only"
)
MISPRINT_980_2 = (
    "a misprint of 980.8: by the rule of the other 14 cells of this table 980.2 cannot be printed, "
    "being no multiple of 16 x 0.1"
)


class FastGruStep(nn.Module):
    """The step of FAST-GRU that runs in `vidskim.model.aggregate`, on two maps joined."""

    def __init__(self, channels: int = 2048, *, reduction: int = 4) -> None:
        super().__init__()
        self.cell = FastGruCell(channels, reduction=reduction)

    def forward(self, joined: Tensor) -> Tensor:
        """Map ``[N, 2 C, T, H, W]`` (clip, state) to the new state ``[N, C, T, H, W]``."""
        clip, state = joined.chunk(2, dim=1)
        return cast(Tensor, self.cell(clip, state))


def clip_macs(name: str, num_frames: int) -> int:
    """Count a backbone on one clip."""
    return counted(name, num_frames, SIDE, SIDE).macs


@cache
def fast_gru_count(num_frames: int) -> Count:
    """Count one FAST-GRU step on the maps of clips of this length."""
    with torch.device("meta"):
        step = FastGruStep()
    return count(step, (1, 2 * 2048, num_frames // 8, SIDE // 32, SIDE // 32))


def video_macs(num_frames: int, *, cheap_per_expensive: int, expensive: str = "r2plus1d_50") -> int:
    """Count a video of 256 frames in clips of ``num_frames``, aggregated by FAST-GRU."""
    num_clips = NUM_FRAMES // num_frames
    num_expensive = num_clips // (1 + cheap_per_expensive)
    return (
        num_expensive * clip_macs(expensive, num_frames)
        + (num_clips - num_expensive) * clip_macs("r2d_26", num_frames)
        + (num_clips - 1) * fast_gru_count(num_frames).macs
    )


def as_printed(macs: int, *, num_clips: int) -> float:
    """Round as the paper does: N x round(total / N, 1) in 1e9."""
    return num_clips * round(macs / 1e9 / num_clips, 1) * 1e9


def faster_rows() -> list[PaperRow]:
    """Return the costs of Tables 2, 4, 5, 6 and 7, Figure 3 and the text."""
    return [*_backbones(), *_ratios(), *_others()]


def _backbones() -> list[PaperRow]:
    table = Table(PAPER, "Table 2, one clip")
    published = {
        ("R2D-26", "r2d_26"): (3.2, 6.0, 12.7),
        ("R(2+1)D-50", "r2plus1d_50"): (30.0, 60.0, 119.9),
    }
    return [
        table.giga(
            f"{label}, {num_frames} frames",
            figure,
            clip_macs(name, num_frames),
            note=MISPRINT_6_0 if figure == 6.0 else "",
        )
        for (label, name), figures in published.items()
        for num_frames, figure in zip((8, 16, 32), figures, strict=True)
    ]


def _ratios() -> list[PaperRow]:
    table = Table(PAPER, "Table 4, one video")
    rows = []
    for cheap, figures in TABLE_4.items():
        for num_frames, figure in zip((8, 16, 32), figures, strict=False):
            num_clips = NUM_FRAMES // num_frames
            macs = video_macs(num_frames, cheap_per_expensive=cheap)
            pattern = f"1:{cheap}" if cheap else "all E"
            rows.append(
                table.giga(
                    f"{pattern}, {num_clips} clips of {num_frames} frames",
                    figure,
                    as_printed(macs, num_clips=num_clips),
                    note=MISPRINT_980_2 if figure == 980.2 else ROUNDED,
                )
            )
    return rows


def _others() -> list[PaperRow]:
    runtime = Table(PAPER, "Table 5, one video")
    r3d = Table(PAPER, "Table 6, one video")
    art = Table(PAPER, "Table 7, one clip")
    all_expensive = 8 * clip_macs("r2plus1d_50", 32)
    i3d = counted("i3d_rgb", 64, SIDE, SIDE).macs
    faster_16 = video_macs(16, cheap_per_expensive=7)
    faster_32 = video_macs(32, cheap_per_expensive=1, expensive="r3d_50")
    return [
        runtime.giga("all C, average", 101.3, 8 * clip_macs("r2d_26", 32)),
        runtime.giga("all E, average", 959.3, all_expensive),
        runtime.giga("FASTER32", 550.4, video_macs(32, cheap_per_expensive=1)),
        r3d.giga("R(2+1)D-50, all E, average", 959.3, all_expensive),
        r3d.giga("R(2+1)D-50, 1:1", 550.4, video_macs(32, cheap_per_expensive=1)),
        r3d.giga("R(2+1)D-50, 1:3", 336.0, video_macs(32, cheap_per_expensive=3)),
        r3d.giga("R3D-50, all E, average", 942.7, 8 * clip_macs("r3d_50", 32)),
        r3d.giga("R3D-50, 1:1", 542.1, faster_32),
        r3d.giga("R3D-50, 1:3", 331.9, video_macs(32, cheap_per_expensive=3, expensive="r3d_50")),
        art.giga("I3D (cited)", 108, i3d, note=I3D_108),
        art.giga("R(2+1)D-34 (cited)", 152, counted("r2plus1d_34", 32, 112, 112).macs),
        art.giga("FASTER16, mean of 16 clips", 14.4, faster_16 / 16),
        art.giga("FASTER32 with R3D-50, mean of 8 clips", 67.7, faster_32 / 8),
        Table(PAPER, "text on Table 7").giga(
            "I3D (cited), 4 clips",
            432,
            4 * 108e9,
            note=f"four times the cited 108, arithmetic only; counted it is {4 * i3d / 1e9:.1f}",
        ),
        Table(PAPER, "text on Figure 3").giga(
            "all E, average, 4 clips of 8 frames", 119, 4 * clip_macs("r2plus1d_50", 8)
        ),
    ]
