"""Counting against figures rebuilt from the papers by hand, and the books of one video."""

import contextlib
import mmap
import time

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vidskim.account import STAGES, Account, MacCounter, count, peak_rss_bytes, reset_peak_rss
from vidskim.backbones import create_backbone
from vidskim.errors import UsageError


@pytest.mark.parametrize(
    ("name", "options", "input_shape", "macs", "params"),
    [
        ("r3d_18", {}, (3, 16, 112, 112), 40_696_553_472, 33_371_472),
        ("mc3_18", {}, (3, 16, 112, 112), 43_342_635_008, 11_695_440),
        ("r2plus1d_18", {"mid": "vmz"}, (3, 16, 112, 112), 41_496_308_736, 33_370_839),
        ("r2plus1d_18", {}, (3, 16, 112, 112), 40_519_080_960, 31_505_325),
        ("r2plus1d_34", {}, (3, 32, 112, 112), 152_355_715_072, 63_697_175),
        ("resnet_18", {}, (3, 224, 224), 1_813_766_144, 11_381_712),
        ("resnet_18", {"in_channels": 2}, (2, 14, 14), 15_454_336, 11_378_576),
        ("resnet_18", {"in_channels": 2}, (2, 224, 224), 1_774_428_160, 11_378_576),
    ],
)
def test_backbones_cost_what_the_papers_say(name, options, input_shape, macs, params):
    with torch.device("meta"):
        network = create_backbone(name, **options)
    counted = count(network, (1, *input_shape))
    assert (counted.macs, counted.params) == (macs, params)
    assert counted.input_shape == (1, *input_shape)


def test_the_second_counter_adds_two_per_number_that_enters_a_batch_norm():
    network = nn.Sequential(
        nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU()
    ).train()
    counted = count(network, (2, 3, 9, 7))
    convolution = 2 * 8 * 4 * 3 * 27
    assert counted.macs == convolution
    assert counted.macs_with_2bn == convolution + 2 * (2 * 3 * 9 * 7 + 2 * 8 * 4 * 3)
    without = nn.Conv2d(3, 8, 3, stride=2)
    assert count(without, (2, 3, 9, 7)).macs_with_2bn == convolution
    assert count(network, (3, 9, 7)).macs_with_2bn == counted.macs_with_2bn // 2
    assert not network[0]._forward_pre_hooks


def test_slow_r50_costs_what_selective_feature_compression_prints():
    with torch.device("meta"):
        network = create_backbone("slow_r50_8x8")
    counted = count(network, (1, 3, 8, 256, 256))
    assert round(counted.macs_with_2bn / 1e9, 2) == 54.75  # printed: 54 G x 1, 1643 G x 30
    assert round(30 * counted.macs_with_2bn / 1e9) == 1643


def test_counts_convolutions_linear_layers_and_products_by_hand():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(3, 8, (3, 1, 1), stride=(1, 2, 2), groups=1)
            self.fc = nn.Linear(8, 5)

        def forward(self, x):
            x = self.conv(x).flatten(2)  # [N, 8, P]
            gram = x.transpose(1, 2) @ x  # [N, P, P]
            return self.fc((x @ gram).mean(-1))

    positions = 4 * 5 * 5  # 6 frames less 2, 9 pixels at stride 2
    convolution = positions * 8 * 3 * 3
    products = positions * 8 * positions * 2
    counted = count(Mixed(), (2, 3, 6, 9, 9))
    assert counted.macs == 2 * (convolution + products + 8 * 5)
    assert counted.params == 8 * 3 * 3 + 8 + 8 * 5 + 5


def test_a_batch_costs_the_sum_of_its_clips():
    network = create_backbone("r2plus1d_18", num_classes=5, width=4)
    one, seven = (count(network, (n, 3, 8, 32, 32)).macs for n in (1, 7))
    assert seven == 7 * one > 0


def test_the_batch_dimension_may_be_left_out():
    network = create_backbone("mc3_18", num_classes=5, width=4)
    assert count(network, (3, 8, 32, 32)) == count(network, (1, 3, 8, 32, 32))
    assert count(nn.Linear(10, 4), (10,)).macs == 40


def test_counting_does_not_disturb_the_network():
    network = create_backbone("r3d_18", num_classes=3, width=4).train()
    before = {k: (v.data_ptr(), v.clone()) for k, v in network.state_dict().items()}
    count(network, (1, 3, 4, 16, 16))
    assert network.training
    for key, value in network.state_dict().items():
        assert value.data_ptr() == before[key][0]
        assert torch.equal(value, before[key][1])
    assert all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("shape", [(1, 4, 8, 16, 16), (8, 16), (1, 3, 0, 16, 16), ()])
