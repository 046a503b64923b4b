"""Parts of a user's own that do not keep their contract: one line, never a wrong answer."""

import numpy as np
import pytest
import torch
from torch import nn

import vidskim
from tinynets import CLASSES, tiny_cheap, tiny_classifier, tiny_compressed, tiny_memory
from vidskim import Card, Look, Model, Recognizer, Runtime, presets
from vidskim.errors import UsageError
from vidskim.model.aggregate import Gru
from vidskim.model.compressed import Compressed
from vidskim.model.file import save_model
from vidskim.model.windows import Reach, find_reach, in_windows


def chooses(*numbers):
    return lambda scores, num_clips, generator: list(numbers)


@pytest.mark.parametrize(
    "select",
    [
        chooses(1, 0),
        chooses(0, 0, 1),
        chooses(-1),
        chooses(99),
        chooses(),
        chooses(0.0),
        chooses("0"),
        chooses(True),
        lambda scores, n, generator: torch.ones(n, dtype=torch.bool),
        lambda scores, n, generator: None,
        lambda scores, n, generator: 3,
    ],
)
def test_a_selection_gives_sorted_unique_indices(sample_video, select):
    recognizer = Recognizer(tiny_classifier(), look=Look("mine", select))
    with pytest.raises(UsageError, match="the selection of look 'mine' gives sorted, unique"):
        recognizer(sample_video)


def test_a_selection_of_numpy_numbers_is_one(sample_video):
    look = Look("mine", lambda scores, n, generator: np.array([0, 2]))
    answer = Recognizer(tiny_classifier(), look=look)(sample_video)
    assert [clip.clip.index for clip in answer.clips] == [0, 2]


class Parted:
    def __init__(self, part):
        self.part = part

    def parts(self, video, clips):
        return self.part

    def combine(self, parts):
        return torch.zeros(9)

    def __call__(self, video, clips):
        return torch.zeros(9)

    def with_k(self, k):
        return self


@pytest.mark.parametrize(
    "saliency",
    [
        lambda video, clips: [0.0] * len(clips),
        lambda video, clips: np.zeros(len(clips)),
        lambda video, clips: None,
        lambda video, clips: torch.full((len(clips),), torch.inf),
        lambda video, clips: torch.zeros(len(clips), dtype=torch.complex64),
        Parted({"a": torch.zeros(9, 1)}),
        Parted({"a": torch.full((9,), torch.inf)}),
        Parted({"a": None}),
        Parted([torch.zeros(9)]),
    ],
)
def test_a_saliency_gives_one_real_score_per_clip(sample_video, saliency):
    look = Look("mine", presets.motion(k=2).select, saliency)
    with pytest.raises(UsageError, match=r"must give one score per clip|gives parts by name"):
        look(vidskim.Video(sample_video), num_frames=16, stride=2)


def test_a_saliency_that_says_nothing_is_told(sample_video):
    look = presets.scsampler(lambda video, clips: torch.full((len(clips),), torch.nan), k=2)
    answer = Recognizer(tiny_classifier(), look=look)(sample_video)
    assert any("says nothing of any clip" in warning for warning in answer.warnings)


class Changed(nn.Module):
    """An encoder whose maps or logits are not what the contract says."""

    def __init__(self, features=None, classify=None):
        super().__init__()
        self.inner = tiny_classifier()
        for name in ("name", "clip", "transform", "classes", "num_classes", "num_features"):
            setattr(self, name, getattr(self.inner, name))
        self._features, self._classify = features, classify

    def features(self, x):
        maps = self.inner.features(x)
        return self._features(maps) if self._features else maps

    def classify(self, maps):
        logits = self.inner.classify(maps)
        return self._classify(logits) if self._classify else logits

    def forward(self, x):
        return self.classify(self.features(x))


@pytest.mark.parametrize("join", [1, 2])
def test_an_encoder_gives_a_map_for_each_input(sample_video, join):
    model = Model(
        [Changed(features=lambda maps: maps.repeat(2, 1, 1, 1, 1))], card=Card(join=(join,))
    )
    with pytest.raises(UsageError, match=r"gives \[\d+, .* for \d+ inputs: one map"):
        Recognizer(model, look=presets.uniform(k=4))(sample_video)


@pytest.mark.parametrize(
    "change", [lambda x: x[:, :2], lambda x: x.repeat(1, 2), lambda x: x[:1, 0]]
)
def test_an_answer_has_the_classes_of_the_model(sample_video, change):
    with pytest.raises(UsageError, match=r"4 classes: logits \[1, 4\]"):
        Recognizer(Changed(classify=change), look=presets.uniform(k=1))(sample_video)


class Context(nn.Module):
    def __init__(self, read=lambda maps: maps, writes=True):
        super().__init__()
        self._read, self._writes = read, writes

    def shared_by(self, number):
        return self

    def write(self, maps, memory=None):
        return self if self._writes else None

    def read(self, maps, memory):
        return self._read(maps)


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (Context(lambda maps: maps[:, :1]), "gives .* for maps .*: one map for each"),
        (Context(lambda maps: maps.repeat(1, 2, 1, 1, 1, 1)), "one map for each"),
        (Context(lambda maps: None), "one map for each"),
        (Context(writes=False), "has shared_by"),
    ],
)
def test_a_context_gives_a_map_for_each(sample_video, context, words):
    model = Model([tiny_classifier()], context=context)
    with pytest.raises(UsageError, match=words):
        Recognizer(model, look=presets.uniform(k=3))(sample_video)


