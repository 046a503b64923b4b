"""Clip by clip in two scans against all clips in one pass: losses, gradients, statistics."""

import pytest
import torch
from torch import Tensor

from tinynets import tiny_classifier
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network
from vidskim.backbones.registry import create_backbone
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.presets import memory_channels
from vidskim.train.multi_clip import MultiClip
from vidskim.train.multi_iteration import ClipByClip, condensed, multi_iteration
from vidskim.train.sub_batch import Grouping, use_sub_batches
from vidskim.train.video_loss import video_loss

N = 3
FORMS = [(i, f) for i in ("associative", "average") for f in ("gating", "residual")]


def tiny_slowfast() -> Network:
    torch.manual_seed(0)
    network = create_backbone("slowfast_r50_4x16", num_classes=4, width=8)
    network.clip = ClipSpec(16, 1, (32, 32))
    network.dropout.p = 0.0
    return network


def tiny_i3d() -> Network:
    """A head over windows: it needs more of a map than its mean."""
    torch.manual_seed(0)
    network = create_backbone("i3d_rgb", num_classes=4, width=4)
    network.clip = ClipSpec(24, 1, (32, 32))
    network.dropout.p = 0.0
    return network


def build(
    form: tuple[str, str] | None, backbone: Network | None = None, *, train: bool = True
) -> tuple[MultiClip, Grouping]:
    backbone = (backbone or tiny_classifier()).double()
    memory = None
    if form is not None:
        torch.manual_seed(5)
        memory = CollaborativeMemory(
            memory_channels(backbone), interaction=form[0], infusion=form[1]
        ).double()
        torch.nn.init.normal_(memory.output.weight, std=0.3)
    model = MultiClip(backbone, memory, num_clips=N)
    grouping = use_sub_batches(model.backbone)
    return model.train(train), grouping


def batch(model: MultiClip, *, videos: int = 2) -> tuple[Tensor, Tensor]:
    torch.manual_seed(7)
    T, (h, w) = model.clip.num_frames, model.clip.size
    return torch.randn(videos, N, 3, T, h, w).double(), torch.tensor([1, 2, 0, 3])[:videos]


def loss_of(logits: Tensor, target: Tensor) -> Tensor:
    return video_loss(logits, target, alpha=0.3)


def one_pass(model: MultiClip, grouping: Grouping, x: Tensor, y: Tensor) -> Tensor:
    grouping.num_groups = N
    loss = loss_of(model(x), y)
    loss.backward()
    return loss.detach()


def two_scans(model, grouping, x, y, *, gradient="full") -> Tensor:
    return multi_iteration(
        model, x, y, loss_of=loss_of, grouping=grouping, backward=lambda loss: loss.backward(),
        gradient=gradient,
    )  # fmt: skip


def assert_same(a: MultiClip, b: MultiClip) -> None:
    others = dict(b.named_parameters())
    for name, parameter in a.named_parameters():
        mine, theirs = parameter.grad, others[name].grad
        assert mine is not None, name
        assert theirs is not None, name
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11, msg=name)
    for (name, mine), theirs in zip(a.named_buffers(), b.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, msg=name)


@pytest.mark.parametrize("form", [None, *FORMS])
def test_full_gradient_is_that_of_one_pass(form):
    """Loss, every gradient (keys, values and backbone included) and running statistics."""
    a, b = build(form), build(form)
    x, y = batch(a[0])
    loss = one_pass(*a, x, y)
    torch.testing.assert_close(two_scans(*b, x, y), loss, rtol=1e-12, atol=0)
    assert_same(a[0], b[0])
    if form is not None:
        assert a[0].memory is not None
        for name, parameter in a[0].memory.named_parameters():
            assert parameter.grad.abs().max() > 1e-6, name


def test_clips_drawn_one_by_one():
    a, b = build(FORMS[0]), build(FORMS[0])
    x, y = batch(a[0])
    drawn = []

    def draw(n: int) -> Tensor:
        drawn.append(n)
        return x[:, n : n + 1]

    torch.testing.assert_close(two_scans(*b, ClipByClip(N, draw), y), one_pass(*a, x, y))
    assert_same(a[0], b[0])
    assert drawn == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("make", [tiny_slowfast, tiny_i3d])
def test_other_backbones(make):
    """SlowFast, whose fast pathway the memory leaves alone; a head that weighs places."""
    a, b = build(FORMS[0], make()), build(FORMS[0], make())
    x, y = batch(a[0])
    torch.testing.assert_close(two_scans(*b, x, y), one_pass(*a, x, y), rtol=1e-9, atol=0)
    assert_same(a[0], b[0])


def test_what_is_kept_between_scans_is_small_where_the_head_averages():
    model, _ = build(FORMS[0])
    maps = torch.randn(2, 1, 32, 2, 2, 2).double()
    assert condensed(model, maps).shape == (2, 1, 32, 1, 1, 1)
    model.backbone.head_window = (1, 1)
    assert condensed(model, maps) is maps


@pytest.mark.parametrize("form", FORMS)
def test_own_gradient_is_one_pass_with_the_others_terms_constant(form):
    """The second reading: what other clips wrote is a constant to a clip, its own term is live."""
    a, b = build(form), build(form)
    x, y = batch(a[0])
    model, grouping = a
    grouping.num_groups = N
    features = model.encode(x)
    assert model.memory is not None
    written = [model.memory.write(features[:, n : n + 1]) for n in range(N)]
    answers = []
    for n in range(N):
        total = sum(w.total if m == n else w.total.detach() for m, w in enumerate(written))
        whole = model.memory.write(features)
        memory = type(whole)(total, whole.num_clips, whole.num_places)
        answers.append(model.classify(model.memory.read(features[:, n : n + 1], memory)))
    loss = loss_of(torch.cat(answers, dim=1), y)
    loss.backward()
    torch.testing.assert_close(two_scans(*b, x, y, gradient="own"), loss.detach())
    assert_same(a[0], b[0])
    key = b[0].memory.value.weight.grad
    assert key.abs().max() > 0


def test_own_is_not_full():
    a, b = build(FORMS[0]), build(FORMS[0])
    x, y = batch(a[0])
    two_scans(*a, x, y)
    two_scans(*b, x, y, gradient="own")
    assert not torch.allclose(a[0].memory.key.weight.grad, b[0].memory.key.weight.grad)


def test_frozen_backbone():
    a, b = build(FORMS[0]), build(FORMS[0])
    for model, _ in (a, b):
        model.freeze_backbone()
    before = {k: v.clone() for k, v in a[0].backbone.state_dict().items()}
    x, y = batch(a[0])
    one_pass(*a, x, y)
    two_scans(*b, x, y)
    for model, _ in (a, b):
        named = dict(model.named_parameters())
        learn = {name for name, p in named.items() if p.grad is not None}
        assert learn == {
            "backbone.fc.weight", "backbone.fc.bias", "memory.key.weight", "memory.query.weight",
            "memory.value.weight", "memory.output.weight",
        }  # fmt: skip
        for name, tensor in model.backbone.state_dict().items():
            torch.testing.assert_close(tensor, before[name], rtol=0, atol=0, msg=name)
    for name, p in a[0].named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(p.grad, dict(b[0].named_parameters())[name].grad)


def test_alone_and_together_clips_answer_differently():
    model, grouping = build(FORMS[0])
    x, _ = batch(model)
    grouping.num_groups = N
    together = model(x)
    grouping.num_groups = 1
    assert not torch.allclose(together[:, :1], model(x[:, :1]))
