"""Transforms against arithmetic in NumPy; parity with torchvision is in tests/backbones."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from vidskim.clips.transform import Transform
from vidskim.errors import UsageError

IDENTITY = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def _frames(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def _bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixel centers at half-integers, edges clamped, rounded: one channel at a time."""
    H, W = image.shape
    out = np.empty((height, width))
    for y in range(height):
        fy = min(max((y + 0.5) * H / height - 0.5, 0), H - 1)
        y0 = int(fy)
        y1 = min(y0 + 1, H - 1)
        for x in range(width):
            fx = min(max((x + 0.5) * W / width - 0.5, 0), W - 1)
            x0 = int(fx)
            x1 = min(x0 + 1, W - 1)
            top = image[y0, x0] * (1 - fx + x0) + image[y0, x1] * (fx - x0)
            bottom = image[y1, x0] * (1 - fx + x0) + image[y1, x1] * (fx - x0)
            out[y, x] = top * (1 - fy + y0) + bottom * (fy - y0)
    return out


@pytest.mark.parametrize("size", [(12, 17), (40, 56)])
def test_resizes_like_a_plain_loop(size):
    frames = _frames(2, 3, 3, 23, 31)
    out = Transform(resize_to=size, **IDENTITY)(frames)
    assert out.shape == (2, 3, 3, *size)
    for n, t, c in [(0, 0, 0), (1, 2, 1), (0, 1, 2)]:
        expected = _bilinear(frames[n, t, c].double().numpy(), *size)
        # half a gray level is the rounding itself
        np.testing.assert_allclose(out[n, c, t].numpy() * 255, expected, atol=0.5001)
        assert np.allclose(out[n, c, t].numpy() * 255, np.rint(out[n, c, t].numpy() * 255))


@pytest.mark.parametrize("antialias", [False, True])
def test_the_layout_of_frames_in_memory_changes_nothing(antialias):
    frames = _frames(2, 3, 3, 46, 62)
    as_decoded = frames.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    transform = Transform(resize_to=(24, 33), crop=(21, 22), antialias=antialias, **IDENTITY)
    out = transform(frames)
    assert torch.equal(transform(as_decoded), out)
    assert out.is_contiguous()
    whole = torch.nn.functional.interpolate(
        frames.flatten(0, 1).float(), size=(24, 33), mode="bilinear", antialias=antialias
    )
    expected = whole.round()[..., 2:23, 6:28].unflatten(0, (2, 3)).transpose(1, 2) / 255
    assert torch.equal(out, expected)


