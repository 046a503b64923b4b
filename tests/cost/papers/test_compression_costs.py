"""Selective feature compression's costs, from the model that runs."""

import pytest
import torch

from tinynets import tiny_classifier
from vidskim.account import count
from vidskim.backbones.contract import Features, split_at
from vidskim.backbones.network import Network
from vidskim.backbones.registry import create_backbone
from vidskim.cost.papers.compression import compression_rows, sfc, sfc_r2plus1d, sfc_tpn
from vidskim.cost.whole import OnePass, pass_cost
from vidskim.model.compressed import Compressed, map_channels
from vidskim.model.compression import TemporalCompression


def compressed(backbone: Network, *, at: str, **options) -> Compressed:
    with torch.device("meta"):
        compression = TemporalCompression(map_channels(backbone, at), **options)
    return Compressed(backbone, at=at, compression=compression).eval()


@pytest.mark.parametrize(("frames", "giga"), [(36, 0.5), (72, 2.1), (144, 8.3)])
def test_the_attention_s_own_products_by_the_parts_around_them(frames, giga):
    """What the pass costs beyond its convolutions, each counted alone on the paper's shapes."""
    cost = sfc(frames=frames)
    kept = frames // 2
    assert (cost.num_steps, cost.num_kept) == (frames, kept)
    with torch.device("meta"):
        backbone = create_backbone("slow_r50_8x8", num_classes=400)
        module = TemporalCompression(512)
    early, late = split_at(backbone, "res3")
    parts = [
        count(early, (1, 3, frames, 256, 312)),
        count(module.abstraction, (1, 512, frames, 32, 39)),
        count(module.query, (1, 512, kept, 16, 20)),
        count(module.key, (1, 512, frames, 16, 20)),
        count(late, (1, 512, kept, 32, 39)),
    ]
    classifier = 2048 * 400
    products = cost.counted.macs - sum(part.macs for part in parts) - classifier
    assert products == cost.attention_macs == kept * frames * 512 * (16 * 20 + 32 * 39)
    assert round(products / 1e9, 1) == giga
    printed = cost.as_in_paper
    assert printed.macs_with_2bn == sum(part.macs_with_2bn for part in parts) + classifier
    assert (printed.macs, printed.params) == (cost.counted.macs - products, 35_934_672)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ratio": 3},
        {"value": "abstracted"},
        {"value": "projected", "pooling": "average"},
        {"abstraction": False, "kernel": "1x1x1"},
    ],
    ids=str,
)
def test_the_products_of_every_kind_of_compression(options):
    """Ours against what runs beside convolutions and the classifier, on a map of odd sides."""
    model = compressed(tiny_classifier(), at="res3", **options)
    sums = [32 * 4]  # the classifier
    hooks = [
        layer.register_forward_hook(
            lambda layer, _, out: sums.append(out.numel() * layer.weight[0].numel())
        )
        for layer in model.modules()
        if isinstance(layer, torch.nn.Conv3d)
    ]
    whole = count(OnePass(model), (1, 3, 16, 36, 44))
    for hook in hooks:
        hook.remove()
    cost = pass_cost(model, (1, 3, 16, 36, 44))
    assert cost.counted == whole
    assert cost.attention_macs == whole.macs - sum(sums) > 0
    assert cost.num_kept == model.compression.num_kept(cost.num_steps) < cost.num_steps


def test_the_products_of_two_pathways():
    """SlowFast: M is made of the slow map and mixes both, alpha fast steps with each slow one."""
    with torch.device("meta"):
        network = create_backbone("slowfast_r50_8x8", num_classes=4)
    cost = pass_cost(compressed(network, at="res3"), (1, 3, 32, 64, 64))
    T, K, alpha, slow, fast = 8, 4, 4, 512 + 128, 64
    assert (cost.num_steps, cost.num_kept) == (T, K)
    assert cost.attention_macs == K * T * (slow * (4 * 4 + 8 * 8) + fast * alpha * 8 * 8)


def test_a_pass_that_compresses_nothing_is_the_backbone():
    network = tiny_classifier()
    shape = (1, 3, 16, 32, 44)
    bare = OnePass(compressed(network, at="res3"), compresses=False)
    alone = count(network, shape)
    assert count(bare, shape).macs == alone.macs == count(Features(network), shape).macs + 32 * 4


def test_compression_of_other_backbones():
    assert round(sfc_tpn().counted.params / 1e6, 3) == 85.708  # published 85.7
    assert round(sfc_r2plus1d().counted.params / 1e6, 3) == 121.707  # published 121.7
    assert round(sfc_r2plus1d().as_in_paper.macs / 1e9, 1) == 1396.7
    assert (sfc_r2plus1d().num_steps, sfc_r2plus1d().num_kept) == (72, 36)  # of 144 frames


def test_compression_saves_the_same_with_every_step_it_drops():
    costs = [sfc(ratio=tau).as_in_paper.macs_with_2bn for tau in ("1", "4/3", "2", "4")]
    assert [round(c / 1e9, 1) for c in costs] == [351.5, 299.2, 247.0, 194.7]
    assert costs[0] - costs[1] == costs[1] - costs[2] == costs[2] - costs[3] > 0
    assert sfc(ratio="8").num_kept == 4  # of 36, rounded down


def test_every_cost_names_its_counter_and_what_it_leaves_out():
    rows = {row.row: row for row in compression_rows() if row.table.startswith("Table 2")}
    for label, macs, products in (("8x8", 245.8, 0.5), ("16x4", 491.6, 2.1), ("32x2", 983.2, 8.3)):
        row = rows[f"Slow-only R50 {label}, SFC"]
        assert row.counter == "MAC+2BN"
        assert f"MAC alone: {macs} G" in row.note
        assert f"{products} G more at" in row.note
    assert "304.8 G" in rows["Slow-only R50 8x8, SFC"].note
    assert rows["R(2+1)D-152, 30 crops"].counter == "MAC"
