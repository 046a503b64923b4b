"""Video transformers with a compression inside: fewer steps, the class token as it is."""

import copy

import pytest
import torch

import vidskim
from tiny_hf import NAMES, build, clips, write
from vidskim.backbones import load_backbone
from vidskim.errors import UsageError
from vidskim.model.compressed import Compressed, map_channels
from vidskim.model.compression import Attention, TemporalCompression
from vidskim.model.file import save_model
from vidskim.model.presets import sfc
from wholes import answer_of, decoded, numbers_of, whole_answer, write_varied

WITH_TOKEN = ("timesformer", "vivit")


@pytest.fixture(scope="module", params=("videomae", "timesformer", "vivit", "vjepa2"))
def case(request, tmp_path_factory):
    model = build(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    write(model, folder)
    return request.param, load_backbone(f"hf:{folder}"), model


def compressed(network, at: str, **options) -> Compressed:
    torch.manual_seed(0)
    channels = map_channels(network, at)
    compression = TemporalCompression(channels, num_blocks=1, scale="features", **options)
    for projection in (compression.query, compression.key):
        projection.reset_parameters()
    return Compressed(network, at=at, compression=compression).eval()


def test_after_every_stage_but_the_last(case):
    name, network, _ = case
    x = clips(network)
    with torch.no_grad():
        whole = network(x)
        T = network.features(x).shape[2]
        for at in ("embed", "block1"):
            model = compressed(network, at)
            maps = model.encode(x)
            kept, attention = model.compression.compress(maps)
            assert attention.weights.shape == (2, max(1, T // 2), T)
            assert isinstance(kept, tuple) == (name in WITH_TOKEN)
            if isinstance(kept, tuple):
                assert kept[1] is maps[1]
            features = model.features(x)
            assert features.shape[:3] == (2, network.num_features, max(1, T // 2))
            torch.testing.assert_close(model(x), network.classify(features))
            assert (model(x) - whole).abs().max() > 1e-4
        torch.testing.assert_close(network(x), whole, rtol=0, atol=0)  # nothing is left behind
    with pytest.raises(UsageError, match=r"block2 is the last stage .* give one of embed, block1$"):
        compressed(network, "block2")


def test_all_steps_kept_are_the_network_itself(case, monkeypatch):
    _, network, _ = case
    model = compressed(network, "block1", ratio=1)
    monkeypatch.setattr(
        model.compression,
        "attend",
        lambda x: Attention(torch.eye(x.shape[2]).expand(len(x), -1, -1), None),
    )
    with torch.no_grad():
        torch.testing.assert_close(model(clips(network)), network(clips(network)))


def test_what_goes_in(case):
    """Positions are those of one size: the crop stays, and videos are seen clip by clip."""
    name, network, _ = case
    model = compressed(network, "block1", ratio=1.5)
    assert model.transform == network.transform
    assert model.takes_own_length() == (name != "vjepa2")
    assert model.frame_multiple == model.frames_per_step
    x = torch.randn(1, 3, 7, *network.clip.size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        answer = answer_of(model, iter([x[:, :, :3], x[:, :, 3:]]))
        last = x[:, :, -1:]
        if not model.takes_own_length():
            wanted = model(torch.cat([x, last], 2))
            assert answer.num_steps == 4
        else:
            size = network.clip.num_frames
            x = torch.cat([x, last.expand(-1, -1, -7 % size, -1, -1)], 2)
            parts = [model.encode(part) for part in x.split(size, 2)]
            maps = parts[0]
            if isinstance(maps, tuple):
                patches = torch.cat([p[0] for p in parts], 2)
                maps = (patches, torch.stack([p[1] for p in parts]).mean(0))
            else:
                maps = torch.cat(parts, 2)
            wanted = network.classify(model.late(model.compression(maps)))
            assert answer.num_steps == x.shape[2] // model.frames_per_step
    torch.testing.assert_close(answer.logits, wanted)


@pytest.mark.parametrize("steps", [2, 6])
def test_timesformer_attends_over_the_steps_that_are_left(tmp_path, steps):
    """Its layers would read their number off the configuration; even ones gave a silent mixture."""
    library = build("timesformer")
    write(library, tmp_path)
    network = load_backbone(f"hf:{tmp_path}")
    _, *blocks = network.stage_modules()
    torch.manual_seed(0)
    patches, token = torch.randn(2, 24, steps, 2, 2), torch.randn(2, 24, 1, 1, 1)
    tokens = blocks[0].order.to_tokens((patches, token))
    body = copy.deepcopy(library.timesformer)
    for layer in body.encoder.layer:
        layer.config.num_frames = steps
    with torch.no_grad():
        found, _ = blocks[0]((patches, token))
        wanted = body.encoder.layer[0](tokens)[0]
        expected = blocks[0].order.to_maps(wanted, (steps, 2, 2))[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        whole = network(clips(network))
    assert whole.shape == (2, 5)
    assert library.config.num_frames == 3


@pytest.mark.parametrize("family", ["timesformer", "vjepa2"])
def test_a_file_and_a_video(tmp_path, family):
    """From a folder of the library's to an answer: clips of its length, or all frames at once."""
    write(build(family), tmp_path)
    model = compressed(load_backbone(f"hf:{tmp_path}"), "embed")
    save_model(sfc(model), tmp_path / "sfc.safetensors")
    path = write_varied(tmp_path / "v.mp4", 40)
    stride, size = model.clip.stride, model.clip.num_frames
    if stride > 8:  # forty frames are one clip of two
        numbers = [0, 32, 32]
    else:
        numbers = numbers_of(40, num_frames=size, stride=stride)
    answer = vidskim.recognize(path, model=str(tmp_path / "sfc.safetensors"))
    wanted, attention = whole_answer(model, decoded(path), numbers)
    found = {score.label: score.score for score in answer.predictions}
    assert [found[name] for name in NAMES] == pytest.approx(wanted, abs=1e-5)
    torch.testing.assert_close(answer.attention.weights, attention.weights[0])
    per_step = {"timesformer": 1, "vjepa2": 2}[family]
    assert answer.attention.frame_indices == tuple(numbers[::per_step])
    told = "takes frames of .* only: leave out the size"
    if family == "timesformer":  # its positions are learned, the other's are rotations
        with pytest.raises(UsageError, match=told):
            vidskim.recognize(path, model=str(tmp_path / "sfc.safetensors"), size=40)