def test_crop_and_normalization_without_resizing():
    frames = _frames(4, 3, 10, 14)
    transform = Transform(crop=(6, 8), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    picture = frames.numpy()[:, :, 2:8, 3:11].astype(np.float64) / 255  # [T, C, h, w]
    mean, std = (np.array(v)[:, None, None] for v in (transform.mean, transform.std))
    expected = ((picture - mean) / std).transpose(1, 0, 2, 3)
    np.testing.assert_allclose(transform(frames).numpy(), expected, atol=1e-6)


def test_short_side_keeps_the_aspect_ratio():
    transform = Transform(short_side=128)
    assert transform.resized_size(256, 340) == (128, 170)
    assert transform.resized_size(340, 256) == (170, 128)
    assert Transform(short_side=8, crop=(8, 8))(_frames(2, 3, 30, 20)).shape == (3, 2, 8, 8)
    wide = Transform(short_side=8, crop=(8, 11))
    assert wide(_frames(2, 3, 20, 30)).shape == (3, 2, 8, 11)
    # a tall frame is made as much larger as the wide crop needs
    assert wide.resized_size(30, 20) == (16, 11)
    assert wide(_frames(2, 3, 30, 20)).shape == (3, 2, 8, 11)


def test_a_clip_gives_the_same_alone_and_in_a_batch():
    frames = _frames(3, 5, 3, 40, 30)
    transform = Transform(short_side=16, crop=(16, 16), antialias=True)
    batch = transform(frames)
    for n in range(3):
        assert torch.equal(batch[n], transform(frames[n]))
    nested = transform(frames.reshape(3, 1, 5, 3, 40, 30))
    assert torch.equal(nested[:, 0], batch)
    assert transform(frames[:0]).shape == (0, 3, 5, 16, 16)


def test_antialias_averages_what_plain_sampling_misses():
    stripes = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    stripes[..., ::4] = 255
    plain, smooth = (
        Transform(resize_to=(16, 16), antialias=a, **IDENTITY)(stripes) for a in (False, True)
    )
    assert plain.max() == 0  # only columns 1 and 2 of every four are sampled
    assert abs(float(smooth.mean()) - 0.25) < 0.01


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux's /proc")
def test_memory_stays_flat_at_720p():
    """In a process of its own: 64 frames of 720p would be 708 MB as float32, one is 11 MB.

    The system counts pages coarsely, so the limit leaves room above those 11 and the result's 10.
    """
    script = """
import torch
from vidskim.account import peak_rss_bytes, reset_peak_rss
from vidskim.clips.transform import Transform
torch.set_num_threads(1)
transform = Transform(short_side=128, crop=(112, 112))
frames = torch.full((64, 3, 720, 1280), 7, dtype=torch.uint8)
transform(frames[:1])
if not reset_peak_rss():
    raise SystemExit(77)
before = peak_rss_bytes()
transform(frames)
print(peak_rss_bytes() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("this system does not let a process reset its high-water mark")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 120e6


@pytest.mark.parametrize("resize", [{}, {"short_side": 12}])
def test_channels_in_the_order_of_the_network(resize):
    frames = _frames(2, 3, 3, 20, 24)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    bgr = Transform(**resize, crop=(8, 9), mean=mean, std=std, channel_order="bgr")(frames)
    # mean and deviation belong to the channels as the network sees them: blue first
    turned = Transform(**resize, crop=(8, 9), mean=mean, std=std)(frames[:, :, [2, 1, 0]])
    assert torch.equal(bgr, turned)
    rgb = Transform(**resize, crop=(8, 9), mean=mean[::-1], std=std[::-1])(frames)
    assert torch.equal(bgr, rgb[:, [2, 1, 0]])
    assert not torch.equal(bgr, rgb)
    as_decoded = frames.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    again = Transform(**resize, crop=(8, 9), mean=mean, std=std, channel_order="bgr")
    assert torch.equal(again(as_decoded), bgr)


def test_says_its_channel_order_where_it_is_not_the_usual_one():
    assert "channels blue, green, red" in str(Transform(channel_order="bgr"))
    assert "channels" not in str(Transform())


def test_survives_json():
    transform = Transform(short_side=256, crop=(224, 224), antialias=True, channel_order="bgr")
    assert Transform.from_dict(json.loads(json.dumps(transform.to_dict()))) == transform


def test_reads_what_was_written_before_channels_had_an_order():
    values = Transform(short_side=256).to_dict()
    del values["channel_order"]
    assert Transform.from_dict(values) == Transform(short_side=256, channel_order="rgb")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shortside": 3}, "no field 'shortside'"),
        ({"crop": [1, 2, 3]}, "crop cannot be"),
        ({"crop": [1.5, 2]}, "crop cannot be"),
        ({"mean": None}, "mean cannot be None"),
        ({"short_side": "128"}, "short_side cannot be '128'"),
        ({"antialias": 1}, "antialias cannot be 1"),
        ({"channel_order": "gbr"}, "channel_order cannot be 'gbr'"),
        ({"channel_order": ["rgb"]}, "channel_order cannot be"),
        ({"short_side": 0}, "at least one pixel"),
        ({"short_side": 10, "resize_to": [10, 10]}, "exclude each other"),
        ({"short_side": 10, "crop": [12, 11]}, "crop of 12x11 does not fit.*a short side of 10"),
        ({"resize_to": [10, 14], "crop": [8, 15]}, "crop of 8x15 does not fit in frames of 10x14"),
        ({"std": [1, 0, 1]}, "std is above zero"),
    ],
)
def test_refuses_wrong_fields(values, message):
    with pytest.raises(UsageError, match=message):
        Transform.from_dict(values)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(1, 3, 8, 8), "got float32"),
        (_frames(3, 8, 8), r"uint8 \[3, 8, 8\]"),
        (_frames(2, 8, 8, 3), r"uint8 \[2, 8, 8, 3\]"),
        (_frames(2, 3, 8, 30), "crop of 10x10 does not fit in frames of 8x30"),
    ],
)
def test_refuses_wrong_frames(frames, message):
    with pytest.raises(UsageError, match=message):
        Transform(crop=(10, 10))(frames)
