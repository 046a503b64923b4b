"""Checkpoints to samplers."""

import pytest
import torch

from tinynets import tiny_classifier, tiny_sampler
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.backbones.registry import create_backbone
from vidskim.errors import CheckpointError, UsageError
from vidskim.look.cascade import Strided
from vidskim.look.open import SamplerOptions, look_of, open_sampler, settings_of
from vidskim.look.sources import ALL_FRAMES, LogMels, MotionMaps, Residuals, to_json

SOURCES = (MotionMaps((4, 6)), Residuals((24, 32), per_clip=2), LogMels(num_mels=8, num_steps=16))


@pytest.fixture
def files(tmp_path):
    """Checkpoints by kind."""
    found = {}
    for source in SOURCES:
        path = tmp_path / f"{source.kind}.safetensors"
        network = tiny_sampler(in_channels=source.channels)
        save_backbone(network, path, metadata={"source": to_json(source), "objective": "ac"})
        found[source.kind] = str(path)
    return found


def test_a_file_tells_what_its_network_looks_at(files):
    for source in SOURCES:
        (saliency,) = open_sampler(files[source.kind]).networks
        assert saliency.source == source
        assert saliency.objective == "ac"
        expected = tiny_sampler(in_channels=source.channels).state_dict()
        assert all(torch.equal(v, expected[k]) for k, v in saliency.network.state_dict().items())


def test_files_with_commas_between_make_one_sampler(files):
    names = ",".join([files["audio"], files["residual"], files["motion"]])
    sampler = open_sampler(names, options=SamplerOptions(rule="convex_list", alpha=0.2))
    assert [s.kind for s in sampler.visual] == ["motion", "residual"]
    assert sampler.audio.kind == "audio"
    assert (sampler.rule, sampler.alpha) == ("convex_list", 0.2)
    assert open_sampler(names).rule == "union_list"


def test_options_change_what_is_looked_at(files):
    residual = files["residual"]
    for asked, got in ((None, 2), (5, 5), (0, ALL_FRAMES)):
        sampler = open_sampler(residual, options=SamplerOptions(residuals=asked))
        assert sampler.visual[0].source.per_clip == got
    strided = open_sampler(residual, options=SamplerOptions(every=3))
    assert isinstance(strided, Strided)
    assert settings_of(strided) != settings_of(open_sampler(residual))


def test_networks_trained_together_are_averaged(tmp_path):
    names = []
    for source in (SOURCES[0], SOURCES[2]):
        network = tiny_sampler(in_channels=source.channels)
        network.reset_classifier(1)
        names.append(str(tmp_path / f"{source.kind}.safetensors"))
        told = {"source": to_json(source), "objective": "sal_rank", "joint": True}
        save_backbone(network, names[-1], metadata=told)
    sampler = open_sampler(names)
    assert sampler.rule == "joint"
    assert {s.objective for s in sampler.networks} == {"sal_rank"}


def test_the_first_release_told_the_size_of_maps_alone(tmp_path):
    path = tmp_path / "old.safetensors"
    save_backbone(tiny_sampler(), path, metadata={"map_size": [4, 6]})
    assert open_sampler(str(path)).visual[0].source == MotionMaps((4, 6))
    save_backbone(tiny_sampler(), path)
    assert open_sampler(str(path)).visual[0].source == MotionMaps(None)


def test_untrained_samplers(files):
    untrained = open_sampler(files["motion"], random_weights=True)
    assert untrained.visual[0].source == SOURCES[0]
    papers = open_sampler(None, random_weights=True)
    assert papers.visual[0].network.conv1.weight.shape == (64, 2, 7, 7)
    both = open_sampler("motion,audio", random_weights=True)
    assert both.audio.network.name == "vggish"


def test_other_checkpoints_are_refused(files, tmp_path):
    path = tmp_path / "x.safetensors"
    save_backbone(tiny_classifier(), path)
    with pytest.raises(CheckpointError, match="no saliency network"):
        open_sampler(str(path))
    save_backbone(tiny_sampler(in_channels=3), path)
    with pytest.raises(CheckpointError, match="takes 3 channels, motion input has 2"):
        open_sampler(str(path))
    told = {"source": to_json(SOURCES[0]), "objective": "sal_cl"}
    save_backbone(tiny_sampler(), path, metadata=told)
    with pytest.raises(CheckpointError, match="gives one score"):
        open_sampler(str(path))
    with pytest.raises(CheckpointError, match="one checkpoint per source"):
        open_sampler([files["motion"], files["motion"]])
    for random_weights in (False, True):
        with pytest.raises(CheckpointError, match="no such file"):
            open_sampler(str(tmp_path / "none.safetensors"), random_weights=random_weights)


