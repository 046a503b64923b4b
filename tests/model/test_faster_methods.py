"""FASTER's methods by name, from a file to a recognizer."""

import numpy as np
import pytest
import torch

from tinynets import motion_sampler, tiny_classifier, tiny_faster, tiny_sampler
from vidskim.answer.build import is_faster_model, make_recognizer
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.errors import CheckpointError, UsageError
from vidskim.io.write.video import write_video
from vidskim.look.motion import MotionEnergy
from vidskim.look.open import SamplerOptions
from vidskim.look.packets import PacketSaliency
from vidskim.model import faster_methods
from vidskim.model.file import save_model
from vidskim.model.schedule import Routed


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


def never():
    raise AssertionError("a sampler was opened that nothing is routed by")


def letters(answer) -> str:
    return "".join("E" if c.encoder == "r3d_18" else "C" for c in answer.clips)


def test_the_papers_configurations():
    assert METHODS == ("faster", "faster16", "faster32")
    told = {name: (p.num_frames, p.num_clips, str(p.pattern)) for name, p in PRESETS.items()}
    assert told == {"faster16": (16, 16, "1:7"), "faster32": (32, 8, "1:1")}


def test_the_untrained_model_is_the_papers_in_every_size():
    model = untrained_faster(preset=PRESETS["faster32"], num_classes=7)
    assert [e.name for e in model.networks] == ["r2plus1d_50", "r2d_26"]
    assert [(e.clip.num_frames, e.clip.stride) for e in model.networks] == [(32, 1), (32, 1)]
    assert model.clip.size == (224, 224)
    assert (model.aggregator.name, model.aggregator.channels) == ("fast_gru", 2048)
    assert model.aggregator.options["reduction"] == 4
    assert (str(model.pattern), model.num_clips, model.aggregator.num_classes) == ("1:1", 8, 7)
    assert not list(model.adapters.parameters())
    assert not model.training


def test_the_same_untrained_numbers_are_drawn_each_time():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, other = (untrained_faster("r2d_26", num_classes=3).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_names_are_looked_up_before_files(files, tmp_path, monkeypatch):
    monkeypatch.chdir(files)
    faster, origin = open_faster("eight.safetensors")
    assert origin.model == "eight.safetensors (r3d_18 and r2d_26, fast_gru)"
    assert origin.warnings == ()
    assert faster.num_clips == 6
    with pytest.raises(UsageError, match="demo is a single classifier"):
        open_faster("demo")
    with pytest.raises(UsageError, match="r2plus1d_50 is a single classifier"):
        open_faster("r2plus1d_50")
    with pytest.raises(UsageError, match=r"single\.safetensors holds a single backbone"):
        open_faster("single.safetensors", method="faster16")
    with pytest.raises(CheckpointError, match="no such file"):
        open_faster("none.safetensors")
    with pytest.raises(UsageError, match="random weights go with a backbone's name"):
        open_faster("eight.safetensors", random_weights=True)


def test_random_weights_warn(monkeypatch):
    monkeypatch.setattr(faster_methods, "untrained_faster", lambda name, preset: (name, preset))
    for method, preset in {**PRESETS, "faster": PRESETS["faster16"]}.items():
        found, origin = open_faster("r3d_50", method=method, random_weights=True)
        assert found == ("r3d_50", preset)
        assert origin.model == "r3d_50 and r2d_26, random weights"
        assert "random weights" in origin.warnings[0]


def test_which_files_are_faster_models(files, tmp_path):
    assert is_faster_model(str(files / "eight.safetensors"))
    assert not is_faster_model(str(files / "single.safetensors"))
    assert not is_faster_model(str(files / "none.safetensors"))
    assert not is_faster_model("r3d_18")
    assert not is_faster_model("demo")
    (tmp_path / "bad.safetensors").write_bytes(b"12345678{...")
    with pytest.raises(CheckpointError, match=r"bad\.safetensors"):
        is_faster_model(str(tmp_path / "bad.safetensors"))


def test_how_many_clips_are_seen():
    eight, sixteen = tiny_faster(), tiny_faster(num_frames=16, num_clips=5)

    def number(method, model, k=None):
        return faster_look(method, model, k=k, route=None, saliency=never).k

    assert number("faster", eight) == 6
    assert number("faster", eight, k=3) == 3
    assert number("faster16", sixteen) == 16
    assert number("faster16", sixteen, k=4) == 4
    with pytest.raises(UsageError, match="faster16 has clips of 16 frames, those of the model"):
        number("faster16", eight)
    with pytest.raises(UsageError, match="have 16: give method 'faster'"):
        number("faster32", sixteen)
    for k in (0, -1):
        with pytest.raises(UsageError, match="at least 1"):
            number("faster", eight, k=k)


def test_what_the_expensive_encoder_is_sent_by():
    model = tiny_faster()
    sampler = motion_sampler(tiny_sampler())

    def look(route, saliency=never):
        return faster_look("faster", model, k=None, route=route, saliency=saliency)

    assert look(None).saliency is None
    assert look(None).method == "faster"
    assert isinstance(look("packets").saliency, PacketSaliency)
    assert isinstance(look("motion").saliency, MotionEnergy)
    assert look("motion").method == "faster, routed by motion"
    for pattern, number in (("1:5", 1), ("1:2", 2), ("all", 6), ("none", 1)):
        routed = faster_look(
            "faster", model, k=None, route="scsampler", saliency=lambda: sampler, pattern=pattern
        )
        assert routed.saliency.k == number
    with pytest.raises(UsageError, match="unknown route 'moton': did you mean 'motion'"):
        look("moton")
    assert set(ROUTES) == {"packets", "motion", "scsampler"}


def test_which_pattern_is_taken():
    model = tiny_faster(pattern="ECC", num_frames=16)

    def told(method, pattern=None, route=None):
        return faster_schedule(method, model, pattern=pattern, route=route)

    assert str(told("faster")) == "1:2"
    assert str(told("uniform")) == "1:2"
    assert str(told("faster16")) == "1:7"
    assert str(told("faster32")) == "1:1"
    assert str(told("faster16", "2:3")) == "2:3"
    routed = told("faster", "all", "motion")
    assert isinstance(routed, Routed)
    assert str(routed.pattern) == "all"
    with pytest.raises(UsageError, match="pattern"):
        told("faster", "1:x")


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
        ({"method": "motion", "route": "packets"}, "chooses clips itself"),
        ({"sampler": "x.safetensors"}, "with route 'scsampler' only"),
        ({"route": "motion", "options": SamplerOptions(every=2)}, "with route 'scsampler' only"),
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
    with pytest.raises(UsageError, match="needs a FASTER model"):
        make_recognizer(model=str(files / "single.safetensors"), **options)


def test_a_preset_takes_a_model_of_its_clips(files, video):
    answer = make_recognizer(model=str(files / "sixteen.safetensors"), method="faster16")(video)
    assert letters(answer) == "ECCCCCCC"  # 8 clips of 16 are all there are
    assert any("fewer than the 16" in warning for warning in answer.warnings)
