"""The memory against the paper's equations in NumPy, clip by clip and place by place."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vidskim.account import MacCounter, count
from vidskim.errors import UsageError
from vidskim.model.contract import Context
from vidskim.model.memory import CollaborativeMemory

INTERACTIONS = ("associative", "average")
INFUSIONS = ("gating", "residual")
NORMALIZATIONS = ("none", "clip", "video")


def make(interaction="associative", infusion="gating", normalize="video", *, channels=8, seed=0):
    torch.manual_seed(seed)
    memory = CollaborativeMemory(
        channels, interaction=interaction, infusion=infusion, normalize=normalize
    ).double()
    torch.nn.init.normal_(memory.output.weight, std=0.3)
    return memory


def maps(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def by_the_equations(memory: CollaborativeMemory, features: Tensor) -> np.ndarray:
    """Equations 2 to 4 with loops over videos, clips and places; nothing of torch."""
    weight = {name: p.detach().numpy().T for name, p in memory.named_parameters()}  # [in, out]
    x = features.numpy()
    B, N, C = x.shape[:3]
    places = x.reshape(B, N, C, -1)
    P = places.shape[3]
    out = np.empty_like(places)
    for b in range(B):
        if memory.interaction == "associative":
            M = np.zeros((memory.size, memory.size))
            for n in range(N):
                of_clip = np.zeros_like(M)
                for p in range(P):
                    key = places[b, n, :, p] @ weight["key.weight"]
                    value = places[b, n, :, p] @ weight["value.weight"]
                    of_clip += np.outer(key, value)
                M += of_clip / P if memory.normalize == "clip" else of_clip
            if memory.normalize == "video":
                M /= N * P
        else:
            mean = sum(places[b, n, :, p] for n in range(N) for p in range(P)) / (N * P)
            shared = mean @ weight["value.weight"]
        for n in range(N):
            if memory.interaction == "associative":
                found = np.stack(
                    [(places[b, n, :, p] @ weight["query.weight"]) @ M for p in range(P)]
                )
            else:
                found = np.stack([shared] * P)
            if memory.infusion == "gating":
                gate = 1 / (1 + np.exp(-(found.mean(0) @ weight["output.weight"])))
                out[b, n] = places[b, n] * (gate + 1)[:, None]
            else:
                out[b, n] = places[b, n] + (found @ weight["output.weight"]).T
    return out.reshape(x.shape)


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
@pytest.mark.parametrize("infusion", INFUSIONS)
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_equations(interaction, infusion, normalize):
    memory = make(interaction, infusion, normalize)
    x = maps(2, 3, 8, 2, 2, 3)
    np.testing.assert_allclose(
        memory(x).detach().numpy(), by_the_equations(memory, x), rtol=0, atol=1e-12
    )


def test_reading_is_attention_without_softmax_to_all_clips():
    """M_n = sum over m of [(X_n W_q)(X_m W_k)'] (X_m W_v), the identity the paper names."""
    memory = make(infusion="residual", normalize="none")
    with torch.no_grad():
        memory.output.weight.copy_(torch.eye(8, 2))  # shows two channels of M_n as they are
    x = maps(1, 4, 8, 2, 2, 2)
    places = x[0].flatten(2).transpose(1, 2)  # [N, P, C]
    read = memory(x)[0] - x[0]
    for n in range(4):
        attended = sum(
            (memory.query(places[n]) @ memory.key(places[m]).T) @ memory.value(places[m])
            for m in range(4)
        )
        torch.testing.assert_close(read[n, :2].flatten(1).T, attended.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("infusion", INFUSIONS)
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_averaging_places_first_reads_the_same(interaction, infusion):
    """What two scans rest on: reading and averaging over places may change places."""
    memory = make(interaction, infusion)
    x = maps(2, 3, 8, 2, 3, 3)
    written = memory.write(x)
    whole = memory.read(x, written).mean((3, 4, 5), keepdim=True)
    torch.testing.assert_close(memory.read(x.mean((3, 4, 5), keepdim=True), written), whole)


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
@pytest.mark.parametrize("interaction", INTERACTIONS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_in_parts_and_in_any_order_as_at_once(interaction, normalize, data):
    memory = make(interaction, "residual", normalize)
    N = data.draw(st.integers(1, 6))
    x = maps(2, N, 8, 1, 2, 2)
    cuts = sorted(data.draw(st.sets(st.integers(1, N), max_size=3)) | {N})
    order = data.draw(st.permutations(range(N)))
    written, first = None, 0
    for cut in cuts:
        if cut > first:
            written = memory.write(x[:, order[first:cut]], written)
        first = cut
    assert written is not None
    assert (written.num_clips, written.num_places) == (N, 4 * N)
    for n in range(N):
        torch.testing.assert_close(memory.read(x[:, n : n + 1], written), memory(x)[:, n : n + 1])


def test_videos_do_not_know_of_each_other():
    memory = make()
    x = maps(3, 4, 8, 1, 2, 2)
    alone = torch.cat([memory(x[b : b + 1]) for b in range(3)])
    torch.testing.assert_close(memory(x), alone)


@pytest.mark.parametrize("num_clips", [1, 5, 200])
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_size_does_not_depend_on_the_number_of_clips(interaction, num_clips):
    memory = make(interaction)
    x = maps(2, num_clips, 8, 1, 2, 2)
    total = memory.write(x).total
    assert total.shape == ((2, 2, 2) if interaction == "associative" else (2, 2))
    if interaction == "associative":
        doubled = memory.read(x, memory.write(x, memory.write(x)))
        torch.testing.assert_close(doubled, memory(x))  # nor what is read, by "video"


def test_untrained_treats_all_channels_alike():
    x = maps(1, 2, 8, 1, 2, 2)
    torch.manual_seed(0)
    torch.testing.assert_close(CollaborativeMemory(8).double()(x), 1.5 * x)
    torch.testing.assert_close(CollaborativeMemory(8, infusion="residual").double()(x), x)


def test_channels_behind_its_own_pass_as_they_are():
    memory = make()
    x = maps(1, 2, 11, 1, 2, 2)
    out = memory(x)
    torch.testing.assert_close(out[:, :, 8:], x[:, :, 8:], rtol=0, atol=0)
    torch.testing.assert_close(out[:, :, :8], memory(x[:, :, :8]))


@pytest.mark.parametrize("infusion", INFUSIONS)
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_gradients(interaction, infusion):
    memory = make(interaction, infusion, channels=4)
    x = maps(1, 2, 4, 1, 1, 2).requires_grad_()
    assert torch.autograd.gradcheck(memory, (x,))
    memory(x).square().sum().backward()
    for name, parameter in memory.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_clip_learns_from_what_another_saw():
    memory = make()
    x = maps(1, 3, 8, 1, 2, 2).requires_grad_()
    memory(x)[0, 0].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 2].abs().sum() > 0


def test_cost_is_the_papers():
    """P (3 C D + 2 D D) + D C of one clip, PAPERS section 2.1."""
    C, D, P = 64, 16, 4 * 3 * 5
    counted = count(CollaborativeMemory(C), (1, 1, C, 4, 3, 5))
    assert counted.macs == P * (3 * C * D + 2 * D * D) + D * C
    assert counted.params == 4 * C * D
    with torch.inference_mode(), MacCounter() as counter:
        CollaborativeMemory(C)(torch.randn(1, 1, C, 4, 3, 5))
    assert counter.macs == counted.macs


def test_sums_are_full_precision_under_autocast():
    memory = make().float()
    x = maps(1, 2, 8, 1, 16, 16).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = memory.write(x).total
        out = memory(x.bfloat16())
    torch.testing.assert_close(total, memory.write(x).total, rtol=0, atol=0)
    assert out.dtype == torch.bfloat16


def test_is_a_context():
    assert isinstance(CollaborativeMemory(8), Context)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: CollaborativeMemory(8, reduction=3), "8 channels and reduction 3"),
        (lambda: CollaborativeMemory(8, reduction=0), "reduction 0"),
        (lambda: CollaborativeMemory(0), "0 channels"),
        (lambda: CollaborativeMemory(8, interaction="asociative"), "did you mean 'associative'"),
        (lambda: CollaborativeMemory(8, infusion="gate"), "gating"),
        (lambda: CollaborativeMemory(8, normalize="clips"), "did you mean 'clip'"),
        (lambda: make()(maps(2, 8, 1, 2, 2)), r"\[B, N, 8, T, H, W\]"),
        (lambda: make()(maps(1, 2, 4, 1, 2, 2)), r"\[1, 2, 4, 1, 2, 2\]"),
        (lambda: make()(maps(1, 0, 8, 1, 2, 2)), r"\[1, 0, 8, 1, 2, 2\]"),
        (
            lambda: make().read(maps(2, 1, 8, 1, 2, 2), make().write(maps(3, 1, 8, 1, 2, 2))),
            "memory of 3 videos",
        ),
        (
            lambda: make().write(maps(2, 1, 8, 1, 2, 2), make().write(maps(3, 1, 8, 1, 2, 2))),
            "memory of 3 videos",
        ),
    ],
)
def test_refused(build, told):
    with pytest.raises(UsageError, match=told):
        build()


def test_clips_of_different_sizes_share_a_memory():
    memory = make()
    wide, small = maps(1, 1, 8, 2, 2, 2), maps(1, 1, 8, 1, 1, 2)
    written = memory.write(small, memory.write(wide))
    assert (written.num_clips, written.num_places) == (2, 10)
    assert memory.read(wide, written).shape == wide.shape
