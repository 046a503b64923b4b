import pytest
import torch

from tinynets import CLASSES, motion_sampler, tiny_classifier, tiny_sampler
from vidskim import Video, presets
from vidskim.errors import UsageError
from vidskim.look.oracle import OracleSaliency


def saliency():
    return motion_sampler(tiny_sampler())


@pytest.mark.parametrize("method", presets.SELECTED)
def test_every_method_runs(sample_video, method):
    look = presets.look(method, k=4, saliency=saliency)
    choice = look(Video(sample_video), num_frames=16, stride=1)
    assert look.method == method
    assert len(choice.grid) == 19
    assert len(choice.chosen) == (19 if method == "dense" else 4)
    looks = method in ("packets", "motion", *presets.TRAINED)
    assert (choice.scores is not None) == looks
    if choice.scores is not None:
        assert choice.scores.shape == (19,)
        assert 0 <= choice.scores.min() < choice.scores.max() <= 1


def test_the_trained_saliency_is_opened_only_when_it_is_used():
    def refuse():
        raise AssertionError("opened")

    for method in presets.SELECTED:
        if method not in presets.TRAINED:
            presets.look(method, k=1, saliency=refuse)


@pytest.mark.parametrize(
    ("method", "k", "words"),
    [
        ("moton", 1, "did you mean 'motion'"),
        ("oracle", 1, "true label"),
        *[(method, 0, "at least 1") for method in presets.SELECTED],
    ],
)
def test_wrong_names_and_numbers_are_refused(method, k, words):
    with pytest.raises(UsageError, match=words):
        presets.look(method, k=k, saliency=saliency)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_oracle_scores_by_the_true_class(sample_video, batch_size):
    network = tiny_classifier(num_frames=16)
    video = Video(sample_video)
    clips = video.clips(num_frames=16)[:6]
    oracle = OracleSaliency(network, label="roll", batch_size=batch_size)
    scores = oracle(video, clips)
    for score, clip in zip(scores, clips):
        x = network.transform(video.frames([clip])[0])
        with torch.no_grad():
            expected = network(x[None]).softmax(1)[0, CLASSES.index("roll")]
        assert score.item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_oracle_needs_a_known_label():
    with pytest.raises(UsageError, match="'swim' is not among the classes"):
        presets.oracle(tiny_classifier(), label="swim")
