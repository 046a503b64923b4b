"""Clip answers on disk: those of the recognizer, found again by content, never silently wrong."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from tinyset import CLASSES, write_tiny_set
from vidskim import presets
from vidskim.answer.recognizer import Recognizer
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.registry import create_backbone
from vidskim.clips.transform import Transform
from vidskim.data.cache import answers as module
from vidskim.data.cache.answers import (
    Answers,
    check_labels,
    clip_answers,
    oracle_places,
    place_histogram,
)
from vidskim.data.manifest import Row, read_manifest
from vidskim.errors import ManifestError, UsageError
from vidskim.video import Video


def tiny_classifier(seed=0, num_frames=8):
    torch.manual_seed(seed)
    network = create_backbone("r3d_18", num_classes=2, width=4).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)  # or all answers are alike
    network.fc.weight.data *= 0.3
    network.classes = CLASSES
    network.clip = ClipSpec(num_frames, 1, (24, 24))
    network.transform = Transform(short_side=24, crop=(24, 24))
    return network


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return read_manifest(write_tiny_set(tmp_path_factory.mktemp("tiny"), train=4, test=0))


@pytest.fixture
def count_videos(monkeypatch):
    """The files that the classifier really looks at."""
    seen = []
    original = module._Classifier.__call__

    def counted(self, path):
        seen.append(path.name)
        return original(self, path)

    monkeypatch.setattr(module._Classifier, "__call__", counted)
    return seen


def test_answers_are_those_of_a_dense_recognizer(manifest, tmp_path):
    encoder = tiny_classifier()
    answers = clip_answers(manifest.rows, encoder, folder=tmp_path)
    dense = Recognizer(encoder, look=presets.dense())
    assert answers.rows == manifest.rows
    for n, row in enumerate(manifest.rows):
        assert (answers[n].shape, answers[n].dtype) == ((5, 2), torch.float32)
        told = {s.label: s.score for s in dense(row.path).predictions}
        mean = answers[n].mean(0)
        assert [float(p) for p in mean] == pytest.approx([told[c] for c in CLASSES], abs=1e-6)


def test_every_clip_s_own_answer(manifest, tmp_path):
    encoder = tiny_classifier()
    answers = clip_answers(manifest.rows[:1], encoder, folder=tmp_path)
    video = Video(manifest.rows[0].path)
    frames = video.frames(video.clips(num_frames=8))
    with torch.inference_mode():
        expected = torch.softmax(encoder(encoder.transform(frames)), 1)
    torch.testing.assert_close(answers[0], expected, atol=1e-5, rtol=0)
    assert expected.std(0).max() > 1e-4
    column = CLASSES.index(manifest.rows[0].label)
    assert torch.equal(answers.of_label(0), answers[0][:, column])


def test_answers_are_found_again_by_content(manifest, tmp_path, count_videos):
    clip_answers(manifest.rows, tiny_classifier(), folder=tmp_path / "c")
    assert len(count_videos) == 4
    copy = tmp_path / "copy.mp4"
    shutil.copy(manifest.rows[2].path, copy)
    rows = [*manifest.rows, Row(copy, ("left",))]
    again = clip_answers(rows, tiny_classifier(), folder=tmp_path / "c")
    assert len(count_videos) == 4
    assert torch.equal(again[4], again[2])
    copy.write_bytes(manifest.rows[3].path.read_bytes())
    changed = clip_answers(rows, tiny_classifier(), folder=tmp_path / "c")
    assert torch.equal(changed[4], changed[3])
    assert not torch.equal(changed[4], changed[2])


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.fc.bias.data[0].add_(1),
        lambda e: setattr(e, "clip", ClipSpec(4, 1, (24, 24))),
        lambda e: setattr(e, "clip", ClipSpec(8, 2, (24, 24))),
        lambda e: setattr(e, "transform", replace(e.transform, mean=(0.1, 0.2, 0.3))),
    ],
    ids=["weights", "clip", "stride", "transform"],
)
def test_every_setting_that_changes_a_number_is_another_answer(
    manifest, tmp_path, count_videos, change
):
    first = clip_answers(manifest.rows[:1], tiny_classifier(), folder=tmp_path)
    other = tiny_classifier()
    change(other)
    second = clip_answers(manifest.rows[:1], other, folder=tmp_path)
    assert len(count_videos) == 2
    assert not torch.equal(first[0], second[0])


def test_precision_is_part_of_the_key(manifest, tmp_path, count_videos):
    for precision in ("fp32", "bf16"):
        clip_answers(manifest.rows[:1], tiny_classifier(), folder=tmp_path, precision=precision)
    assert len(count_videos) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"no array",
        lambda _: b"PK\x03\x04 no archive",
        lambda whole: whole[:-3],
        lambda whole: whole + b"more",
        lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),  # a bit of the last number's exponent
        lambda whole: whole.replace(b"'shape': (", b"'shape': (9999999999", 1),
        lambda whole: whole.replace(b"'<f4'", b"'|O' ", 1),
        lambda whole: whole.replace(b"{'descr", b"{[(descr", 1),
    ],
)
def test_a_damaged_file_is_made_anew(manifest, tmp_path, count_videos, damage):
    first = clip_answers(manifest.rows[:1], tiny_classifier(), folder=tmp_path)
    expected = first[0]
    whole = first.files[0].read_bytes()
    assert damage(whole) != whole
    first.files[0].write_bytes(damage(whole))
    with pytest.warns(UserWarning, match=rf"{first.files[0]}: damaged"):
        again = clip_answers(manifest.rows[:1], tiny_classifier(), folder=tmp_path)
    assert torch.equal(again[0], expected)
    assert len(count_videos) == 2


def test_answers_of_other_classes_are_made_anew(manifest, tmp_path, count_videos):
    first = clip_answers(manifest.rows[:1], tiny_classifier(), folder=tmp_path)
    expected = first[0]
    np.save(first.files[0], np.full((5, 4), 0.25, np.float32))
    with pytest.warns(UserWarning, match="damaged"):
        again = clip_answers(manifest.rows[:1], tiny_classifier(), folder=tmp_path)
    assert torch.equal(again[0], expected)
    assert len(count_videos) == 2


def test_what_was_answered_before_a_kill_is_kept(manifest, tmp_path, monkeypatch, count_videos):
    original = module._save

    def killed(answers, path):
        if len(count_videos) == 3:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        original(answers, path)

    monkeypatch.setattr(module, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        clip_answers(manifest.rows, tiny_classifier(), folder=tmp_path)
    monkeypatch.setattr(module, "_save", original)
    count_videos.clear()
    answers = clip_answers(manifest.rows, tiny_classifier(), folder=tmp_path)
    assert len(count_videos) == 2
    assert len(answers) == 4
    assert not list(tmp_path.rglob("*.part*"))


def test_unreadable_videos_are_left_out_and_named(manifest, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    rows = [*manifest.rows, Row(bad, ("left",)), *manifest.rows, *manifest.rows]
    with pytest.warns(UserWarning, match=r"1 of 13 videos were left out.*bad\.mp4"):
        answers = clip_answers(rows, tiny_classifier(), folder=tmp_path / "c")
    assert len(answers) == 12
    assert answers.rows == manifest.rows * 3
    assert torch.equal(answers[4], answers[0])
    assert len(answers.failures) == 1
    with pytest.raises(ManifestError, match=r"1 of 5 videos cannot be read.*bad\.mp4"):
        clip_answers(rows[:5], tiny_classifier(), folder=tmp_path / "c")
    with pytest.raises(ManifestError, match=r"gone\.mp4.*No such file"):
        clip_answers([Row(tmp_path / "gone.mp4", ("left",))], tiny_classifier(), folder=tmp_path)


def test_a_clip_that_cannot_be_read_is_no_number(manifest, tmp_path, monkeypatch):
    original = Video.iter_frames

    def without_third(self, clips):
        return (found for found in original(self, clips) if found[0].index != 2)

    whole = clip_answers(manifest.rows[:1], tiny_classifier(), folder=tmp_path / "a")
    monkeypatch.setattr(Video, "iter_frames", without_third)
    answers = clip_answers(manifest.rows[:1], tiny_classifier(), folder=tmp_path / "b")
    assert answers[0].isnan().any(1).tolist() == [False, False, True, False, False]
    rest = [0, 1, 3, 4]
    torch.testing.assert_close(answers[0][rest], whole[0][rest], atol=1e-5, rtol=0)
    assert 2 not in oracle_places(answers[0], label=0, k=5)


def test_networks_that_cannot_answer(manifest, tmp_path):
    nameless = tiny_classifier()
    nameless.classes = None
    with pytest.raises(UsageError, match="does not name its classes"):
        clip_answers(manifest.rows, nameless, folder=tmp_path)
    with pytest.raises(UsageError, match="no clip classifier"):
        clip_answers(manifest.rows, create_backbone("resnet_18", width=4), folder=tmp_path)
    with pytest.raises(ManifestError, match="no rows"):
        clip_answers([], tiny_classifier(), folder=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="give another folder"):
        clip_answers(manifest.rows, tiny_classifier(), folder=tmp_path / "file")
    rows = [*manifest.rows, Row(tmp_path / "x.mp4", ("dive",))]
    with pytest.raises(ManifestError, match=r"net does not know 1 of .* classes \(dive\)"):
        check_labels(rows, tiny_classifier(), name="net")
    check_labels(manifest.rows, tiny_classifier(), name="net")


@pytest.mark.parametrize("k", [1, 3, 10])
def test_oracle_places_against_a_sort(k):
    rng = np.random.default_rng(k)
    answers = rng.random((8, 3)).astype(np.float32).round(1)  # with ties
    answers[3] = np.nan
    readable = [n for n in range(8) if n != 3]
    expected = sorted(sorted(readable, key=lambda n: (-answers[n, 1], n))[:k])
    assert oracle_places(torch.from_numpy(answers), label=1, k=k) == expected


def test_the_histogram_of_places():
    counts = place_histogram([[0], [0, 3]], [2, 4], bins=4)
    # the first video's clip covers bins 0 and 1, the second's are bins 0 and 3: halves each
    assert counts.tolist() == pytest.approx([0.5, 0.25, 0, 0.25])
    assert place_histogram([[0, 1, 2]], [3], bins=5).tolist() == pytest.approx([0.2] * 5)
    with pytest.raises(UsageError, match="at least 1 bin"):
        place_histogram([[0]], [1], bins=0)
    with pytest.raises(UsageError, match="no clip"):
        place_histogram([[]], [3], bins=2)


def test_answers_are_a_plain_value(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0.25, 0.75]], np.float32))
    answers = Answers((Row(tmp_path / "a.mp4", ("right",)),), CLASSES, (tmp_path / "a.npy",))
    assert (len(answers), answers.of_label(0).tolist()) == (1, [0.75])