class NoCounts(nn.Module):
    def start(self):
        return None

    def step(self, state, features):
        return features[:, -1]

    def read(self, state):
        return state


@pytest.mark.parametrize("places", [[0], [0, 0, -1], [0, 0, 0, 0], [0, 0, 2]])
def test_a_schedule_gives_a_place_for_each_clip(sample_video, places):
    model = Model([tiny_classifier(), tiny_cheap()])
    recognizer = Recognizer(
        model, look=presets.uniform(k=3), schedule=lambda number, scores=None: places
    )
    with pytest.raises(UsageError, match=r"for each of 3 clips|needs a cheap encoder"):
        recognizer(sample_video)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Model(tiny_classifier()), "encoders are a list of modules, got"),
        (lambda: Model([tiny_classifier()], card={}), "card is a vidskim.Card"),
        (lambda: Model([tiny_classifier()], aggregator=NoCounts), "NoCounts is no aggregator"),
        (
            lambda: Model([tiny_classifier()], aggregator=NoCounts(), card=Card(join=(2,))),
            "NoCounts.step does not take counts",
        ),
        (
            lambda: Model([tiny_classifier()], aggregator=Gru(32, 4), adapters=[len]),
            "adapters are modules",
        ),
        (lambda: Card(method="foo"), "unknown method 'foo'"),
        (lambda: Card(is_multilabel="no"), "is_multilabel is True or False"),
        (lambda: Card(join=2), "join is a tuple"),
        (lambda: Card(schedule=None), "a schedule is a pattern"),
        (lambda: Runtime(batch_size="4"), "batch_size is a whole number"),
        (lambda: Runtime(batch_size=True), "batch_size is a whole number"),
        (lambda: Runtime(crops=2.5), "crops is a whole number"),
        (lambda: Runtime(max_kept_bytes="x"), "max_kept_bytes is a whole number"),
        (lambda: Recognizer(tiny_classifier(), look=None), "look is a vidskim.Look"),
        (
            lambda: Recognizer(tiny_classifier(), look=presets.dense(), schedule="1:1"),
            "a schedule is a pattern or function",
        ),
        (lambda: Look("mine", [0, 1]), "are functions or objects"),
        (lambda: Look("mine", presets.dense().select, k="x"), "k is a whole number"),
        (lambda: vidskim.ClipSpec(8, 2, 64), "a clip has frames, a stride and a"),
        (lambda: vidskim.Transform(crop=64), r"crop is \(height, width\)"),
        (lambda: vidskim.Transform(mean=(0.0,)), "mean is one number per channel"),
        (lambda: vidskim.recognize(""), "is given by its path, a string"),
    ],
)
def test_values_of_another_kind_are_one_line(make, words):
    with pytest.raises(UsageError, match=words) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (
            lambda: Model([tiny_classifier()], aggregator=Gru(32, 4)),
            {"fast": "bf16"},
            "trained agg",
        ),
        (
            lambda: Model([tiny_classifier()], card=Card(join=(2,))),
            {"fast": "bf16"},
            "joined clips",
        ),
        (
            lambda: Model([tiny_classifier()], card=Card(join=(2,))),
            {"batch_size": 2},
            "leave batch",
        ),
        (tiny_classifier, {"cheap": tiny_memory()}, "is a model of several parts"),
        (tiny_classifier, {"method": "dense", "k": 3}, "takes every clip: leave k out"),
        (tiny_classifier, {"aggregator": "x"}, "unknown aggregator 'x'"),
        (tiny_classifier, {"compress": ""}, "unknown stage"),
        (tiny_classifier, {"sampler": "motion", "alpha": 0.5}, "takes no sampler"),
    ],
)
def test_what_means_nothing_to_the_parts_is_refused(sample_video, model, options, words):
    with pytest.raises(UsageError, match=words):
        vidskim.recognize(sample_video, model=model(), **{"method": "uniform", **options})


