"""Methods x manifest: the answers are the Recognizer's own, whatever else goes wrong."""

import shutil
from dataclasses import asdict, replace

import pytest
import torch

from tinynets import motion_sampler
from tinyset import CLASSES, write_tiny_set
from vidskim import presets
from vidskim.answer.build import Ask
from vidskim.answer.recognizer import Recognizer
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.registry import create_backbone
from vidskim.clips.transform import Transform
from vidskim.data.manifest import Row, read_manifest
from vidskim.errors import ManifestError, UsageError
from vidskim.evaluate import benchmark as module
from vidskim.evaluate.benchmark import benchmark, moments_of, turns
from vidskim.evaluate.journal import Journal
from vidskim.look.methods import SELECTED

METHODS = (*SELECTED, "oracle")
K = 2


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return read_manifest(write_tiny_set(folder, train=0, test=4, num_frames=48))


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(1)
    network = create_backbone("r3d_18", num_classes=2, width=4)
    network.classes = CLASSES
    network.clip = ClipSpec(4, 2, (16, 16))
    network.transform = Transform(short_side=16, crop=(16, 16))
    return network.eval()


@pytest.fixture(scope="module")
def saliency():
    torch.manual_seed(2)
    network = create_backbone("resnet_18", num_classes=2, in_channels=2, width=4, stem="small")
    return motion_sampler(network, size=(3, 4))


@pytest.fixture
def measure(manifest, encoder, saliency):
    def run(rows=None, methods=METHODS, **options):
        chosen = manifest if rows is None else replace(manifest, rows=tuple(rows))
        ask = Ask(k=K, sampler=saliency)
        return benchmark(chosen, model=encoder, methods=methods, ask=ask, **options)

    return run


@pytest.fixture(scope="module")
def everything(manifest, encoder, saliency):
    """All methods on all videos, measured once."""
    return benchmark(manifest, model=encoder, methods=METHODS, ask=Ask(k=K, sampler=saliency))


def test_answers_are_the_recognizer_s_own(everything, manifest, encoder, saliency):
    results = everything
    assert [r.method for r in results] == [
        "dense", "uniform", "random", "packets", "motion", "scsampler", "cascade", "oracle"
    ]  # fmt: skip
    for result in results:
        assert [v.path for v in result.videos] == [f"test_{n}.mp4" for n in range(4)]
        for video, row in zip(result.videos, manifest.rows):
            if result.method == "oracle":
                look = presets.oracle(encoder, label=row.label, k=K)
            else:
                look = presets.look(result.method, k=K, saliency=lambda: saliency)
            own = Recognizer(encoder, look=look)(row.path)
            assert video.predicted == own.label
            assert video.correct == (own.label == row.label)
            (score,) = [p.score for p in own.predictions if p.label == row.label]
            assert video.score_of_label == pytest.approx(score, abs=1e-6)
            assert (video.macs, video.look_macs, video.dense_macs) == (
                own.cost.macs, own.cost.look_macs, own.cost.dense_macs
            )  # fmt: skip
            assert video.frames_decoded == own.cost.frames_decoded
            assert video.seconds_total >= sum(video.seconds.values()) * 0.99
            assert video.precision_at_k is None
            assert video.warnings == own.warnings


def test_oracle_scores_its_label_at_least_as_high_as_any_choice(everything):
    scores = {r.method: [v.score_of_label for v in r.videos] for r in everything}
    for method in ("uniform", "random", "packets", "motion", "scsampler"):
        assert all(o >= s - 1e-6 for o, s in zip(scores["oracle"], scores[method])), method


