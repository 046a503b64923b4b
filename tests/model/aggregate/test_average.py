import numpy as np
import pytest
import torch

from tinynets import tiny_classifier
from vidskim.errors import UsageError
from vidskim.model.aggregate import Average
from vidskim.model.contract import Aggregator


def log_of_mean_softmax(logits: np.ndarray) -> np.ndarray:
    """Logits ``[B, N, K]`` of clips to those of videos ``[B, K]``."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.log((powers / powers.sum(-1, keepdims=True)).mean(1))


def logits_of(features: torch.Tensor) -> torch.Tensor:
    """A classifier without weights: the mean over time and place."""
    return features.mean((2, 3, 4))


def test_average_is_the_log_of_the_mean_softmax():
    features = torch.randn(3, 5, 7, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 20
    expected = log_of_mean_softmax(features.double().mean((3, 4, 5)).numpy())
    assert Average(logits_of)(features).numpy() == pytest.approx(expected, abs=1e-4)


def test_softmax_of_the_logits_is_the_papers_mean():
    network = tiny_classifier()
    x = torch.randn(2, 4, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = network.features(x.flatten(0, 1)).unflatten(0, (2, 4))
        mean = torch.softmax(network(x.flatten(0, 1)), dim=1).unflatten(0, (2, 4)).mean(1)
        answer = torch.softmax(Average(network.classify)(features), dim=1)
    torch.testing.assert_close(answer, mean)


@pytest.mark.parametrize("sizes", [[1] * 6, [4, 2], [1, 5]])
def test_step_by_step_equals_all_at_once(sizes):
    features = torch.randn(2, 6, 5, 1, 2, 2, generator=torch.Generator().manual_seed(2))
    average = Average(logits_of)
    state = average.start()
    for part in features.split(sizes, dim=1):
        state = average.step(state, part)
    assert torch.equal(average.read(state), average(features))


def test_a_class_that_is_impossible_everywhere_has_a_finite_logit():
    features = torch.tensor([0.0, 1e6])[None, None, :, None, None, None].expand(1, 3, 2, 1, 1, 1)
    logits = Average(logits_of)(features)
    assert logits.isfinite().all()
    assert torch.softmax(logits, 1)[0].tolist() == pytest.approx([0, 1])


def test_half_precision_features_are_summed_in_float32():
    features = torch.randn(1, 3, 4, 1, 2, 2).to(torch.bfloat16)
    assert Average(logits_of)(features).dtype == torch.float32


def test_average_keeps_the_contract():
    assert isinstance(Average(logits_of), Aggregator)


def test_an_average_of_no_clip_is_refused():
    average = Average(logits_of)
    with pytest.raises(UsageError, match="at least one clip"):
        average.read(average.start())
