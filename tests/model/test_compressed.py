"""A frozen backbone with a compression between two of its parts: every family, every stage."""

from itertools import islice

import pytest
import torch
from narrow import compressed, narrow, video

from tinynets import tiny_classifier
from vidskim.account import MacCounter, count, on_meta
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.registry import CLIP_BACKBONES, create_backbone, shapes_of
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError
from vidskim.model.compressed import Compressed, map_channels, own_size, whole_frame
from vidskim.model.compression import Attention, TemporalCompression
from vidskim.train.optim import make_optimizer
from wholes import answer_of

FAST = ("r2d_26", "slowfast_r50_8x8", "tpn_r50_8x8")
"""One of each kind: early strides over time, two pathways, a neck."""
NAMES = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CLIP_BACKBONES
]


@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_after_every_stage_but_the_last(name):
    """At its full size, in shapes alone: the last map is that of half of the video."""
    backbone = shapes_of(name, num_classes=5)
    clip = backbone.clip
    least = clip.num_frames * (2 if name == "r2d_26" else 1)  # one step of eight frames
    half, whole = (torch.empty(1, 3, n * least, *clip.size, device="meta") for n in (1, 2))
    with torch.no_grad():
        wanted = on_meta(backbone).features(half).shape
        assert wanted[1] == backbone.num_features
        for at in backbone.stages[:-1]:
            with torch.device("meta"):
                model = Compressed(backbone, at=at)
            assert model.min_frames == least
            assert on_meta(model).features(whole).shape == wanted


SMALL = [
    ("r3d_18", "res3", (32, 32), 16),
    ("slowfast_r50_8x8", "stem", (16, 16), 16),
    ("tpn_r50_8x8", "res5", (32, 32), 12),
    ("i3d_rgb", "res2", (32, 32), 21),
    ("x3d_xs", "res3", (32, 32), 5),
]


@pytest.mark.parametrize(("name", "at", "size", "frames"), SMALL)
def test_what_attends_to_itself_alone_is_the_backbone(monkeypatch, name, at, size, frames):
    """At ratio 1 with the identity for M, whatever the abstraction says."""
    network = narrow(name)
    model = compressed(network, at, ratio=1, abstraction=False)
    with torch.no_grad():
        model.compression.query.weight.normal_()  # it begins as what is tested
        trained = model.features(video(frames, size=size))
        monkeypatch.setattr(
            model.compression,
            "attend",
            lambda x: Attention(torch.eye(x.shape[2]).to(x)[None].expand(len(x), -1, -1), None),
        )
        x = video(frames, size=size, batch=2)
        features = model.features(x)
        torch.testing.assert_close(features, network.features(x), rtol=0, atol=1e-12)
        torch.testing.assert_close(model(x), network(x), rtol=0, atol=1e-12)
        other = model.features(video(frames, size=size))
        assert (trained - other).abs().max() > 1e-6


def test_the_whole_is_its_parts():
    model = compressed(narrow("r3d_18"), "res2", ratio="4/3", kernel="1x1x1")
    x = video(12, batch=2)
    with torch.no_grad():
        F = model.early(x)
        M = model.compression.attend(model.compression.abstraction(F)).weights
        kept = torch.einsum("nkt,ncthw->nckhw", M, F)
        wanted = model.backbone.classify(model.late(kept))
        torch.testing.assert_close(model(x), wanted, rtol=0, atol=1e-12)
        alone = torch.cat([model(x[:1]), model(x[1:])])
        torch.testing.assert_close(model(x), alone, rtol=0, atol=1e-12)


def test_slowfast_mixes_both_pathways_alike():
    network = narrow("slowfast_r50_8x8")
    model = compressed(network, "stem")
    assert (model.frame_multiple, model.frames_per_step, model.min_frames) == (4, 4, 32)
    assert model.first_frames(10) == [0, 4, 8, 13, 17, 21, 26, 30, 34, 39]  # of the slow pathway
    network.stem.regular_frames = True
    assert model.first_frames(3) == [0, 4, 8]
    network.stem.regular_frames = False
    with torch.no_grad():
        slow, fast = model.encode(video(40, size=(16, 16)))
        (kept, of_fast), attention = model.compression.compress((slow, fast))
        assert (slow.shape[2], fast.shape[2], kept.shape[2], of_fast.shape[2]) == (10, 40, 5, 20)
        M = attention.weights
        torch.testing.assert_close(kept, torch.einsum("nkt,ncthw->nckhw", M, slow))
        for i in range(4):
            mixed = torch.einsum("nkt,ncthw->nckhw", M, fast[:, :, i::4])
            torch.testing.assert_close(of_fast[:, :, i::4], mixed)
        features = model.late((kept, of_fast))
        torch.testing.assert_close(
            model.features(video(40, size=(16, 16))), features, rtol=0, atol=1e-12
        )
        assert features.shape[2] == 5