def test_an_unreadable_video_counts_as_wrong_and_stops_nothing(measure, manifest, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(manifest.rows[0].path.read_bytes()[:300])
    rows = [Row(broken, ("left",)), manifest.rows[1], Row(tmp_path / "gone.mp4", ("right",))]
    for result in measure(rows, methods=("uniform", "oracle")):
        assert [v.predicted is None for v in result.videos] == [True, False, True]
        assert [v.correct for v in result.videos][::2] == [False, False]
        assert "gone.mp4" in result.videos[2].warnings[0]


def test_a_manifest_whose_videos_are_all_elsewhere_is_refused(measure, tmp_path):
    rows = [Row(tmp_path / f"{n}.mp4", ("left",)) for n in range(3)]
    with pytest.raises(ManifestError, match=r"not one of its 3 videos can be read.*0\.mp4"):
        measure(rows, methods=("uniform",))


def test_a_label_the_classifier_does_not_know(measure, manifest):
    with pytest.raises(ManifestError, match="label 'up' is not among the 2 classes of r3d_18"):
        measure([*manifest.rows, Row(manifest.rows[0].path, ("up",))])


@pytest.mark.parametrize(
    ("methods", "message"), [(("unifrom",), "did you mean 'uniform'"), ((), "at least one method")]
)
def test_methods_that_are_none(measure, methods, message):
    with pytest.raises(UsageError, match=message):
        measure(methods=methods)


def test_several_labels_are_right_if_one_is(measure, manifest):
    (result,) = measure([Row(manifest.rows[0].path, CLASSES)], methods=("uniform",))
    assert result.videos[0].correct
    assert result.videos[0].label == "left|right"


def test_each_method_goes_first_in_turn(measure, monkeypatch):
    methods = ("dense", "uniform", "motion")
    assert [turns(methods, n)[0] for n in range(5)] == ["dense", "uniform", "motion", "dense",
                                                        "uniform"]  # fmt: skip
    assert all(sorted(turns(methods, n)) == sorted(methods) for n in range(5))
    asked = []
    judge = module._judge

    def noted(recognizer, row, name, moments):
        asked.append((recognizer.look.method, name))
        return judge(recognizer, row, name, moments)

    monkeypatch.setattr(module, "_judge", noted)
    measure(methods=methods)
    expected = [(m, f"test_{n}.mp4") for n in range(4) for m in turns(methods, n)]
    assert asked == expected


def test_precision_at_k_by_hand(measure, manifest, encoder):
    # 48 frames at 25 per second; clips of 4 frames at stride 2 touch every 8 frames: 0.32 s.
    first, second, *_ = manifest.rows
    moments = {str(first.path.resolve()): [(0.32, 0.64), (1.30, 1.90)]}
    (dense,) = measure([first, second], methods=("dense",), moments=moments)
    # Clips from 0.00, 0.32, 0.64, 0.96, 1.28, 1.60 s; the second moment holds 0.30 s of the fifth
    # and 0.30 s of the sixth: three of six.
    assert dense.videos[0].precision_at_k == pytest.approx(3 / 6)
    assert dense.videos[1].precision_at_k is None  # nobody said where its class shows
    (uniform,) = measure([first], methods=("uniform",), moments=moments)
    # The middles of two halves of six clips: clips 1 and 4, both in a moment.
    assert uniform.videos[0].precision_at_k == 1.0


def test_moments_of_a_manifest(manifest):
    path = manifest.rows[0].path
    rows = (
        Row(path, ("left",), start_seconds=1.0, end_seconds=1.5),
        Row(path, ("left",), start_seconds=0.2, end_seconds=0.4),
        Row(manifest.rows[1].path, ("right",)),
    )
    found = moments_of(replace(manifest, rows=rows))
    assert found == {str(path.resolve()): [(1.0, 1.5), (0.2, 0.4)]}


def stable(results):
    """What does not depend on the clock."""
    dropped = ("seconds", "seconds_total", "peak_bytes")
    return [
        [{k: v for k, v in asdict(video).items() if k not in dropped} for video in result.videos]
        for result in results
    ]


def test_an_interrupted_evaluation_goes_on(measure, everything, monkeypatch, tmp_path):
    methods = ("uniform", "motion", "oracle")
    whole = [result for result in everything if result.method in methods]
    keys = {method: f"key of {method}" for method in methods}
    judge = module._judge
    asked = []

    def interrupted(*arguments):
        if len(asked) == 7:
            raise KeyboardInterrupt
        asked.append(arguments)
        return judge(*arguments)

    monkeypatch.setattr(module, "_judge", interrupted)
    path = tmp_path / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        measure(methods=methods, journal=Journal(path, keys=keys))
    with path.open("a") as file:
        file.write('{"key": "key of motion", "row": 3, "ans')  # torn by the kill
    journal = Journal(path, keys=keys)
    assert len(journal) == 7
    asked.clear()
    again = measure(methods=methods, journal=journal)
    assert len(asked) == 4 * 3 - 7
    assert stable(again) == stable(whole)
    assert all(type(v.warnings) is tuple for r in again for v in r.videos)


def test_failures_are_asked_again(measure, manifest, tmp_path):
    path = tmp_path / "late.mp4"
    rows = [manifest.rows[1], Row(path, ("left",))]
    keys = {"uniform": "u"}
    (first,) = measure(rows, methods=("uniform",), journal=Journal(tmp_path / "j", keys=keys))
    assert first.videos[1].predicted is None
    shutil.copy(manifest.rows[0].path, path)
    (second,) = measure(rows, methods=("uniform",), journal=Journal(tmp_path / "j", keys=keys))
    assert second.videos[1].predicted is not None
    assert second.videos[0] == first.videos[0]  # its seconds too: it was not asked again