def test_parts_of_ones_own_stay_when_others_change(sample_video):
    class Last(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def start(self):
            return None

        def step(self, state, features, *, counts=None):
            return features[:, -1]

        def read(self, state):
            return self.network.classify(state)

    network = tiny_classifier()
    model = Model([network], aggregator=Last(network))
    small = vidskim.make_recognizer(model=model, size=24)
    assert type(small.model.aggregator) is Last


@pytest.mark.parametrize("part", ["context", "compress"])
def test_none_of_what_is_not_there_changes_nothing(sample_video, part):
    model = Model([tiny_classifier()], card=Card(join=(2,), num_clips=3))
    plain = vidskim.recognize(sample_video, model=model, method="uniform")
    again = vidskim.recognize(sample_video, model=model, method="uniform", **{part: "none"})
    assert again.predictions == plain.predictions
    assert again.cost.macs == plain.cost.macs


class Writes(nn.Conv3d):
    def forward(self, x):
        return super().forward(x.mul_(0.5).add_(1))


class Swallows(nn.Conv3d):
    def forward(self, x):
        return torch.nan_to_num(super().forward(x))


class Depends(nn.Conv3d):
    def forward(self, x):
        return super().forward(x + torch.linspace(0, 1, x.shape[2])[None, None, :, None, None])


class Branches(nn.Conv3d):
    def forward(self, x):
        z = super().forward(x)
        return torch.where(z > 0, z, torch.zeros_like(z))


class Asserts(nn.Conv3d):
    def forward(self, x):
        assert x.shape[3] >= 64
        return super().forward(x)


def conv(kind: type[nn.Conv3d]) -> nn.Conv3d:
    torch.manual_seed(0)
    return kind(3, 4, (9, 3, 3), padding=(4, 1, 1)).eval()


@pytest.mark.parametrize("kind", [Writes, Swallows, Depends, Branches, Asserts])
def test_windows_are_for_what_they_give_the_numbers_of_one_pass(kind):
    assert find_reach(conv(kind), num_frames=8) is None


def test_windows_of_a_plain_convolution_are_one_pass():
    early = conv(nn.Conv3d)
    assert find_reach(early, num_frames=8) == Reach(1, 4, 4)
    x = torch.rand(1, 3, 200, 8, 8)
    with torch.no_grad():
        found = torch.cat(list(in_windows(early, iter([x]), reach=Reach(1, 4, 4))), 2)
        assert torch.allclose(found, early(x), atol=1e-6)


def test_a_network_of_one_piece_is_not_compressed(sample_video):
    network = vidskim.wrap(
        tiny_classifier(),
        name="mine",
        clip=tiny_classifier().clip,
        transform=tiny_classifier().transform,
        classes=CLASSES,
    )
    for options in ({"method": "sfc"}, {"compress": "b"}):
        with pytest.raises(UsageError, match="mine has no two stages to compress between"):
            vidskim.recognize(sample_video, model=network, random_weights=True, **options)
    with pytest.raises(UsageError, match="no two stages"):
        Compressed(network, at="b")


def test_batches_of_a_compressed_encoder_are_one_input():
    with pytest.raises(UsageError, match="leave batch_size out"):
        vidskim.make_recognizer(
            model=Model([tiny_compressed()], card=Card(join=(2,))), batch_size=2, method="uniform"
        )


def test_a_look_is_a_method(sample_video):
    look = Look("mine", chooses(0, 2))
    answer = vidskim.recognize(sample_video, model=tiny_classifier(), method=look)
    assert (answer.method, [clip.clip.index for clip in answer.clips]) == ("mine", [0, 2])
    with pytest.raises(UsageError, match="has chosen its own k"):
        vidskim.recognize(sample_video, model=tiny_classifier(), method=look, k=2)


@pytest.mark.parametrize("method", ["scsampler", "cascade"])
def test_a_saliency_of_ones_own_is_a_sampler_everywhere(sample_video, method):
    def late(video, clips):
        return torch.tensor([clip.index / 100 for clip in clips])

    chosen = vidskim.select(sample_video, method=method, sampler=late, k=2)
    answer = vidskim.recognize(
        sample_video, model=tiny_classifier(), method=method, sampler=late, k=2
    )
    number = len(answer.saliency)
    indices = [clip.clip.index for clip in answer.clips]
    assert indices[-1] <= number - 1
    if method == "scsampler":
        assert indices == [number - 2, number - 1]
    assert len(chosen.clips) == 2


def test_untrained_parts_go_around_a_file_of_several(tmp_path, sample_video):
    path = tmp_path / "m.safetensors"
    save_model(tiny_memory(), path)
    options = {"model": str(path), "random_weights": True, "method": "uniform", "k": 2}
    answer = vidskim.recognize(sample_video, compress="res3", join=2, **options)
    assert any("random weights" in warning for warning in answer.warnings)
    with pytest.raises(UsageError, match="not with the file of a model"):
        vidskim.recognize(sample_video, **options)


def test_dense_is_of_the_size_that_is_asked_for():
    for join in (None, 2):
        made = vidskim.make_recognizer(
            model="r3d_18", compress="res3", join=join, size=32, random_weights=True
        )
        assert made.lanes[0].bare.clip.size == (32, 32)


def test_one_rule_for_patterns_of_one_encoder(sample_video):
    for more in ({}, {"size": 24}, {"pattern": "all"}):
        with pytest.raises(UsageError, match="shares clips between two encoders"):
            vidskim.recognize(sample_video, model=tiny_classifier(), **{"pattern": "1:1", **more})


def test_half_precision_is_told():
    plain = tiny_classifier()
    with pytest.raises(UsageError, match="give it in float32"):
        vidskim.wrap(
            tiny_classifier().half(),
            name="mine",
            clip=plain.clip,
            transform=plain.transform,
            classes=CLASSES,
        )
