"""Any module as an encoder: alone, with parts around it, with a compression inside."""

import dataclasses

import pytest
import torch
from torch import nn

import vidskim
from tinyset import write_tiny_set
from vidskim import ClipSpec, CollaborativeMemory, Model, Transform, presets, wrap
from vidskim.account import count
from vidskim.answer.build import Ask
from vidskim.data.manifest import read_manifest
from vidskim.errors import UsageError
from vidskim.evaluate.benchmark import benchmark
from vidskim.evaluate.run import evaluate_manifest
from vidskim.model.presets import compressed, faster, sfc

CLIP = ClipSpec(8, 1, (32, 32))
TRANSFORM = Transform(short_side=32, crop=(32, 32))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv3d(3, 8, 3, stride=(1, 4, 4), padding=1), nn.ReLU())
        self.body = nn.Sequential(nn.Conv3d(8, 16, 3, stride=(1, 2, 2), padding=1), nn.ReLU())
        self.fc = nn.Linear(16, 2)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.stem(x))

    def score(self, maps: torch.Tensor) -> torch.Tensor:
        return 30 * self.fc(maps.mean((2, 3, 4)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.score(self.maps(x))


def wrapped(**options):
    values = {"name": "net", "clip": CLIP, "transform": TRANSFORM, "classes": ("left", "right")}
    return wrap(Net(), **values | options)


PARTS = {"features": "maps", "classify": "score"}
STAGES = {"stages": ("stem", "body"), "classify": "score"}


@pytest.mark.parametrize(
    "options", [{}, PARTS, STAGES, {"features": lambda m, x: m.maps(x), "classify": Net.score}]
)
def test_alone_it_answers_as_the_module_does(sample_video, options):
    encoder = wrapped(**options)
    answer = vidskim.recognize(sample_video, model=encoder, method="motion", k=3)
    video, module = vidskim.Video(sample_video), Net().eval()
    with torch.no_grad():
        shares = [
            module(TRANSFORM(frames)[None]).softmax(1)[0]
            for _, frames in video.iter_frames([clip.clip for clip in answer.clips])
        ]
    expected = dict(zip(("left", "right"), torch.stack(shares).mean(0).tolist(), strict=True))
    found = {score.label: score.score for score in answer.predictions}
    assert found == pytest.approx(expected, abs=1e-5)
    assert answer.model == "net"
    assert answer.cost.macs == 3 * count(Net(), CLIP.input_shape).macs
    assert answer.cost.dense_macs % count(Net(), CLIP.input_shape).macs == 0


def test_it_streams(sample_video):
    recognizer = vidskim.Recognizer(
        wrapped(), look=presets.dense(), runtime=vidskim.Runtime(batch_size=1)
    )
    *_, last = recognizer.stream(sample_video)
    assert last.predictions == recognizer(sample_video).predictions


def test_every_part_goes_around_it(sample_video):
    encoder = wrapped(**STAGES)
    inside = compressed(encoder, at="stem")
    for model in (
        Model([encoder], context=CollaborativeMemory(16)),
        faster([encoder, wrapped(**PARTS)], pattern="1:1", num_clips=4),
        sfc(inside),
        Model([inside], context=CollaborativeMemory(16), card=vidskim.Card("memory", join=(2,))),
    ):
        answer = vidskim.recognize(sample_video, model=model, method="uniform", k=4)
        assert sum(score.score for score in answer.predictions) == pytest.approx(1, abs=1e-5)


def test_evaluate_and_benchmark_take_it(tmp_path):
    manifest = read_manifest(write_tiny_set(tmp_path, train=0, test=2))
    (result,) = benchmark(manifest, model=wrapped(), methods=["uniform"], ask=Ask(k=2))
    assert [video.predicted in ("left", "right") for video in result.videos] == [True, True]


def test_looks_of_ones_own_stand_beside_methods(tmp_path):
    data = write_tiny_set(tmp_path, train=0, test=2)
    first = vidskim.Look("first two", lambda scores, number, generator: [0, 1])
    still = presets.scsampler(lambda video, clips: -torch.arange(len(clips)).float(), k=2)
    still = dataclasses.replace(still, method="early")
    report = evaluate_manifest(
        data, methods=["uniform", first, still], model=wrapped(), k=2, out=tmp_path / "out"
    )
    names = [row.method for row in report.rows]
    assert names == ["uniform", "first two", "early"]
    by_hand = [
        vidskim.Recognizer(wrapped(), look=first)(row.path).label
        for row in read_manifest(data).rows
    ]
    for result in report.results[1:]:
        assert [video.predicted for video in result.videos] == by_hand
    with pytest.raises(UsageError, match="two methods have one name"):
        evaluate_manifest(data, methods=[first, first], model=wrapped())
    with pytest.raises(UsageError, match=r"a method is a name or a vidskim\.Look"):
        evaluate_manifest(data, methods=[3], model=wrapped())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"classes": ()}, "at least one class"),
        ({"classes": ("a", "b", "c")}, r"gives \[1, 2\] for a clip, 3 classes"),
        ({"classes": 0}, "at least one class"),
        ({"features": "maps"}, "go with classify"),
        ({"classify": "score"}, "goes with features or stages"),
        ({**PARTS, "stages": ("stem",)}, "leave one of both out"),
        ({**PARTS, "features": "mapz"}, "Net has no part 'mapz'"),
        ({**STAGES, "stages": ("stem", "head")}, "Net has no part 'head'"),
        ({**PARTS, "features": "score"}, "does not take"),
        ({"features": lambda m, x: x.mean(2), "classify": "score"}, "maps are"),
        ({"clip": ClipSpec(8, 1, (1, 1))}, "frames of 32x32, its clip has 1x1"),
        ({"clip": (8, 1, 32)}, "clip is a vidskim.ClipSpec, got tuple"),
        ({"transform": None}, "transform is a vidskim.Transform, got NoneType"),
        ({"name": None}, "has a name, a word"),
        ({"classes": "ab"}, "a list of their names, or how many, got 'ab'"),
        ({"classes": {"a", "b"}}, "a list of their names"),
        ({"classes": 2.0}, "a list of their names"),
        ({"classes": True}, "a list of their names"),
        ({"classes": ["a", "a"]}, "two classes have the same name"),
        ({**PARTS, "classify": lambda m, x: {"logits": x}}, "gives a dict for a clip"),
        ({**PARTS, "features": lambda m, x: (x, x)}, "gives a tuple for a clip"),
        ({**PARTS, "features": lambda m, x: None}, "gives a NoneType for a clip"),
        ({**PARTS, "classify": lambda m, x: 1 / 0}, "does not take .*: division by zero"),
        ({**STAGES, "stages": "stem"}, "stages are a list of names"),
    ],
)
def test_what_is_no_encoder_is_one_line(options, told):
    with pytest.raises(UsageError, match=told) as error:
        wrapped(**options)
    assert "\n" not in str(error.value)


class Odd(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 2))


def test_an_output_of_another_shape_is_one_line():
    with pytest.raises(UsageError, match=r"odd: gives \[1, 32, 32\] for a clip, logits are"):
        wrap(Odd(), name="odd", clip=CLIP, transform=TRANSFORM, classes=2)


def test_parts_that_need_maps_say_so():
    with pytest.raises(UsageError, match="net gives class scores only: wrap it with features"):
        Model([wrapped()], context=CollaborativeMemory(4))


def test_a_module_that_is_not_wrapped_is_told_how(sample_video):
    with pytest.raises(UsageError, match=r"make one of any nn.Module by vidskim.wrap"):
        vidskim.recognize(sample_video, model=Net())


def test_untrained_parts_around_it_are_warned_of(sample_video):
    answer = vidskim.recognize(
        sample_video, model=wrapped(**PARTS), context="memory", random_weights=True, k=3
    )
    assert any("parts of random weights" in warning for warning in answer.warnings)
