"""Collaborative memory: Yang et al., "Beyond Short Clips", CVPR 2021, tables 2 to 5."""

from functools import cache

import torch

from vidskim.account import Count, count
from vidskim.cost.papers.counted import PYSLOWFAST_WINDOW, counted
from vidskim.cost.papers.row import PaperRow, Table
from vidskim.model.memory import CollaborativeMemory

PAPER = "Collaborative memory"
SIDE = 256
"""Pixels at test: PySlowFast's, with the network as it is."""

CHANNELS = 2048
"""Of the slow pathway's last map, where the memory acts."""

LAST_MAP = SIDE // 32

CROPS = "one of 30 crops of 256x256; the memory is built in each, as the printed figures ask"
NOT_UNIQUE = (
    "the text does not describe its R(2+1)D-101; PyTorchVideo's layout gives this cost, but so "
    "would others within 0.5 G"
)
CITED = "SlowFast's own R101, with temporal kernels in 6 of the 23 blocks of res4"
PROJECTIONS = (
    "backbone without memory plus four projections of C x C / r; biases and a batch norm behind "
    "them would add up to 0.01 M and bring the last printed digit"
)


@cache
def memory_count(num_frames: int, *, reduction: int = 4) -> Count:
    """Count the memory that runs on one clip of ``num_frames`` slow frames."""
    with torch.device("meta"):
        module = CollaborativeMemory(CHANNELS, reduction=reduction)
    return count(module, (1, 1, CHANNELS, num_frames, LAST_MAP, LAST_MAP))


def crop_macs(name: str, num_frames: int, **options: str) -> int:
    """Count a network of PySlowFast on one crop at test."""
    return counted(name, num_frames, SIDE, SIDE, window=PYSLOWFAST_WINDOW, **options).macs


def memory_rows() -> list[PaperRow]:
    """Return the costs of Tables 3, 4 and 5 and the parameters of Table 2 (c)."""
    k400 = Table(PAPER, "Table 3, one crop")
    k700 = Table(PAPER, "Table 4, one crop")
    charades = Table(PAPER, "Table 5, one crop")
    r50_4x16 = crop_macs("slowfast_r50_4x16", 32)
    r50_16x8 = crop_macs("slowfast_r50_16x8", 64)
    r101_8x8 = crop_macs("slowfast_r101_8x8", 32)
    r101_8x8_nl = crop_macs("slowfast_r101_8x8_nl", 32, nonlocal_pool="2x2x2")
    r101_16x8_nl = crop_macs("slowfast_r101_16x8_nl", 64, nonlocal_pool="2x2x2")
    r2plus1d = counted("r2plus1d_101", 32, SIDE, SIDE).macs
    own = {"res4_kernels": "50_50"}
    own_nl = {**own, "nonlocal_pool": "2x2x2"}
    m4, m8, m16 = (memory_count(n).macs for n in (4, 8, 16))
    return [
        k400.giga("ip-CSN-152 (cited)", 109, counted("ip_csn_152", 32, SIDE, SIDE).macs),
        k400.giga(
            "SlowFast-101 8x8 (cited)", 106, crop_macs("slowfast_r101_8x8", 32, **own), note=CITED
        ),
        k400.giga(
            "SlowFast-101 16x8 (cited)",
            213,
            crop_macs("slowfast_r101_16x8", 64, **own),
            note=CITED,
        ),
        k400.giga(
            "SlowFast-101+NL 16x8 (cited)",
            234,
            crop_macs("slowfast_r101_16x8_nl", 64, **own_nl),
            note=CITED,
        ),
        k400.giga("R(2+1)D-101 32x2 + memory", 243, r2plus1d + m8, note=NOT_UNIQUE),
        k400.giga("SlowFast-101 8x8 + memory", 128, r101_8x8 + m8, note=CROPS),
        k400.giga("SlowFast-101+NL 8x8 + memory", 137, r101_8x8_nl + m8, note=CROPS),
        k700.giga(
            "SlowFast-101+NL 8x8 (cited)",
            115,
            crop_macs("slowfast_r101_8x8_nl", 32, **own_nl),
            note=CITED,
        ),
        k700.giga("SlowFast-50 4x16", 36, r50_4x16, note=CROPS),
        k700.giga("SlowFast-101 8x8", 126, r101_8x8, note=CROPS),
        k700.giga("SlowFast-101+NL 8x8", 135, r101_8x8_nl, note=CROPS),
        k700.giga("SlowFast-50 4x16 + memory", 37, r50_4x16 + m4, note=CROPS),
        k700.giga("SlowFast-101 8x8 + memory", 128, r101_8x8 + m8, note=CROPS),
        k700.giga("SlowFast-101+NL 8x8 + memory", 137, r101_8x8_nl + m8, note=CROPS),
        charades.giga("SlowFast-50 16x8", 131, r50_16x8, note=CROPS),
        charades.giga("SlowFast-101+NL 16x8", 273, r101_16x8_nl, note=CROPS),
        charades.giga("SlowFast-50 16x8 + memory", 135, r50_16x8 + m16, note=CROPS),
        charades.giga("SlowFast-101+NL 16x8 + memory", 277, r101_16x8_nl + m16, note=CROPS),
        *_ablation(),
    ]


def _ablation() -> list[PaperRow]:
    table = Table(PAPER, "Table 2 (c)")
    backbone = counted("slow_r50_8x8", 8, SIDE, SIDE).params
    return [
        table.params(
            f"Slow-only 8x8 + memory, r = {reduction}",
            published,
            backbone + memory_count(8, reduction=reduction).params,
            note=PROJECTIONS,
        )
        for reduction, published in ((1, 49.2), (2, 40.9), (4, 36.7), (8, 34.6))
    ]
