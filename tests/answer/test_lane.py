"""One encoder of a recognizer: what it gives, in which precision, at what cost."""

import pytest
import torch

from tinynets import tiny_cheap, tiny_classifier
from vidskim.account import Account, count
from vidskim.answer.lane import labels_of, make_lane
from vidskim.backbones.contract import Features
from vidskim.errors import UsageError
from vidskim.model.adapter import Adapter, Head
from vidskim.model.model import same_span

CPU = torch.device("cpu")


def lane_of(encoder, *, adapter=None, precision="fp32"):
    adapter = torch.nn.Identity() if adapter is None else adapter
    return make_lane(encoder, label="x", adapter=adapter, join=1, device=CPU, precision=precision)


def test_encoders_of_one_name_are_told_apart():
    first, second, cheap = tiny_classifier(), tiny_classifier(seed=1), tiny_cheap()
    assert labels_of((first,)) == ["r3d_18"]
    assert labels_of((first, cheap)) == ["r3d_18", "r2d_26"]
    assert labels_of((first, second)) == ["r3d_18 (expensive)", "r3d_18 (cheap)"]
    assert len(set(labels_of((first, second, cheap)))) == 3


@pytest.mark.parametrize(("num_views", "side"), [(1, 80), (3, 80), (2, 96)])
def test_what_a_lane_gives_and_what_it_costs(num_views, side):
    cheap, adapter = tiny_cheap(), Adapter(64, 32, places=(1, 2, 2))
    lane, account = lane_of(cheap, adapter=adapter), Account()
    x = torch.randn(num_views, 3, 8, side, side)
    with torch.inference_mode():
        found = lane.encode(x, account)
        torch.testing.assert_close(found, adapter(cheap.features(x)))
    features = count(Features(cheap), (1, *x.shape[1:])).macs
    assert account.macs["encode"] == num_views * features
    assert account.macs["aggregate"] == num_views * 64 * 32 * 4
    assert lane.clip_macs == count(cheap, (1, *x.shape[1:])).macs


def test_maps_are_given_as_they_are_without_an_adapter():
    cheap = tiny_cheap()
    lane, account = lane_of(cheap), Account()
    x = torch.randn(2, 3, 8, 80, 80)
    with torch.inference_mode():
        assert torch.equal(lane.encode(x, account), cheap.features(x))
    assert account.macs["aggregate"] == 0
    assert lane.clip_macs == count(cheap, (1, 3, 8, 80, 80)).macs


def test_a_head_as_adapter_gives_the_encoders_own_answer():
    network = tiny_classifier()
    lane, account = lane_of(network, adapter=Head(network)), Account()
    x = torch.randn(2, 3, 8, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(lane.encode(x, account), network(x))
    assert sum(account.macs.values()) == 2 * count(network, (1, 3, 8, 32, 32)).macs


def test_only_the_encoder_runs_in_half_precision():
    network, adapter = tiny_classifier(), Adapter(32, 8)
    seen = []
    adapter.project.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
    lane = lane_of(network, adapter=adapter, precision="bf16")
    x = torch.randn(2, 3, 8, 32, 32)
    with torch.inference_mode():
        found = lane.encode(x, Account())
        whole = adapter(network.features(x))
    assert lane.precision == "bf16"
    assert (seen[0][0].dtype, seen[0][1].dtype, found.dtype) == (torch.float32,) * 3
    assert torch.equal(seen[0][0], seen[0][0].bfloat16().float())
    assert not torch.equal(found, whole)
    torch.testing.assert_close(found, whole, rtol=0.1, atol=0.05)


def test_networks_are_put_into_evaluation():
    network, adapter = tiny_classifier().train(), Adapter(32, 8).train()
    lane_of(network, adapter=adapter)
    assert not network.training
    assert not adapter.training


def test_encoders_of_other_clips_or_classes_are_refused():
    first = tiny_classifier()
    same_span((first, tiny_cheap()))
    for other in (tiny_cheap(num_frames=16), tiny_cheap(stride=2)):
        with pytest.raises(UsageError, match="same time span"):
            same_span((first, other))
    renamed, fewer, image = tiny_cheap(), tiny_cheap(), tiny_cheap()
    renamed.classes = ("a", "b", "c", "d")
    fewer.reset_classifier(3)
    image.transform = None
    for other in (renamed, fewer):
        with pytest.raises(UsageError, match="other classes"):
            same_span((first, other))
    with pytest.raises(UsageError, match="r2d_26 is no clip classifier"):
        same_span((first, image))
