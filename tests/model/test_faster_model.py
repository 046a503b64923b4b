"""FASTER as one model: encoders that stay as they are, adapters, and what it all costs."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool3d

from tinynets import CLASSES, tiny_cheap, tiny_classifier, tiny_faster
from vidskim.account import count
from vidskim.backbones.contract import ClipSpec, Features
from vidskim.cost.video import video_count
from vidskim.errors import UsageError
from vidskim.model.adapter import Adapter, make_adapters, map_shape
from vidskim.model.aggregate import FastGru, Gru
from vidskim.model.model import Model
from vidskim.model.presets import faster
from vidskim.model.schedule import parse_pattern

ALL = parse_pattern("all")


def maps_of(model: Model, *, batch: int = 2) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Random maps of all clips, by the encoder that its pattern gives them."""
    generator = torch.Generator().manual_seed(5)
    places = torch.tensor(model.pattern(model.card.num_clips))
    found = {}
    for place, encoder in enumerate(model.networks):
        positions = (places == place).nonzero().flatten()
        shape = (batch, len(positions), *map_shape(encoder))
        found[place] = (torch.randn(shape, generator=generator).relu(), positions)
    return found


def test_an_adapter_does_nothing_where_maps_agree():
    adapter = Adapter(32, 32, places=(1, 2, 2))
    maps = torch.randn(3, 32, 1, 2, 2)
    assert torch.equal(adapter(maps), maps)
    assert torch.equal(Adapter(32, 32)(maps), maps)
    assert not list(adapter.parameters())
    assert count(adapter, (1, 32, 1, 2, 2)).macs == 0


def test_an_adapter_projects_channels_and_averages_places():
    adapter = Adapter(6, 4, places=(1, 2, 2))
    maps = torch.randn(3, 6, 2, 4, 4)
    pooled = avg_pool3d(maps, (2, 2, 2))
    expected = torch.einsum("kc,mcthw->mkthw", adapter.project.weight[:, :, 0, 0, 0], pooled)
    torch.testing.assert_close(adapter(maps), expected)
    assert adapter.project.bias is None
    # after pooling, where it costs an eighth
    assert count(adapter, (1, 6, 2, 4, 4)).macs == 6 * 4 * 1 * 2 * 2


def test_new_adapters_go_to_the_smallest_grid_and_the_first_encoders_channels():
    encoders = [tiny_classifier(), tiny_cheap()]
    assert [map_shape(e) for e in encoders] == [(32, 1, 2, 2), (64, 1, 3, 3)]
    first, second = make_adapters(encoders)
    assert isinstance(first.project, nn.Identity)
    assert tuple(second.project.weight.shape[:2]) == (32, 64)
    assert [map_shape(e, a) for e, a in zip(encoders, (first, second), strict=True)] == [
        (32, 1, 2, 2),
        (32, 1, 2, 2),
    ]
    wide = make_adapters(encoders[::-1])
    assert [map_shape(e, a) for e, a in zip(encoders[::-1], wide, strict=True)] == [
        (64, 1, 2, 2),
        (64, 1, 2, 2),
    ]


def test_encoders_neither_train_nor_learn():
    model = tiny_faster().train()
    assert model.training
    assert model.adapters.training
    assert model.aggregator.training
    assert not any(module.training for module in model.encoders.modules())
    assert not any(p.requires_grad for p in model.encoders.parameters())
    learning = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"adapters", "aggregator"}
    model(maps_of(model)).sum().backward()
    assert all(p.grad is not None for p in model.adapters.parameters())
    assert all(p.grad is not None for p in model.aggregator.parameters())


def test_clips_are_aggregated_in_order_whichever_encoder_saw_them():
    model = tiny_faster(pattern="ECCEC", num_clips=7)
    maps = maps_of(model)
    assert [len(positions) for _, positions in maps.values()] == [3, 4]
    joined = torch.empty(2, 7, 32, 1, 2, 2)
    for place, (seen, positions) in maps.items():
        for n, position in enumerate(positions.tolist()):
            joined[:, position] = model.adapters[place](seen[:, n])
    torch.testing.assert_close(model(maps), model.aggregator(joined))
    torch.testing.assert_close(model(dict(reversed(maps.items()))), model.aggregator(joined))
    turned = {p: (seen, positions.flip(0)) for p, (seen, positions) in maps.items()}
    assert (model(turned) - model(maps)).abs().max() > 1e-3


def test_each_video_may_send_its_encoders_to_other_clips():
    model = tiny_faster(pattern="1:2", num_clips=6)
    maps = maps_of(model)
    own = {0: torch.tensor([[0, 3], [5, 2]]), 1: torch.tensor([[1, 2, 4, 5], [0, 1, 3, 4]])}
    together = model({place: (seen, own[place]) for place, (seen, _) in maps.items()})
    for video in range(2):
        alone = {p: (seen[video, None], own[p][video]) for p, (seen, _) in maps.items()}
        torch.testing.assert_close(together[video, None], model(alone))
    assert (together[1] - model(maps)[1]).abs().max() > 1e-3
    torch.testing.assert_close(together[0], model(maps)[0])


