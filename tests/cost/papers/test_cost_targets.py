"""The cost of every network of the papers, to the last multiply-add.

The integers were found before this code was written, from the papers' tables alone: each network
was put together from its description and counted. They are compared with ==.
"""

from collections.abc import Callable

import pytest
import torch

from vidskim.account import Count
from vidskim.cost.model import cost_of
from vidskim.cost.papers.compression import sfc
from vidskim.cost.papers.counted import counted
from vidskim.cost.papers.faster import fast_gru_count
from vidskim.cost.papers.memory import memory_count
from vidskim.model.compression import Kernel, TemporalCompression

TARGETS: dict[str, dict[str, int]] = {
    "faster/r2d_26/8x224x224": {"macs": 3_167_125_504, "params": 14_831_632},
    "faster/r2plus1d_50/8x224x224": {"macs": 29_980_276_736, "params": 46_985_057},
    "faster/r3d_50/8x224x224": {"macs": 29_460_955_136, "params": 46_980_944},
    "faster/fast_gru_step/8": {"macs": 719_323_136, "params": 14_680_064},
    "faster/r2d_26/16x224x224": {"macs": 6_333_431_808, "params": 14_831_632},
    "faster/r2plus1d_50/16x224x224": {"macs": 59_959_734_272, "params": 46_985_057},
    "faster/r3d_50/16x224x224": {"macs": 58_921_091_072, "params": 46_980_944},
    "faster/fast_gru_step/16": {"macs": 1_438_646_272, "params": 14_680_064},
    "faster/r2d_26/32x224x224": {"macs": 12_666_044_416, "params": 14_831_632},
    "faster/r2plus1d_50/32x224x224": {"macs": 119_918_649_344, "params": 46_985_057},
    "faster/r3d_50/32x224x224": {"macs": 117_841_362_944, "params": 46_980_944},
    "faster/fast_gru_step/32": {"macs": 2_877_292_544, "params": 14_680_064},
    "cm/slow_r50_8x8/256": {"macs": 54_520_840_192, "params": 32_454_096},
    "cm/slowfast_r50_4x16/256": {"macs": 36_101_963_776, "params": 34_480_216},
    "cm/slowfast_r50_8x8/256": {"macs": 65_711_652_864, "params": 34_566_488},
    "cm/slowfast_r50_16x8/256": {"macs": 131_419_619_328, "params": 34_566_488},
    "cm/slowfast_r101_8x8/256": {"macs": 125_908_303_872, "params": 62_826_968},
    "cm/slowfast_r101_nl222_8x8/256": {"macs": 134_766_673_920, "params": 69_132_248},
    "cm/slowfast_r101_nl222_16x8/256": {"macs": 272_750_886_912, "params": 69_132_248},
    "cm/collab_memory_r4_C2048/T4x8x8": {"macs": 940_572_672, "params": 4_194_304},
    "cm/collab_memory_r4_C2048/T8x8x8": {"macs": 1_880_096_768, "params": 4_194_304},
    "cm/collab_memory_r4_C2048/T16x8x8": {"macs": 3_759_144_960, "params": 4_194_304},
    "cm/r2plus1d_101/32x256x256": {"macs": 241_559_175_168, "params": 50_450_768},
    "sfc/slow_r50/params": {"params": 32_454_096},
    "sfc/slow_r50+sfc_res3_k(3, 1, 1)/36x256x312_tau2": {
        "macs": 245_788_737_536,
        "params": 35_934_672,
        "macs_with_2bn": 246_997_876_736,
    },
    "sfc/slow_r50+sfc_res3_k(3, 3, 3)/36x256x312_tau2": {
        "macs": 354_505_097_216,
        "params": 48_517_584,
        "macs_with_2bn": 355_714_236_416,
    },
    "sfc/slow_r50+sfc_res3_k(1, 1, 1)/36x256x312_tau2": {
        "macs": 236_729_040_896,
        "params": 34_886_096,
        "macs_with_2bn": 237_938_180_096,
    },
    "sfc/module_C256": {"params": 871_936},
    "sfc/module_C512": {"params": 3_480_576},
    "sfc/module_C1024": {"params": 13_907_968},
    "scsampler/r3d_18/16x112x112": {"macs": 40_696_553_472, "params": 33_371_472},
    "scsampler/mc3_18/16x112x112": {"macs": 43_342_635_008, "params": 11_695_440},
    "scsampler/r2plus1d_18_vmz/16x112x112": {"macs": 41_496_308_736, "params": 33_370_839},
    "scsampler/r2plus1d_18_torchvision/16x112x112": {"macs": 40_519_080_960, "params": 31_505_325},
    "scsampler/r2plus1d_34_vmz/32x112x112": {"macs": 152_355_715_072, "params": 63_697_175},
    "scsampler/ir_csn_152/32x256x256": {"macs": 96_713_211_904, "params": 29_703_568},
    "scsampler/ip_csn_152/32x256x256": {"macs": 108_792_807_424, "params": 33_016_592},
    "scsampler/i3d_rgb/64x224x224": {"macs": 111_150_686_208, "params": 12_697_264},
    "scsampler/resnet18_if_or_rgbr": {"macs": 1_813_766_144, "params": 11_381_712},
    "scsampler/resnet18_md_native": {"macs": 15_454_336, "params": 11_378_576},
    "scsampler/resnet18_md_upsampled": {"macs": 1_774_428_160, "params": 11_378_576},
}