def test_only_the_compression_learns():
    """Three steps leave every number of the backbone as it was, the norms' statistics included."""
    model = compressed(narrow("r3d_18", double=False), "res3", scale="features").train()
    assert model.compression.training
    assert not any(module.training for module in model.backbone.modules())
    assert not any(p.requires_grad for p in model.backbone.parameters())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert any(k.endswith("num_batches_tracked") for k in before if k.startswith("backbone."))
    optimizer = make_optimizer(model, name="adamw", learning_rate=0.01, weight_decay=0.1)
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in model.compression.parameters()}
    x, target = video(16, batch=3).float(), torch.tensor([0, 1, 2])
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), target).backward()
        assert all(p.grad.abs().sum() > 0 for p in model.compression.query.parameters())
        optimizer.step()
    assert all(p.grad is None for p in model.backbone.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("backbone."), name
    model.eval()
    assert not any(module.training for module in model.modules())


def test_the_gradient_goes_through_the_late_part():
    """What comes to the compression is what autograd finds behind it, and nothing before it."""
    model = compressed(narrow("slow_r50_8x8"), "res3", scale="features").train()
    x = video(8).requires_grad_()
    F = model.encode(x)
    assert not F.requires_grad
    kept = model.compression(F)
    (wanted,) = torch.autograd.grad(model.backbone.classify(model.late(kept)).sum(), kept)
    assert wanted.abs().sum() > 0
    found = []
    compress = model.compression.compress

    def watched(maps):
        out, attention = compress(maps)
        out.register_hook(found.append)
        return out, attention

    model.compression.compress = watched
    model(x).sum().backward()
    torch.testing.assert_close(found[0], wanted)
    assert x.grad is None


@pytest.mark.parametrize(
    ("name", "at", "per_step", "steps_of_seventeen"),
    [
        ("r3d_18", "res4", 4, 5),
        ("i3d_r50_8x8", "res3", 2, 8),
        ("r2d_26", "stem", 8, 2),
        ("s3d", "res4", 4, 5),
    ],
)
def test_frames_of_a_step(name, at, per_step, steps_of_seventeen):
    model = compressed(narrow(name), at)
    assert model.frames_per_step == per_step
    assert model.first_frames(3) == [0, per_step, 2 * per_step]
    assert model.steps_of(17) == steps_of_seventeen
    assert model.encode(video(17)).shape[2] == steps_of_seventeen


@pytest.mark.parametrize("ratio", [2, 8])
def test_short_videos_repeat_their_last_frame(ratio):
    """Up to a clip, and to as many steps as the ratio needs to keep one."""
    model = compressed(narrow("r3d_18"), "res4", ratio=ratio)
    least = {2: 16, 8: 32}[ratio]  # a clip of 16 frames has 4 steps there
    assert model.min_frames == least
    for frames in (1, 5, least + 3):
        x = video(frames)
        more = max(0, least - frames)
        wanted = torch.cat([x, x[:, :, -1:].expand(-1, -1, more, -1, -1)], 2)
        with torch.no_grad():
            answer = answer_of(model, (x[:, :, t : t + 1] for t in range(frames)))
            torch.testing.assert_close(answer.logits, model(wanted), rtol=0, atol=1e-9)
        assert answer.num_steps == -(-max(frames, least) // 4)
        assert answer.attention.weights.shape == (
            1, max(1, answer.num_steps // ratio), answer.num_steps,
        )  # fmt: skip


def test_frames_are_filled_up_to_whole_steps():
    model = compressed(narrow("slowfast_r50_4x16"), "stem")
    assert model.frame_multiple == 8
    x = video(37, size=(16, 16))
    wanted = torch.cat([x, x[:, :, -1:].expand(-1, -1, 3, -1, -1)], 2)
    with torch.no_grad():
        answer = answer_of(model, iter([x[:, :, :30], x[:, :, 30:]]))
        torch.testing.assert_close(answer.logits, model(wanted), rtol=0, atol=1e-9)
    assert answer.num_steps == 5


def test_no_frames():
    model = Compressed(tiny_classifier(), at="stem")
    for reach in (model.reach(), None):
        model._reach = reach
        with pytest.raises(UsageError, match="a video has at least one frame"):
            answer_of(model, iter([]))


def test_an_answer_counts_what_the_model_counts():
    """Nothing is probed while the multiply-adds of a video are counted."""
    model = compressed(narrow("r3d_18", double=False), "res3", scale="features")
    model.reach()
    x = video(24).float()
    with torch.inference_mode(), MacCounter() as counter:
        answer_of(model, iter([x]))
    assert counter.macs == count(model, x.shape).macs


def test_answers_in_bf16_end_in_full_precision():
    model = compressed(narrow("r3d_18", double=False), "res3", scale="features")
    x = video(16).float()
    with torch.inference_mode():
        exact = answer_of(model, iter([x]))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            answer = answer_of(model, iter([x]))
    assert answer.logits.dtype == answer.attention.weights.dtype == torch.float32
    difference = (answer.logits - exact.logits).abs().max() / exact.logits.abs().max()
    assert 0 < difference < 0.05


def test_what_goes_in_is_the_whole_frame():
    model = Compressed(tiny_classifier(), at="res3")
    assert model.transform == Transform(resize_to=(32, 43))
    given = Transform(resize_to=(20, 30))
    assert Compressed(tiny_classifier(), at="res3", transform=given).transform == given
    assert whole_frame(given) == given
    assert whole_frame(Transform(short_side=40, crop=(32, 32))) == Transform(short_side=40)
    assert whole_frame(Transform(crop=(32, 48))) == Transform(short_side=32)
    assert own_size(tiny_classifier()) is None


def test_segments_are_as_long_and_frames_as_far_apart_as_it_was_trained_on():
    model = Compressed(tiny_classifier(stride=2), at="res3")
    assert model.clip == model.own_clip == ClipSpec(8, 2, (32, 32))
    model.segments = (3, 5)
    assert model.clip == ClipSpec(5, 2, (32, 32))
    model.stride = 3
    assert model.own_clip == ClipSpec(8, 3, (32, 32))
    assert model.clip == ClipSpec(5, 3, (32, 32))
    assert model.backbone.clip.stride == 2


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("res5", "res5 is the last stage of r3d_18, .* give one of stem, res2, res3, res4$"),
        ("res9", r"unknown stage of r3d_18 'res9': did you mean .*\(valid: res2, res3, res4, stem"),
        ("neck", r"unknown stage of r3d_18 'neck': .*\(valid: res2, res3, res4, stem\)"),
    ],
)
def test_no_such_cut(at, told):
    for build in (
        lambda: Compressed(tiny_classifier(), at=at),
        lambda: map_channels(tiny_classifier(), at),
    ):
        with pytest.raises(UsageError, match=told):
            build()


def test_parts_that_do_not_fit():
    with pytest.raises(UsageError, match="r3d_18 has 8 channels after res3, the compression 16"):
        Compressed(tiny_classifier(), at="res3", compression=TemporalCompression(16))
    images = create_backbone("resnet_18", num_classes=2, width=4)
    with pytest.raises(UsageError, match="resnet_18 is no clip classifier"):
        Compressed(images, at="res3")


def test_weights_are_shared_and_named():
    backbone = tiny_classifier()
    model = Compressed(backbone, at="res3")
    assert model.backbone is backbone
    assert model.classes == backbone.classes
    assert model.name == "r3d_18"
    names = {name.partition(".")[0] for name in model.state_dict()}
    assert names == {"backbone", "compression"}
    early = dict(islice(model.early.named_children(), 9))
    assert list(early) == ["stem", "res2", "res3"]
    assert list(dict(model.late.named_children())) == ["res4", "res5"]