@pytest.mark.parametrize("pattern", ["all", "none"])
def test_an_encoder_that_saw_nothing_adds_nothing(pattern):
    model = tiny_faster(pattern=pattern, num_clips=3)
    maps = maps_of(model)
    assert sorted(seen.shape[1] for seen, _ in maps.values()) == [0, 3]
    busy = {place: found for place, found in maps.items() if found[0].shape[1]}
    assert torch.equal(model(maps), model(busy))


def test_a_single_encoder_is_enough_where_all_are_expensive():
    model = faster([tiny_classifier()], FastGru(32, 4), pattern=ALL, num_clips=1)
    assert model.classes == CLASSES
    assert model.clip == ClipSpec(8, 1, (32, 32))
    assert model(maps_of(model)).shape == (2, 4)


@pytest.mark.parametrize("aggregator", ["fast_gru", "gru", "lstm", "concat"])
@pytest.mark.parametrize("pattern", ["1:2", "all", "none", "first"])
def test_the_cost_of_a_video_is_that_of_its_parts(aggregator, pattern):
    model = tiny_faster(aggregator=aggregator, pattern=pattern)
    expensive, cheap = (
        count(Features(e), (1, 3, 8, side, side)).macs
        for e, side in zip(model.networks, (32, 80), strict=True)
    )
    nE = model.pattern(6).count(0)
    adapter = 64 * 32 * 4
    places, width = 4, 32
    step = {
        "fast_gru": places * (2 * (2 * width * width // 4 + width // 4 * width) + 2 * width**2),
        "gru": 6 * width**2,
        "lstm": 8 * width**2,
        "concat": places * 2 * width**2,
    }[aggregator]
    found = video_count(model)
    expected = nE * expensive + (6 - nE) * (cheap + adapter) + 5 * step + width * 4
    assert found.macs == expected
    assert found.params == sum(p.numel() for p in model.parameters())
    assert found.input_shape == (6, 3, 8, 32, 32)
    assert found.macs_with_2bn > found.macs
    one_more = video_count(model, num_clips=7).macs - found.macs
    assert one_more == step + (expensive if model.pattern.at(6) == 0 else cheap + adapter)


def _shorter(network):
    network.clip = replace(network.clip, num_frames=16)
    return network


def _renamed(network):
    network.classes = ("a", "b", "c", "d")
    return network


def _image(network):
    network.clip = None
    return network


def _tiny_clip(network):
    network.clip = ClipSpec(1, 1, (32, 32))
    return network


@pytest.mark.parametrize(
    ("others", "options", "told"),
    [
        ((), {"pattern": parse_pattern("1:2")}, "needs a cheap encoder"),
        ((tiny_cheap, tiny_cheap), {}, "an expensive and a cheap encoder, or one: 3"),
        ((lambda: _shorter(tiny_cheap()),), {}, "take the same time span"),
        ((lambda: tiny_cheap(stride=2),), {}, "take the same time span"),
        ((lambda: _renamed(tiny_cheap()),), {}, "other classes"),
        ((lambda: _image(tiny_cheap()),), {}, "r2d_26 is no clip classifier"),
        ((tiny_cheap,), {"num_clips": 0}, "at least 1 clip"),
        ((tiny_cheap,), {"aggregator": FastGru(32, 5)}, "fast_gru has 5 classes"),
        ((tiny_cheap,), {"adapters": [Adapter(32, 32)]}, "as many adapters, got 1"),
        ((tiny_cheap,), {"adapters": [nn.Identity(), nn.Identity()]}, "32 channels and one size"),
        ((tiny_cheap,), {"adapters": [Adapter(32, 16), Adapter(64, 16)]}, "32 channels"),
        ((tiny_cheap,), {"adapters": [Adapter(32, 32), Adapter(64, 32)]}, "one size"),
        ((tiny_cheap,), {"adapters": [Adapter(32, 32), Adapter(9, 32)]}, "r2d_26 does not fit"),
    ],
)
def test_what_does_not_come_together_is_refused(others, options, told):
    parts = {"aggregator": FastGru(32, 4), "pattern": ALL, "num_clips": 6} | options
    encoders = [tiny_classifier(), *(other() for other in others)]
    with pytest.raises(UsageError, match=told):
        faster(encoders, parts.pop("aggregator"), **parts)


def test_an_encoder_that_does_not_take_its_clips_is_told():
    with pytest.raises(UsageError, match=r"r2d_26 does not fit clips 1x1"):
        faster([_tiny_clip(tiny_cheap())], Gru(64, 4), pattern=ALL, num_clips=2)
