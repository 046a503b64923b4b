"""Testing at another size than trained: the head's windows against a loop over them."""

from inspect import signature

import numpy as np
import pytest
import torch

from tinynets import tiny_classifier, tiny_sampler
from vidskim import Recognizer, Runtime, presets
from vidskim.account import count
from vidskim.backbones import ClipSpec, create_backbone, set_test_size
from vidskim.backbones.registry import CLIP_BACKBONES
from vidskim.backbones.resolution import map_size, resized_transform
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError
from vidskim.io.write.video import write_video


@pytest.fixture
def network():
    """Trained at 64 pixels, map 2x2 (Slow halves five times)."""
    torch.manual_seed(0)
    network = create_backbone("slow_r50_8x8", num_classes=5, width=4).eval()
    network.fc.weight.data *= 300
    network.clip = ClipSpec(4, 2, (64, 64))
    network.transform = Transform(short_side=80, crop=(64, 64))
    return network


def test_the_head_slides_over_the_larger_map(network):
    x = torch.randn(2, 3, 4, 128, 128)
    with torch.no_grad():
        features = network.features(x)  # [2, C, 4, 4, 4]
        one_mean = network(x).softmax(1)
        set_test_size(network, 128)
        found = network(x).softmax(1)
        windows = [
            network.fc(features[:, :, :, y : y + 2, x : x + 2].mean((2, 3, 4))).softmax(1)
            for y in range(3)
            for x in range(3)
        ]
    assert features.shape[-2:] == (4, 4)
    torch.testing.assert_close(found, torch.stack(windows).mean(0), atol=1e-6, rtol=1e-5)
    assert (found - one_mean).abs().max() > 1e-3, "windows or one mean: nothing was tested"


@pytest.mark.parametrize("name", CLIP_BACKBONES)
def test_every_head_slides_over_a_larger_map(name):
    options = {"width": 8} if "width" in signature(CLIP_BACKBONES[name]).parameters else {}
    torch.manual_seed(1)
    network = create_backbone(name, num_classes=6, **options).eval()
    features = torch.randn(2, network.num_features, 4, 3, 4)
    with torch.no_grad():
        one_mean = network.classify(features).softmax(1)
        windows = [
            network.score(features[..., y : y + 2, x : x + 3].mean((2, 3, 4))).softmax(1)
            for y in range(2)
            for x in range(2)
        ]
        network.head_window = (2, 3)
        found = network.classify(features).softmax(1)
    expected = torch.stack(windows).mean(0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(one_mean, expected, rtol=1e-5, atol=1e-7)


def test_clip_transform_and_window_become_those_of_the_size(network):
    set_test_size(network, 128)
    assert network.clip == ClipSpec(4, 2, (128, 128))
    assert network.transform == Transform(short_side=128, crop=(128, 128))
    assert network.head_window == (2, 2)
    set_test_size(network, 96)  # the window stays that of training
    assert network.clip.size == (96, 96)
    assert network.head_window == (2, 2)


@pytest.mark.parametrize("name", ["slow_r50_8x8", "slowfast_r50_4x16", "s3d", "x3d_xs"])
def test_the_trained_size_changes_no_answer(name):
    network = create_backbone(name, num_classes=5, width=8).eval()
    network.clip = ClipSpec(16, 2, (64, 64))
    x = torch.randn(1, 3, 16, 64, 64)
    with torch.no_grad():
        before = network(x)
        set_test_size(network, 64)
        assert torch.equal(network(x), before)


def test_a_head_that_slides_by_itself_is_left_to_it():
    network = create_backbone("s3d", num_classes=5, width=8).eval()
    features = torch.randn(1, network.num_features, 2, 8, 8)
    with torch.no_grad():
        before = network.classify(features)
        set_test_size(network, 256)
        assert torch.equal(network.classify(features), before)


def test_the_map_of_a_full_network_is_found_without_arithmetic():
    with torch.device("meta"):
        network = create_backbone("slow_r50_8x8")
    assert map_size(network, network.clip) == (7, 7)
    set_test_size(network, 256)
    assert network.head_window == (7, 7)
    assert map_size(network, network.clip) == (8, 8)
    # res5's convolutions dominate the ratio of areas; the head runs at 2 x 2 places
    assert count(network, network.clip.input_shape).macs == 54_520_840_192


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            Transform(short_side=256, crop=(224, 224)),
            Transform(short_side=192, crop=(192, 192)),
        ),
        (
            Transform(resize_to=(128, 171), crop=(112, 112)),
            Transform(resize_to=(192, 256), crop=(192, 192)),
        ),
        (Transform(crop=(64, 64)), Transform(crop=(192, 192))),
        (Transform(), Transform(crop=(192, 192))),
    ],
)
def test_short_side_and_crop_become_the_size(given, expected):
    assert resized_transform(given, 192) == expected


def test_a_video_is_seen_at_the_size_and_the_cost_says_so(tmp_path):
    path = tmp_path / "v.mp4"
    rng = np.random.default_rng(0)
    write_video(path, rng.integers(0, 256, (24, 96, 160, 3), dtype=np.uint8))
    network = tiny_classifier()
    small = Recognizer(network, look=presets.uniform(k=2))(path)
    set_test_size(network, 80)
    three = Runtime(crops=3)
    large = Recognizer(network, look=presets.uniform(k=2), runtime=three)(path)
    assert large.cost.macs == 2 * 3 * count(network, (1, 3, 8, 80, 80)).macs
    assert large.cost.macs > 12 * small.cost.macs


def test_what_cannot_be_tested_at_a_size_is_refused(network):
    with pytest.raises(UsageError, match="whole number of pixels above zero, got 0"):
        set_test_size(network, 0)
    with pytest.raises(UsageError, match="resnet_18 is no clip classifier"):
        set_test_size(tiny_sampler(), 64)