def test_an_impossible_input_is_named(shape):
    network = create_backbone("r3d_18", num_classes=3, width=4)
    with pytest.raises(UsageError, match="shape") as error:
        count(network, shape)
    assert str(list(shape)) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_account_adds_up():
    account = Account()
    for _ in range(3):
        account.add_macs(1000, stage="encode")
    account.add_macs(50, stage="look")
    account.add_macs(7, stage="aggregate")
    account.frames_decoded += 48
    account.bytes_read += 12345
    cost = account.to_cost(dense_macs=9000)
    assert (cost.macs, cost.look_macs, cost.dense_macs) == (3057, 50, 9000)
    assert (cost.frames_decoded, cost.bytes_read) == (48, 12345)
    assert set(cost.seconds) == {*STAGES, "total"}


def test_nested_stages_are_charged_once():
    account = Account()
    with account.stage("encode"):
        time.sleep(0.03)
        with account.stage("read"):
            time.sleep(0.06)
        time.sleep(0.03)
    with contextlib.suppress(KeyError), account.stage("look"):
        time.sleep(0.02)
        raise KeyError
    seconds = account.to_cost(dense_macs=0).seconds
    assert seconds["encode"] >= 0.06
    assert seconds["read"] >= 0.06
    assert seconds["look"] >= 0.02
    assert seconds["aggregate"] == 0
    charged = sum(seconds[stage] for stage in STAGES)
    assert charged <= seconds["total"] < charged + 0.05


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, contextlib.nullcontext])
def test_what_runs_is_counted_as_by_torch_s_own_counter(mode):
    network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.Flatten(1)).eval()
    head = nn.Linear(4 * 2 * 6 * 6, 5)
    x, a, b = torch.randn(2, 3, 4, 8, 8), torch.randn(3, 4, 6), torch.randn(3, 6, 2)

    def run():
        logits = head(network(x))
        product = torch.einsum("nij,njk->nik", a, b) @ torch.randn(2, 7)
        return logits.softmax(1).sum() + product.nanmedian()

    with mode(), FlopCounterMode(display=False) as theirs:
        run()
    with mode(), MacCounter() as ours:
        run()
    assert ours.macs == theirs.get_total_flops() // 2
    by_hand = 2 * 4 * (2 * 6 * 6) * (3 * 27) + 2 * 288 * 5 + 3 * 4 * 6 * 2 + 3 * 4 * 2 * 7
    assert ours.macs == by_hand


def test_unknown_stages_and_negative_macs_are_refused():
    account = Account()
    with pytest.raises(UsageError, match="did you mean 'encode'"), account.stage("encoder"):
        pass
    with pytest.raises(UsageError, match="unknown stage 'total'"):
        account.add_macs(1, stage="total")
    with pytest.raises(UsageError, match="got -1"):
        account.add_macs(-1, stage="look")


def _fill(*, megabytes: int) -> None:
    """Touch fresh pages and give them back; ``malloc`` might hand out pages it already holds."""
    with mmap.mmap(-1, megabytes << 20) as block:
        block.write(b"1" * (megabytes << 20))


def test_the_peak_is_the_peak_of_this_video():
    if not reset_peak_rss():
        pytest.skip("this system does not let a process reset its high-water mark")
    _fill(megabytes=50)
    high = peak_rss_bytes()
    account = Account()
    low = account.peak_bytes
    assert low <= high - (30 << 20)
    _fill(megabytes=60)
    assert account.to_cost(dense_macs=0).peak_bytes >= low + (50 << 20)


@pytest.mark.cuda
def test_on_cuda_the_peak_is_the_device_s():
    account = Account("cuda")
    with account.stage("encode"):
        torch.ones(10 << 20, dtype=torch.uint8, device="cuda")
    assert account.peak_bytes >= 10 << 20


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_counting_changes_no_number(mode):
    """Operations made of others are run by the same parts, to the last bit."""
    frames = torch.randint(0, 256, (1, 3, 96, 128), generator=torch.Generator().manual_seed(0))
    linear = nn.Linear(30, 4)
    with torch.inference_mode():
        resized = nn.functional.interpolate(frames.float(), size=(24, 30), mode=mode)
        out = linear(resized)
        with MacCounter() as counter:
            same = nn.functional.interpolate(frames.float(), size=(24, 30), mode=mode)
            again = linear(same)
    assert torch.equal(same, resized)
    assert torch.equal(again, out)
    assert counter.macs == 3 * 24 * 30 * 4