def _clip(name: str, *size: int, **options) -> Callable[[], Count]:
    return lambda: counted(name, *size, **options)


def _pyslowfast(name: str, num_frames: int, **options) -> Callable[[], Count]:
    """At 256 its head slides over 7x7 places, which counts a few multiply-adds more."""
    return lambda: counted(name, num_frames, 256, 256, window=(7, 7), **options)


def _compressed(kernel: Kernel) -> Callable[[], Count]:
    return lambda: sfc(kernel=kernel).as_in_paper


def _module_params(channels: int) -> Callable[[], int]:
    with torch.device("meta"):
        module = TemporalCompression(channels)
    return lambda: sum(p.numel() for p in module.parameters())


OURS: dict[str, Callable[[], Count | int]] = {
    **{
        f"faster/{name}/{frames}x224x224": _clip(name, frames, 224, 224)
        for name in ("r2d_26", "r2plus1d_50", "r3d_50")
        for frames in (8, 16, 32)
    },
    **{
        f"faster/fast_gru_step/{frames}": lambda frames=frames: fast_gru_count(frames)
        for frames in (8, 16, 32)
    },
    "cm/slow_r50_8x8/256": _pyslowfast("slow_r50_8x8", 8),
    "cm/slowfast_r50_4x16/256": _pyslowfast("slowfast_r50_4x16", 32),
    "cm/slowfast_r50_8x8/256": _pyslowfast("slowfast_r50_8x8", 32),
    "cm/slowfast_r50_16x8/256": _pyslowfast("slowfast_r50_16x8", 64),
    "cm/slowfast_r101_8x8/256": _pyslowfast("slowfast_r101_8x8", 32),
    "cm/slowfast_r101_nl222_8x8/256": _pyslowfast(
        "slowfast_r101_8x8_nl", 32, nonlocal_pool="2x2x2"
    ),
    "cm/slowfast_r101_nl222_16x8/256": _pyslowfast(
        "slowfast_r101_16x8_nl", 64, nonlocal_pool="2x2x2"
    ),
    **{
        f"cm/collab_memory_r4_C2048/T{frames}x8x8": lambda frames=frames: memory_count(frames)
        for frames in (4, 8, 16)
    },
    "cm/r2plus1d_101/32x256x256": _clip("r2plus1d_101", 32, 256, 256),
    "sfc/slow_r50/params": _clip("slow_r50_8x8", 8, 256, 256),
    **{
        f"sfc/slow_r50+sfc_res3_k({', '.join(kernel.split('x'))})/36x256x312_tau2": _compressed(
            kernel
        )
        for kernel in ("3x1x1", "3x3x3", "1x1x1")
    },
    **{f"sfc/module_C{channels}": _module_params(channels) for channels in (256, 512, 1024)},
    "scsampler/r3d_18/16x112x112": lambda: cost_of("r3d_18"),
    "scsampler/mc3_18/16x112x112": lambda: cost_of("mc3_18"),
    "scsampler/r2plus1d_18_vmz/16x112x112": _clip("r2plus1d_18", 16, 112, 112, mid="vmz"),
    "scsampler/r2plus1d_18_torchvision/16x112x112": lambda: cost_of("r2plus1d_18"),
    "scsampler/r2plus1d_34_vmz/32x112x112": lambda: cost_of("r2plus1d_34"),
    "scsampler/ir_csn_152/32x256x256": _clip("ir_csn_152", 32, 256, 256),
    "scsampler/ip_csn_152/32x256x256": _clip("ip_csn_152", 32, 256, 256),
    "scsampler/i3d_rgb/64x224x224": lambda: cost_of("i3d_rgb"),
    "scsampler/resnet18_if_or_rgbr": lambda: cost_of("resnet_18"),
    "scsampler/resnet18_md_native": lambda: cost_of("resnet_18", input_shape=(2, 14, 14)),
    "scsampler/resnet18_md_upsampled": lambda: cost_of("resnet_18", input_shape=(2, 224, 224)),
}


@pytest.mark.parametrize("key", TARGETS)
def test_costs_exactly(key):
    ours = OURS[key]()
    if isinstance(ours, int):
        assert {"params": ours} == TARGETS[key]
        return
    assert {field: getattr(ours, field) for field in TARGETS[key]} == TARGETS[key]


def test_every_figure_is_compared():
    assert set(OURS) == set(TARGETS)


def test_what_is_added_costs_what_its_formula_says():
    channels = 2048
    per_place = 2 * (2 * channels * channels // 4 + channels // 4 * channels) + 2 * channels**2
    assert per_place == 14_680_064  # FAST-GRU at reduction 4
    for frames in (8, 16, 32):
        assert fast_gru_count(frames).macs == per_place * 49 * frames // 8
    for frames in (4, 8, 16):
        for reduction in (1, 2, 4, 8):
            d, places = channels // reduction, frames * 64
            expected = places * (3 * channels * d + 2 * d * d) + d * channels
            assert memory_count(frames, reduction=reduction).macs == expected
