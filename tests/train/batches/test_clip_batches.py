"""Batches of clips: what is drawn, from where, with which truth; augmentation; schedules."""

from collections import Counter

import numpy as np
import pytest
import torch

from vidskim.data.cache.inputs import feature_store
from vidskim.data.manifest import read_manifest
from vidskim.errors import ManifestError
from vidskim.look.sources import LogMels, Residuals
from vidskim.train.augment_inputs import InputAugmentation, crop, mask, mirror, shift
from vidskim.train.batches.inputs import ClipBatches, InputBatches, draw, groups_of
from vidskim.train.batches.truth import membership
from vidskim.train.optim import RateSchedule, make_optimizer

PLAIN = InputAugmentation()


@pytest.fixture
def stores(sounding_csv, tmp_path_factory):
    rows = read_manifest(sounding_csv, split="train").rows
    folder = tmp_path_factory.getbasetemp() / "cache"
    return [
        feature_store(rows, source, num_frames=8, stride=1, folder=folder)
        for source in (Residuals((12, 16), 2), LogMels())
    ]


def truth_of(row):
    return np.arange(5) + 10.0 * row


def groups(stores, **changes):
    values = {"usable": lambda truth: True, "reason": "anything"} | changes
    return groups_of(stores, truth_of, **values)


def where(store, x):
    """Return (row, clip) of an input, found by comparing it with all."""
    for row in range(len(store)):
        same = (store.inputs(row) == x).flatten(1).all(1)
        if same.any():
            return row, int(store.owner(row)[same][0])
    raise AssertionError("an input of no video")


