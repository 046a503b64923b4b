"""FASTER's methods by name, from a file to a recognizer."""

import numpy as np
import pytest

from tinynets import motion_sampler, tiny_classifier, tiny_faster, tiny_sampler
from vidskim.api import make_recognizer
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.errors import CheckpointError, UsageError
from vidskim.io.write.video import write_video
from vidskim.look.methods import METHODS
from vidskim.look.motion import MotionEnergy
from vidskim.look.packets import PacketSaliency
from vidskim.model.file import save_model
from vidskim.model.load import open_any


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A FASTER model of 8 frames a clip, one of 16, and a single backbone."""
    folder = tmp_path_factory.mktemp("models")
    save_model(tiny_faster(), folder / "eight.safetensors")
    save_model(tiny_faster(num_frames=16, num_clips=5), folder / "sixteen.safetensors")
    save_backbone(tiny_classifier(), folder / "single.safetensors")
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """128 frames of 64x48 pixels: 16 clips of 8, in the tenth of which most moves."""
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (6, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    shifts = np.cumsum([6 if n // 8 == 9 else 0 for n in range(128)])
    write_video(
        path,
        (np.ascontiguousarray(np.roll(ground, s, axis=1)[:, :64]) for s in shifts),
        codec="mpeg4",
        options={"g": "12", "bf": "0", "q": "4"},
    )
    return path


def letters(answer) -> str:
    return "".join("E" if c.encoder == "r3d_18" else "C" for c in answer.clips)


def test_the_papers_configurations():
    told = {
        name: (row.num_frames, row.num_clips, row.pattern)
        for name, row in METHODS.items()
        if row.needs == "cheap"
    }
    assert told == {
        "faster": (None, None, None),
        "faster16": (16, 16, "1:7"),
        "faster32": (32, 8, "1:1"),
    }


@pytest.mark.parametrize(
    ("method", "num_frames", "pattern", "num_clips"),
    [("faster16", 16, "1:7", 16), ("faster32", 32, "1:1", 8), ("faster", 16, "1:7", 10)],
)
def test_the_untrained_model_is_the_papers(method, num_frames, pattern, num_clips):
    made = make_recognizer(model="r2plus1d_18", method=method, random_weights=True)
    model = made.model
    assert [e.name for e in model.networks] == ["r2plus1d_18", "r2d_26"]
    assert {e.clip.num_frames for e in model.networks} == {num_frames}
    assert (model.aggregator.name, model.aggregator.options["reduction"]) == ("fast_gru", 4)
    assert str(made.schedule) == pattern
    assert made.look.k == num_clips
    assert model.origin.model == "r2plus1d_18 and r2d_26, random weights"
    assert "random weights" in model.origin.warnings[0]


def test_names_are_looked_up_before_files(files, monkeypatch):
    monkeypatch.chdir(files)
    model = open_any("eight.safetensors")
    assert model.origin.model == "eight.safetensors (r3d_18 and r2d_26, fast_gru)"
    assert model.origin.warnings == ()
    assert model.card.num_clips == 6
    for name in ("demo", "r2plus1d_50", "single.safetensors"):
        with pytest.raises(UsageError, match=f"needs a FASTER model.*{name}.* has none"):
            make_recognizer(model=name, method="faster16")
    with pytest.raises(CheckpointError, match="no such file"):
        make_recognizer(model="none.safetensors", method="motion")
    with pytest.raises(UsageError, match="random weights go with a backbone's name"):
        open_any("eight.safetensors", random_weights=True)


def test_how_many_clips_are_encoded(files):
    def number(file, **options):
        return make_recognizer(model=str(files / f"{file}.safetensors"), **options).look.k

    assert number("eight") == 6
    assert number("eight", k=3) == 3
    assert number("eight", method="motion") == 6
    assert number("sixteen", method="faster16") == 16
    assert number("sixteen", method="faster16", k=4) == 4
    with pytest.raises(UsageError, match="have 16: give method 'faster'"):
        number("sixteen", method="faster32")


def test_what_the_expensive_encoder_is_sent_by(files):
    def made(route, **options):
        sampler = motion_sampler(tiny_sampler()) if route == "scsampler" else None
        file = str(files / "eight.safetensors")
        return make_recognizer(model=file, route=route, sampler=sampler, **options)

    assert made("motion").look.method == "faster, routed by motion"
    assert made("motion").look.saliency is None
    assert isinstance(made("packets").schedule.by, PacketSaliency)
    assert isinstance(made("motion").schedule.by, MotionEnergy)
    for pattern, number in (("1:5", 1), ("1:2", 2), ("all", 6), ("none", 1)):
        assert made("scsampler", pattern=pattern).schedule.by.k == number
    both = made("packets", method="motion", k=4)
    assert both.look.method == "motion, routed by packets"
    assert isinstance(both.look.saliency, MotionEnergy)
    own = MotionEnergy()
    assert made(own).schedule.by is own
    assert made(own).look.method == "faster, routed by MotionEnergy"


def test_which_pattern_is_taken(files):
    def told(method=None, **options):
        made = make_recognizer(
            model=str(files / "sixteen.safetensors"), method=method, **options
        ).schedule
        return str(made)

    assert told("faster") == told("uniform") == told() == "1:2"
    assert told("faster16") == "1:7"
    assert told("faster16", pattern="2:3") == "2:3"
    assert told("faster", pattern="all", route="motion") == "all by saliency"


def test_a_file_is_enough(files, video):
    answer = make_recognizer(model=str(files / "eight.safetensors"))(video)
    assert answer.method == "faster"
    assert letters(answer) == "ECCECC"
    assert [c.clip.index for c in answer.clips] == [1, 4, 6, 9, 12, 14]
    assert answer.saliency is None


def test_pattern_clips_and_route_are_asked_for(files, video):
    model = str(files / "eight.safetensors")
    assert letters(make_recognizer(model=model, k=4, pattern="CE")(video)) == "CECE"
    fixed = make_recognizer(model=model, k=16, pattern="1:7")(video)
    routed = make_recognizer(model=model, k=16, pattern="1:15", route="motion")(video)
    assert letters(fixed) == "ECCCCCCCECCCCCCC"
    assert letters(routed) == "CCCCCCCCCECCCCCC"
    assert routed.method == "faster, routed by motion"
    assert len(routed.saliency) == 16


def test_other_methods_choose_the_clips_too(files, video):
    model = str(files / "eight.safetensors")
    answer = make_recognizer(model=model, method="motion", k=2, pattern="CE")(video)
    assert answer.method == "motion"
    assert 9 in [c.clip.index for c in answer.clips]
    assert letters(answer) == "CE"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sampler": "x.safetensors"}, "takes no sampler"),
        ({"route": "motion", "every": 2}, "takes no sampler"),
        ({"route": "best"}, "unknown route"),
        ({"pattern": "1;7"}, "pattern"),
        ({"k": 0}, "at least 1"),
        ({"method": "faster16"}, "clips of 16 frames"),
        ({"method": "unifrom"}, "did you mean 'uniform'"),
        ({"random_weights": True}, "random weights"),
    ],
)
def test_what_makes_no_sense_is_refused(files, options, told):
    with pytest.raises(UsageError, match=told):
        make_recognizer(model=str(files / "eight.safetensors"), **options)


@pytest.mark.parametrize("options", [{"pattern": "1:7"}, {"route": "motion"}])
def test_a_single_classifier_takes_neither_pattern_nor_route(files, options):
    with pytest.raises(UsageError, match="two encoders"):
        make_recognizer(model=str(files / "single.safetensors"), **options)


def test_a_preset_takes_a_model_of_its_clips(files, video):
    answer = make_recognizer(model=str(files / "sixteen.safetensors"), method="faster16")(video)
    assert letters(answer) == "ECCCCCCC"  # 8 clips of 16 are all there are
    assert any("fewer than 16" in warning for warning in answer.warnings)