@pytest.mark.parametrize(
    "told",
    [
        {"source": "motion"},
        {"source": {"kind": "smell"}},
        {"source": {"kind": "motion", "size": [0, 3]}},
        {"source": {"kind": "motion", "size": "big"}},
        {"source": {"kind": "residual", "per_clip": 0}},
        {"source": {"kind": "audio", "windows": 3}},
        {"source": {"kind": "motion", "size": [10**5, 10**5]}},
        {"source": {"kind": "motion", "size": [3.5, 4]}},
        {"source": {"kind": "motion", "b_frames": "no"}},
        {"source": {"kind": "keyframe", "size": None}, "in_channels": 3},
        {"source": {"kind": "motion", "channels": 3}, "in_channels": 3},
        {"source": {"kind": "residual", "per_clip": 1.5}, "in_channels": 3},
        {"source": {"kind": "audio", "num_mels": "8"}, "in_channels": 1},
        {"source": {"kind": "audio", "num_mels": 10**6}, "in_channels": 1},
        {"source": {"kind": "audio", "window_clips": "nan"}, "in_channels": 1},
        {"source": {"kind": "audio", "window_clips": 1e12}, "in_channels": 1},
        {"objective": "sal"},
        *[{"map_size": s} for s in ([4], [0, 3], "big", [4, 5, 6], 7, [None, 2], [10**6, 4])],
    ],
)
def test_a_lying_file_is_refused_by_name(tmp_path, told):
    path = tmp_path / "sampler.safetensors"
    network = tiny_sampler(in_channels=told.get("in_channels", 2))
    save_backbone(network, path, metadata=told)
    with pytest.raises(CheckpointError, match=r"sampler\.safetensors: "):
        open_sampler(str(path))


def test_a_file_whose_network_cannot_answer_is_refused_by_name(tmp_path):
    path = tmp_path / "sampler.safetensors"
    network = create_backbone("vggish", num_classes=3, width=4)
    told = {"source": to_json(LogMels(num_mels=1, num_steps=1))}
    save_backbone(network, path, metadata=told)
    with pytest.raises(CheckpointError, match=r"sampler\.safetensors: .* input of 1 x 1"):
        open_sampler(str(path))
    network = tiny_sampler()
    network.fc.bias.data[0] = torch.nan
    save_backbone(network, path, metadata={"source": to_json(SOURCES[0])})
    with pytest.raises(CheckpointError, match=r"sampler\.safetensors: .* no numbers"):
        open_sampler(str(path))


def test_wrong_options_are_refused(files):
    with pytest.raises(UsageError, match="takes no sampler"):
        look_of("motion", k=3, sampler=files["motion"])
    with pytest.raises(UsageError, match="takes no sampler"):
        look_of("uniform", k=3, options=SamplerOptions(every=2))
    with pytest.raises(UsageError, match="for method 'cascade'"):
        look_of("scsampler", k=3, options=SamplerOptions(candidates=9))
    with pytest.raises(UsageError, match="at least as many"):
        look_of("cascade", k=10, sampler=files["motion"], options=SamplerOptions(candidates=9))
    for visual_k in (-1, 4, 10**12):
        with pytest.raises(UsageError, match="of the 3 clips"):
            look_of("scsampler", k=3, options=SamplerOptions(visual_k=visual_k))
    for wrong in ({"residuals": -1}, {"every": 0}):
        with pytest.raises(UsageError):
            SamplerOptions(**wrong)
    with pytest.raises(UsageError, match="none is empty"):
        open_sampler("a.safetensors,,b.safetensors")


def test_options_that_mean_nothing_to_a_sampler_are_refused(files):
    for options, words in (
        (SamplerOptions(rule="convex_list"), "motion only"),
        (SamplerOptions(alpha=0.7), "motion only"),
        (SamplerOptions(visual_k=2), "motion only"),
        (SamplerOptions(residuals=3), "looks at no residuals"),
        (SamplerOptions(every=2, residuals=3), "looks at no residuals"),
    ):
        with pytest.raises(UsageError, match=words):
            look_of("scsampler", k=3, sampler=files["motion"], options=options)
    with pytest.raises(UsageError, match="a cascade skips clips itself"):
        look_of("cascade", k=3, sampler=files["motion"], options=SamplerOptions(every=2))
    both = f"{files['motion']},{files['audio']}"
    for options in (SamplerOptions(rule="convex_list", alpha=0.7), SamplerOptions(visual_k=2)):
        assert look_of("scsampler", k=3, sampler=both, options=options).method == "scsampler"
    for options, words in (
        (SamplerOptions(alpha=0.7), "alpha weighs sound in the convex rules"),
        (SamplerOptions(rule="convex_score", visual_k=2), "visual_k is for rule union_list"),
    ):
        with pytest.raises(UsageError, match=words):
            look_of("scsampler", k=3, sampler=both, options=options)