def test_inputs_belong_to_the_clips_whose_truth_they_come_with(stores):
    batches = ClipBatches(
        tuple(stores), groups(stores), num_videos=3, num_clips=4, num_inputs=(2, 1), seed=5,
        augment=PLAIN,
    )  # fmt: skip
    (seen, heard), truth = batches(7)
    assert (seen.shape, heard.shape) == ((24, 3, 12, 16), (12, 1, 40, 200))
    assert truth.shape == (12,)
    for n, wanted in enumerate(truth.tolist()):
        places = {where(stores[0], x) for x in seen[2 * n : 2 * n + 2]}
        places.add(where(stores[1], heard[n]))
        assert places == {(int(wanted // 10), int(wanted % 10))}
    for video in truth.reshape(3, 4).tolist():
        assert len(set(video)) == 4  # different clips of one video
        assert len({int(t // 10) for t in video}) == 1


def test_a_step_is_a_function_of_its_number(stores):
    batches = ClipBatches(
        (stores[0],), groups(stores[:1]), num_videos=2, num_clips=3, num_inputs=(2,), seed=0,
        augment=InputAugmentation(flip=True, min_scale=0.5),
    )  # fmt: skip
    first, again, other = batches(3), batches(3), batches(4)
    assert torch.equal(first[0][0], again[0][0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0][0], other[0][0])


def test_balance_draws_as_many_of_either(stores):
    with pytest.warns(UserWarning, match="3 of 4 videos have not two kinds and were left out"):
        (group,) = groups_of(
            [stores[0]],
            lambda row: np.array([0, 1.0, 0, 0, 0]) if row == 0 else np.full(5, np.nan),
            usable=lambda truth: len(np.unique(truth)) > 1,
            reason="two kinds",
            choice=True,
        )
    generator = np.random.default_rng(0)
    for number in (2, 4, 6):
        chosen = group.truth[group.draw(number, generator)]
        assert Counter(chosen.tolist()) == {0.0: number // 2, 1.0: number // 2}


def test_clips_whose_truth_is_not_known_are_never_drawn(stores):
    found = groups_of(
        [stores[0]],
        lambda row: np.array([0.1, np.nan, 0.3, 0.4, np.nan]),
        usable=lambda truth: True,
        reason="anything",
    )
    assert [group.clips.tolist() for group in found] == [[0, 2, 3]] * 4
    with pytest.raises(ManifestError, match="none of 4 videos has numbers"):
        groups_of([stores[0]], lambda row: np.full(5, np.nan), usable=lambda t: True,
                  reason="numbers")  # fmt: skip


def test_drawing_takes_all_before_any_again():
    generator = np.random.default_rng(1)
    for number in range(1, 12):
        counts = Counter(draw(np.arange(4), number, generator).tolist())
        assert sum(counts.values()) == number
        assert max(counts.values()) - min((counts[n] for n in range(4)), default=0) <= 1
    seen = {tuple(draw(np.arange(4), 2, generator).tolist()) for _ in range(200)}
    assert len(seen) == 12  # every ordered pair


def test_inputs_of_ac_come_with_their_video_s_label(stores):
    labels = np.array([3, 5, 7, 9])
    x, target = InputBatches(stores[0], labels, 20, 0, PLAIN)(2)
    assert x.shape == (20, 3, 12, 16)
    assert [labels[where(stores[0], one)[0]] for one in x] == target.tolist()
    assert len(set(target.tolist())) == 4


@pytest.mark.parametrize(
    ("truth", "k", "expected"),
    [
        ([0.1, 0.9, 0.5, 0.7], 1, [0, 1, 0, 0]),
        ([0.1, 0.9, 0.5, 0.7], 9, [0, 1, 0, 1]),  # at most half
        ([0.5, 0.5, 0.5, 0.5], 2, [0, 0, 0, 0]),  # all alike: no choice
        ([0.2], 1, [0]),
    ],
)
def test_membership(truth, k, expected):
    assert membership(np.array(truth, np.float32), oracle_k=k).tolist() == expected


def test_mirrored_motion_goes_the_other_way():
    x = torch.randn(50, 2, 3, 4)
    turned = mirror(x, np.random.default_rng(0), is_motion=True)
    sign = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1)
    kinds = [
        "same" if torch.equal(a, b) else "mirrored" if torch.equal(a, b.flip(-1) * sign) else "?"
        for a, b in zip(turned, x)
    ]
    assert set(kinds) == {"same", "mirrored"}
    assert 10 < kinds.count("mirrored") < 40
    pictures = mirror(x, np.random.default_rng(0), is_motion=False)
    moved = kinds.index("mirrored")
    assert torch.equal(pictures[moved], x[moved].flip(-1))


def test_crops_are_parts_of_the_whole():
    ramp = torch.arange(40.0).expand(30, 1, 20, 40).contiguous()
    cut = crop(ramp, 0.5, np.random.default_rng(0), is_motion=False)
    assert cut.shape == ramp.shape
    width = cut[:, 0, 0, -1] - cut[:, 0, 0, 0]  # of the part that is seen, in cells
    assert width.min() > 0.5 * 39 - 1.5
    assert width.max() <= 39
    assert cut.min() >= 0
    assert cut.max() <= 39
    assert width.std() > 1
    fast = crop(torch.ones(30, 2, 4, 4), 0.5, np.random.default_rng(0), is_motion=True)
    assert 1 <= fast.min() < fast.max() <= 2  # enlarged, so faster
    assert torch.equal(crop(ramp, 1.0, np.random.default_rng(0), is_motion=False), ramp)


def test_shifted_windows_hold_the_same_sound_later_or_earlier():
    x = torch.rand(40, 1, 3, 20) + 0.1
    shifted = shift(x, 0.25, np.random.default_rng(0))
    found = set()
    for a, b in zip(shifted, x):
        heard = (a != 0).flatten(0, 1).any(0).nonzero().flatten()
        first, last = int(heard[0]), int(heard[-1])
        by = first if first else last - 19
        found.add(by)
        late, early = max(by, 0), max(-by, 0)
        assert torch.equal(a[..., late : 20 - early], b[..., early : 20 - late])
    assert min(found) >= -5
    assert max(found) <= 5
    assert len(found) > 5


def test_masked_bands_are_neighbors_and_few():
    x = torch.ones(60, 1, 10, 5)
    silent = (mask(x, 0.3, np.random.default_rng(0)) == 0).all(-1)[:, 0]  # [60, 10]
    assert silent.sum(1).max() == 3
    assert silent.sum(1).min() == 0
    assert (silent.int().diff(dim=1).abs().sum(1) <= 2).all()
    assert torch.equal(x, torch.ones_like(x))


def test_nothing_is_varied_by_default():
    x = torch.randn(4, 2, 3, 4)
    assert torch.equal(PLAIN(x, kind="motion", generator=np.random.default_rng(0)), x)
    assert torch.equal(PLAIN(x, kind="audio", generator=np.random.default_rng(0)), x)


def test_the_learning_rate_drops():
    schedule = RateSchedule(0.1, 100, 2, drop_every=30, drop_factor=0.5)
    assert [schedule(step) for step in (0, 1, 2, 29)] == pytest.approx([0.05, 0.1, 0.1, 0.1])
    assert [schedule(step) for step in (30, 59, 60, 99)] == pytest.approx(
        [0.05, 0.05, 0.025, 0.0125]
    )


def test_slow_parameters_are_groups_of_their_own():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    common = {"name": "sgd", "learning_rate": 0.1, "weight_decay": 0.5}
    slow = make_optimizer(model, **common, slow=model[0].parameters(), slow_rate=0.1)
    told = [(len(g["params"]), g["weight_decay"], g.get("rate", 1.0)) for g in slow.param_groups]
    assert told == [(1, 0.5, 1.0), (1, 0.0, 1.0), (1, 0.5, 0.1), (1, 0.0, 0.1)]
    assert slow.param_groups[2]["params"][0] is model[0].weight
    plain = make_optimizer(model, **common)
    assert [len(g["params"]) for g in plain.param_groups] == [2, 2]
