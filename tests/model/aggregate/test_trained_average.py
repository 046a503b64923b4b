"""Average pooling with a head of its own: the mean of softmaxes, in whatever pieces clips come."""

import pytest
import torch
from learned import clips, made

from vidskim.errors import UsageError
from vidskim.model.aggregate import Average


def test_it_is_the_mean_of_the_clips_class_probabilities():
    aggregator, features = made("trained_average"), clips(5)
    pooled = features.mean(dim=(3, 4, 5))  # [B, N, C]
    each = torch.softmax(pooled @ aggregator.head.weight.T + aggregator.head.bias, dim=2)
    torch.testing.assert_close(torch.softmax(aggregator(features), dim=1), each.mean(1))
    same = Average(lambda maps: aggregator.head(maps.flatten(2).mean(2)))
    torch.testing.assert_close(aggregator(features).float(), same(features), atol=1e-6, rtol=1e-6)


def test_pieces_of_a_video_give_the_same_to_the_last_bit_and_so_do_gradients():
    aggregator, features = made("trained_average"), clips(6)
    whole = aggregator(features)
    state = aggregator.start()
    for piece in features.split([1, 3, 2], dim=1):
        state = aggregator.step(state, piece)
    assert torch.equal(aggregator.read(state), whole)
    assert torch.autograd.gradcheck(aggregator, features.requires_grad_())


def test_no_clip_is_no_answer():
    aggregator = made("trained_average")
    with pytest.raises(UsageError, match="before the first clip"):
        aggregator.read(aggregator.start())
