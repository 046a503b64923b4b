"""The early part in windows gives the numbers of one pass, or says that it cannot."""

from dataclasses import replace

import pytest
import torch
from narrow import compressed, narrow, video
from torch import nn

from vidskim.backbones.contract import split_at
from vidskim.model import windows
from vidskim.model.windows import Reach, find_reach, in_windows
from wholes import answer_of

CUTS = [
    ("r3d_18", "res4", {}),
    ("slow_r50_8x8", "res4", {}),
    ("i3d_r50_8x8", "res3", {}),
    ("i3d_r50_8x8", "stem", {"layout": "mmaction2"}),
    ("r2d_26", "res2", {}),
    ("s3d", "res4", {}),
    ("x3d_s", "stem", {}),
]
"""With temporal strides and without, convolutions and poolings."""


class Watched(nn.Module):
    """Remembers how many frames each pass had."""

    def __init__(self, early: nn.Module) -> None:
        super().__init__()
        self.early = early
        self.lengths: list[int] = []

    def forward(self, x):
        self.lengths.append(x.shape[2])
        return self.early(x)


def parts_of(x: torch.Tensor, length: int):
    return iter(x.split(length, dim=2))


@pytest.fixture(scope="module", params=CUTS, ids=lambda cut: f"{cut[0]}-{cut[1]}")
def cut(request):
    name, at, options = request.param
    network = narrow(name, **options)
    early = split_at(network, at)[0]
    return early, find_reach(early, num_frames=network.clip.num_frames)


@pytest.mark.parametrize(
    ("total", "window", "length"),
    [(97, 16, 1), (50, 64, 7), (131, 24, 200), (77, 1, 5), (8, 16, 3)],
)
def test_windows_give_the_numbers_of_one_pass(cut, total, window, length):
    early, reach = cut
    x = video(total, size=(16, 16))
    watched = Watched(early)
    with torch.no_grad():
        whole = early(x)
        parts = list(in_windows(watched, parts_of(x, length), reach=reach, window_frames=window))
    torch.testing.assert_close(torch.cat(parts, 2), whole, rtol=0, atol=1e-9)
    assert max(watched.lengths) <= window + reach.before + reach.after + 2 * reach.stride
    assert sum(watched.lengths) >= total
    for part in parts:  # and keeps no more of a map than it gives
        assert part.untyped_storage().nbytes() == part.numel() * part.element_size()


def test_frames_are_held_no_longer_than_a_step_depends_on_them(cut):
    """What came in beyond the steps that were given is a window and its edges at most."""
    early, reach = cut
    pulled = 0

    def frames():
        nonlocal pulled
        for t in range(150):
            pulled += 1
            yield video(1, size=(16, 16)) + t

    done = 0
    with torch.no_grad():
        for part in in_windows(early, frames(), reach=reach, window_frames=8):
            done += part.shape[2]
            assert pulled - reach.stride * done <= reach.after + reach.stride or pulled == 150
    assert pulled == 150


def test_a_window_has_as_many_new_frames_as_asked_for():
    """However far a step reaches: short of it, windows would be run again and again."""
    network = narrow("r3d_18")
    early = split_at(network, "res4")[0]
    reach = find_reach(early, num_frames=16)
    shared = reach.before + reach.after
    assert shared > 32
    watched = Watched(early)
    with torch.no_grad():
        list(in_windows(watched, parts_of(video(400, size=(8, 8)), 8), reach=reach))
    assert len(watched.lengths) <= -(-400 // 64) + 1
    assert sum(watched.lengths) <= 400 + len(watched.lengths) * (shared + 2 * reach.stride)


def test_later_windows_go_on_from_earlier_ones_alone():
    """A map's part is there before the rest of the video has come."""
    early = nn.Conv3d(3, 1, 1)
    taken = []

    def frames():
        for t in range(4):
            taken.append(t)
            yield torch.zeros(1, 3, 4, 2, 2)

    steps = in_windows(early, frames(), reach=Reach(1, 0, 0), window_frames=4)
    assert next(steps).shape == (1, 1, 4, 2, 2)
    assert taken == [0]


def conv(kernel: int, *, stride: int = 1, dilation: int = 1, padding: int | None = None):
    size = kernel // 2 * dilation if padding is None else padding
    return nn.Conv3d(
        3, 3, (kernel, 1, 1), stride=(stride, 1, 1), padding=(size, 0, 0), dilation=(dilation, 1, 1)
    )


@pytest.mark.parametrize(
    ("early", "before", "after", "stride"),
    [
        (nn.Sequential(conv(1)), 0, 0, 1),
        (nn.Sequential(conv(3)), 1, 1, 1),
        (nn.Sequential(conv(3), conv(5)), 3, 3, 1),
        (nn.Sequential(conv(3, dilation=4)), 4, 4, 1),
        (nn.Sequential(conv(3, stride=2)), 1, 1, 2),
        (nn.Sequential(conv(3, stride=2), conv(3, stride=2)), 3, 3, 4),
        (nn.Sequential(conv(8, stride=8, padding=0)), 0, 7, 8),
        (nn.Sequential(conv(3), nn.MaxPool3d((2, 1, 1))), 1, 2, 2),
    ],
)
def test_reach_of_known_operations(early, before, after, stride):
    """All that a step sees is told, and at most one stride more."""
    found = find_reach(early, num_frames=8)
    assert found.stride == stride
    assert before <= found.before < before + stride
    assert after <= found.after < after + stride


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("slow_r50_8x8_nl", "res3"),
        ("x3d_xs", "res2"),
        ("i3d_rgb", "stem"),
        ("tpn_r50_8x8", "res5"),
    ],
)
def test_where_windows_would_answer_otherwise(monkeypatch, name, at):
    """Non-local, squeeze and excitation, padding by the length, two maps: one pass, its numbers."""
    monkeypatch.setattr(windows, "PROBE_FRAMES", 16)
    network = narrow(name)
    network.clip = replace(network.clip, num_frames=min(16, network.clip.num_frames))
    model = compressed(network, at, scale="features")
    assert model.reach() is None
    x = video(model.min_frames + model.frame_multiple)
    with torch.no_grad():
        answer = answer_of(model, parts_of(x, 3), window_frames=8)
        torch.testing.assert_close(answer.logits, model(x), rtol=0, atol=1e-9)


def test_other_reasons_for_one_pass():
    far = nn.Sequential(conv(1), nn.AvgPool3d((301, 1, 1), stride=1, padding=(150, 0, 0)))
    assert find_reach(far, num_frames=8) is None
    backwards = conv(1)
    backwards.forward = lambda x: nn.Conv3d.forward(backwards, x.flip(2))
    assert find_reach(backwards, num_frames=8) is None
    picky = conv(1)
    picky.forward = lambda x: nn.Linear(3, 3)(x)
    assert find_reach(picky, num_frames=8) is None


def test_the_answer_is_that_of_one_pass():
    model = compressed(narrow("i3d_r50_8x8"), "res3", ratio="4/3", scale="features")
    assert model.reach() is not None
    x = video(61)
    with torch.no_grad():
        wanted, F = model(x), model.encode(x)
        for window in (5, 64):
            answer = answer_of(model, parts_of(x, 9), window_frames=window)
            torch.testing.assert_close(answer.logits, wanted, rtol=0, atol=1e-9)
            assert answer.num_steps == 30
        found = model.encode_parts(parts_of(x, 9), window_frames=1)
        torch.testing.assert_close(found, F, rtol=0, atol=1e-9)
