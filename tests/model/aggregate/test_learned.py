"""FAST-GRU and its rivals against the paper's equations, and against themselves in pieces."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learned import CHANNELS, CLASSES, NAMES, clips, made, step_of, true_logits
from torch.func import functional_call

from vidskim.errors import UsageError
from vidskim.model.aggregate import AGGREGATORS, Average, FastGru, Lstm, create_aggregator
from vidskim.model.contract import Aggregator


@pytest.mark.parametrize("num_clips", [1, 2, 7])
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_equations(name, num_clips):
    aggregator, features = made(name), clips(num_clips)
    answer = aggregator(features).detach().numpy()
    assert answer == pytest.approx(true_logits(aggregator, features), abs=1e-12)
    assert answer.shape == (2, CLASSES)
    assert np.abs(answer[0] - answer[1]).max() > 1e-3, "both videos are alike: nothing was tested"


@pytest.mark.parametrize("reduction", [1, 2, 3, 8])
def test_agrees_with_the_equations_at_any_reduction(reduction):
    aggregator, features = made("fast_gru", reduction=reduction), clips(3)
    assert aggregator.cell.expand_reset.in_channels == CHANNELS // reduction
    answer = aggregator(features).detach().numpy()
    assert answer == pytest.approx(true_logits(aggregator, features), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_clip_is_the_state_and_each_further_one_a_step(name):
    aggregator, calls = made(name), []
    step_of(aggregator).register_forward_hook(lambda *_: calls.append(1))
    for num_clips in (1, 2, 6):
        calls.clear()
        aggregator(clips(num_clips))
        assert len(calls) == num_clips - 1
    features = clips(1)
    pooled = features[:, 0].mean((2, 3, 4))
    torch.testing.assert_close(aggregator(features), aggregator.head(pooled))


def test_fast_gru_starts_with_the_first_map_itself_and_keeps_its_resolution():
    aggregator, features = made("fast_gru"), clips(4)
    state = aggregator.step(aggregator.start(), features[:, :1])
    assert torch.equal(state, features[:, 0])
    state = aggregator.step(state, features[:, 1:])
    assert state.shape == features[:, 0].shape
    spread = state.flatten(2).std(2)
    assert spread.min() > 1e-3, "all places of the state are alike"


def test_fast_gru_at_a_place_knows_nothing_of_other_places():
    aggregator, features = made("fast_gru"), clips(4)
    other = features.clone()
    other[..., 1, 2, 1] += 1
    changed = aggregator.step(None, features) != aggregator.step(None, other)
    assert changed.any(1)[:, 1, 2, 1].all()
    changed[..., 1, 2, 1] = False
    assert not changed.any()


def test_fast_gru_has_two_candidates_of_full_width_and_no_bias():
    cell = FastGru(2048, 10).cell
    shapes = {name: tuple(p.shape[:2]) for name, p in cell.named_parameters()}
    assert shapes == {
        "squeeze_reset.weight": (512, 4096),
        "expand_reset.weight": (2048, 512),
        "squeeze_update.weight": (512, 4096),
        "expand_update.weight": (2048, 512),
        "candidate_clip.weight": (2048, 2048),
        "candidate_state.weight": (2048, 2048),
    }
    assert all(p.shape[2:] == (1, 1, 1) for p in cell.parameters())
    assert len({p.data_ptr() for p in cell.parameters()}) == 6
    assert not torch.equal(cell.candidate_clip.weight, cell.candidate_state.weight)
    assert sum(p.numel() for p in cell.parameters()) == 14_680_064


def test_fast_gru_is_drawn_so_that_the_candidate_does_not_saturate():
    torch.manual_seed(0)
    cell = FastGru(256, 5).cell
    x, state = torch.randn(2, 1, 256, 1, 2, 2).relu()
    candidate = torch.tanh(cell.candidate_clip(x) + cell.candidate_state(state))
    assert 0.2 < candidate.std() < 0.8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [False, True])
def test_gradients_through_several_steps(name, training):
    aggregator = made(name, channels=4).train(training)
    features = clips(3, channels=4, size=(1, 2, 2)) + 0.1
    names, values = zip(*aggregator.named_parameters(), strict=True)
    buffers = {k: v.clone() for k, v in aggregator.named_buffers()}

    def logits(x, *weights):
        kept = {k: v.clone() for k, v in buffers.items()}
        return functional_call(aggregator, dict(zip(names, weights, strict=True)) | kept, x)

    inputs = [features.requires_grad_(), *(v.detach().clone().requires_grad_() for v in values)]
    assert torch.autograd.gradcheck(logits, inputs)
    gradients = torch.autograd.grad(logits(*inputs).sum(), inputs)
    assert all(gradient.abs().max() > 1e-6 for gradient in gradients), "a part that learns nothing"


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    training=st.booleans(),
)
def test_any_pieces_give_the_whole_bit_for_bit(name, sizes, training):
    features = clips(sum(sizes), size=(1, 2, 2))
    answers = []
    for pieces in ([sum(sizes)], sizes):
        aggregator = made(name).train(training)
        x = features.clone().requires_grad_()
        state = aggregator.start()
        for piece in x.split(pieces, dim=1):
            state = aggregator.step(state, piece)
        logits = aggregator.read(state)
        logits.square().sum().backward()
        answers.append([logits, x.grad, *(p.grad for p in aggregator.parameters())])
    for whole, apart in zip(*answers, strict=True):
        if whole is None:  # weights of steps that a single clip does not need
            assert apart is None
            assert sum(sizes) == 1
        else:
            assert torch.equal(whole, apart)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_can_be_read_at_any_time(name):
    aggregator, features = made(name), clips(5)
    state = aggregator.start()
    for n in range(5):
        state = aggregator.step(state, features[:, n : n + 1])
        first, again = aggregator.read(state), aggregator.read(state)
        assert torch.equal(first, again)
        assert torch.equal(first, aggregator(features[:, : n + 1]))


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_clips_matters(name):
    aggregator, features = made(name), clips(5)
    turned = features.flip(1)
    assert (aggregator(features) - aggregator(turned)).abs().max() > 1e-3


def test_the_order_of_clips_does_not_matter_to_the_average():
    average, features = Average(lambda maps: maps.mean((2, 3, 4))), clips(5)
    torch.testing.assert_close(average(features), average(features.flip(1)))


@pytest.mark.parametrize("name", NAMES)
def test_videos_of_a_batch_do_not_touch(name):
    aggregator, features = made(name), clips(4, batch=3)
    alone = torch.cat([aggregator(video[None]) for video in features])
    torch.testing.assert_close(aggregator(features), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_dropout_is_of_the_head_and_of_training_only(name):
    aggregator, features = made(name, dropout=0.5), clips(3)
    assert torch.equal(aggregator(features), aggregator(features))
    aggregator.head.bias.data.zero_()
    state = aggregator.step(None, features)
    aggregator.train()
    torch.manual_seed(0)
    assert not torch.equal(aggregator.read(state), aggregator.read(state))


def test_lstm_remembers_before_it_is_trained():
    gates = Lstm(6, 2).gates.bias.detach().reshape(4, 6)
    assert gates.tolist() == [[0.0] * 6, [1.0] * 6, [0.0] * 6, [0.0] * 6]


@pytest.mark.parametrize("name", NAMES)
def test_keeps_the_contract(name):
    aggregator = create_aggregator(name, channels=8, num_classes=3, dropout=0.25)
    assert isinstance(aggregator, Aggregator)
    assert isinstance(aggregator, Aggregator)
    assert aggregator.name == name
    assert (aggregator.channels, aggregator.num_classes) == (8, 3)
    assert aggregator.options["dropout"] == 0.25
    again = create_aggregator(name, channels=8, num_classes=3, **aggregator.options)
    assert again.options == aggregator.options
    again.load_state_dict(aggregator.state_dict())


def test_fast_gru_tells_its_reduction():
    options = FastGru(8, 3, reduction=2).options
    assert options == {"dropout": 0.0, "reduction": 2}
    assert create_aggregator("fast_gru", channels=8, num_classes=3).options["reduction"] == 4


def test_every_aggregator_is_tested():
    assert set(AGGREGATORS) == {*NAMES, "trained_average"}, "the last one has a file of its own"


@pytest.mark.parametrize("name", NAMES)
def test_other_maps_are_refused(name):
    aggregator = made(name)
    with pytest.raises(UsageError, match=r"\[B, N, 8, T, H, W\], got \[2, 3, 7, 2, 3, 2\]"):
        aggregator(clips(3, channels=7))
    with pytest.raises(UsageError, match="features"):
        aggregator(clips(3)[:, 0])
    with pytest.raises(UsageError, match="before the first clip"):
        aggregator.read(aggregator.start())
    with pytest.raises(UsageError, match="before the first clip"):
        aggregator(clips(3)[:, :0])


@pytest.mark.parametrize("name", ["fast_gru", "concat"])
def test_maps_of_another_size_are_refused_where_maps_are_kept(name):
    aggregator = made(name)
    state = aggregator.step(None, clips(2))
    with pytest.raises(UsageError, match=r"one size.*adapters"):
        aggregator.step(state, clips(1, size=(2, 3, 1)))
    with pytest.raises(UsageError, match="one size"):
        aggregator.step(state, clips(1, size=(1, 1, 1)))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"channels": 0}, "channels"),
        ({"num_classes": 0}, "classes"),
        ({"channels": -1}, "channels"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"dropout": float("nan")}, "dropout"),
        ({"reduction": 0}, "reduction"),
        ({"reduction": 9}, "reduction"),
        ({"depth": 2}, "does not take all of depth"),
    ],
)
def test_what_cannot_be_built_is_refused(options, told):
    with pytest.raises(UsageError, match=told):
        create_aggregator("fast_gru", **({"channels": 8, "num_classes": 3} | options))


def test_only_fast_gru_has_a_reduction():
    with pytest.raises(UsageError, match="gru does not take all of reduction"):
        create_aggregator("gru", channels=8, num_classes=3, reduction=4)


def test_an_unknown_aggregator_is_told_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'fast_gru'"):
        create_aggregator("fastgru", channels=8, num_classes=3)
