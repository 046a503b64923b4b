"""The path from a file to an answer against a plain loop over frames that PyAV decodes."""

from dataclasses import replace

import av
import numpy as np
import pytest
import torch

from parts import recognizer_for
from tinynets import CLASSES, motion_sampler, tiny_classifier, tiny_sampler
from vidskim import Recognizer, Video, presets
from vidskim.account import count
from vidskim.answer.recognizer import usable_device
from vidskim.errors import CheckpointError, UsageError, VideoError
from vidskim.io.write.video import write_video
from vidskim.look.look import Look
from vidskim.look.selection import by_score
from vidskim.types import Origin


def decoded(path) -> torch.Tensor:
    """All frames, uint8 ``[F, 3, H, W]``."""
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def plain_answer(network, frames: torch.Tensor, starts: list[int]) -> torch.Tensor:
    """Mean class probabilities ``[K]`` of clips of 8 frames."""
    rows = []
    with torch.no_grad():
        for start in starts:
            numbers = [min(start + t, len(frames) - 1) for t in range(8)]
            x = network.transform(frames[numbers])
            rows.append(network(x[None]).softmax(1)[0])
    return torch.stack(rows).mean(0)


def by_label(prediction) -> list[float]:
    found = {score.label: score.score for score in prediction.predictions}
    return [found[name] for name in CLASSES]


class Given:
    """A saliency that is told what to say."""

    def __init__(self, scores) -> None:
        self.scores = torch.tensor(scores)

    def __call__(self, video, clips) -> torch.Tensor:
        return self.scores


@pytest.fixture(scope="module")
def short_video(tmp_path_factory):
    """60 frames whose content differs from clip to clip: seven clips of 8, and a rest of 4."""
    path = tmp_path_factory.mktemp("short") / "v.mp4"
    rng = np.random.default_rng(3)
    grounds = rng.integers(0, 256, (8, 6, 8, 3), dtype=np.uint8)

    def frames():
        for n in range(60):
            yield np.roll(grounds[n // 8].repeat(8, 0).repeat(8, 1), n, axis=1)

    write_video(path, frames(), options={"g": "24"})
    return path


@pytest.fixture(scope="module")
def damaged_video(tmp_path_factory):
    """60 frames of MPEG-4, every eighth with noise in the middle of its packet."""
    path = tmp_path_factory.mktemp("damaged") / "v.avi"
    rng = np.random.default_rng(5)
    ground = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
    write_video(path, (np.roll(ground, 2 * n, axis=1) for n in range(60)), codec="mpeg4")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for start, size in packets[4::8]:
        noise = rng.integers(0, 256, size // 2, dtype=np.uint8).tobytes()
        content[start + size // 3 : start + size // 3 + len(noise)] = noise
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def network():
    return tiny_classifier()


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_dense_is_the_mean_over_all_clips(short_video, network, batch_size):
    answer = recognizer_for(network, look=presets.dense(), batch_size=batch_size)(short_video)
    expected = plain_answer(network, decoded(short_video), list(range(0, 60, 8)))
    assert by_label(answer) == pytest.approx(expected.tolist(), abs=1e-5)
    assert [p.score for p in answer.predictions] == sorted(by_label(answer), reverse=True)
    assert answer.label == CLASSES[int(expected.argmax())]
    assert len(answer.clips) == 8
    assert answer.clips[-1].clip.num_valid == 4
    assert answer.saliency is None
    assert answer.warnings == ()
    single = [plain_answer(network, decoded(short_video), [s]) for s in range(0, 56, 8)]
    assert torch.stack(single).std(0).max() > 0.01, "the clips are all alike: nothing was tested"


def test_top_k_is_the_mean_over_the_k_most_salient(short_video, network):
    scores = [0.1, 0.7, 0.2, 0.9, 0.0, 0.8, 0.3, 0.4]
    look = Look("given", by_score(3), Given(scores))
    answer = Recognizer(network, look=look)(short_video)
    expected = plain_answer(network, decoded(short_video), [8, 24, 40])
    assert by_label(answer) == pytest.approx(expected.tolist(), abs=1e-5)
    assert [c.clip.start_frame for c in answer.clips] == [8, 24, 40]
    assert [c.saliency for c in answer.clips] == pytest.approx([0.7, 0.9, 0.8])
    assert answer.saliency == pytest.approx(scores)
    assert answer.method == "given"
    assert answer.model == "r3d_18"


def test_the_same_video_gives_the_same_answer(short_video, network):
    recognizer = Recognizer(network, look=presets.random(k=3))
    first, second, third = recognizer(short_video), recognizer(str(short_video)), None
    third = Recognizer(network, look=presets.random(k=3))(Video(short_video))
    for other in (second, third):
        assert other.predictions == first.predictions
        assert other.clips == first.clips


def test_the_account_adds_up(short_video, network):
    clip_macs = count(network, (1, 3, 8, 32, 32)).macs
    costs = {
        name: Recognizer(network, look=look)(short_video).cost
        for name, look in {
            "dense": presets.dense(),
            "uniform": presets.uniform(k=3),
            "packets": presets.packets(k=3),
            "motion": presets.motion(k=3),
            "scsampler": presets.scsampler(motion_sampler(tiny_sampler()), k=3),
        }.items()
    }
    for name, cost in costs.items():
        num_clips = 8 if name == "dense" else 3
        assert cost.macs == cost.look_macs + num_clips * clip_macs, name
        assert cost.dense_macs == 8 * clip_macs, name
        stages = {key: value for key, value in cost.seconds.items() if key != "total"}
        assert set(stages) == {"look", "read", "encode", "aggregate"}, name
        assert 0 < sum(stages.values()) <= cost.seconds["total"], name
        assert cost.peak_bytes > 10e6, name
    size = short_video.stat().st_size
    packet_bytes = int(Video(short_video).packets.sizes.sum())
    assert packet_bytes < costs["uniform"].bytes_read < 4 * size
    assert 60 <= costs["dense"].frames_decoded <= 63
    assert 3 * 8 <= costs["uniform"].frames_decoded < 60
    assert costs["motion"].frames_decoded >= 60 + 3 * 8
    assert {c.look_macs for n, c in costs.items() if n != "scsampler"} == {0}
    video = Video(short_video)
    maps = video.motion(video.clips(num_frames=8))
    seen = int((maps.intra.flatten(1).mean(1) < 1).sum())
    per_map = count(tiny_sampler(), (1, *maps.vectors.shape[1:])).macs
    assert costs["scsampler"].look_macs == seen * per_map


def test_bf16_agrees_with_float32(short_video, network):
    full = Recognizer(network, look=presets.dense())(short_video)
    half = recognizer_for(network, look=presets.dense(), precision="bf16")(short_video)
    assert by_label(half) == pytest.approx(by_label(full), abs=0.03)
    assert by_label(half) != by_label(full)
    assert half.cost.macs == full.cost.macs


class Last(torch.nn.Module):
    """An aggregator of the user's own: the last clip decides."""

    def __init__(self, network) -> None:
        super().__init__()
        self.head = torch.nn.Linear(network.num_features, len(CLASSES))

    def start(self) -> None:
        return None

    def step(self, state, features: torch.Tensor, *, counts=None) -> torch.Tensor:
        assert features.ndim == 6
        return features[:, -1]

    def read(self, state: torch.Tensor) -> torch.Tensor:
        return self.head(state.mean((2, 3, 4)))


class Written(torch.nn.Module):
    """A context of the user's own: the sum of a video's maps, and how many there were."""

    def __init__(self, total=None, count=0) -> None:
        super().__init__()
        self.total, self.count = total, count

    def write(self, features: torch.Tensor, memory=None) -> "Written":
        assert len(features) == 1, "only the center crop writes"
        total = features.sum(1, keepdim=True)
        if memory is None:
            return Written(total, features.shape[1])
        return Written(memory.total + total, memory.count + features.shape[1])

    def shared_by(self, count: int) -> "Written":
        return self

    def read(self, features: torch.Tensor, memory: "Written") -> torch.Tensor:
        return (memory.total / memory.count).expand_as(features)


def test_an_aggregator_of_ones_own_takes_all_clips_in_order(short_video, network):
    torch.manual_seed(0)
    last = Last(network)
    answer = recognizer_for(network, look=presets.uniform(k=5), aggregator=last, batch_size=2)(
        short_video
    )
    x = network.transform(decoded(short_video)[list(answer.clips[-1].clip.frame_indices)])
    with torch.no_grad():
        logits = last.head(network.features(x[None]).mean((2, 3, 4)))[0]
    assert by_label(answer) == pytest.approx(logits.softmax(0).tolist(), abs=1e-5)
    head = network.num_features * len(CLASSES)
    features = count(network, (1, 3, 8, 32, 32)).macs - head
    assert answer.cost.macs == 5 * features + head


def test_a_context_relates_the_clips(short_video, network):
    look = presets.uniform(k=4)
    answer = recognizer_for(network, look=look, context=Written(), batch_size=3)(short_video)
    frames = decoded(short_video)
    with torch.no_grad():
        x = [network.transform(frames[list(c.clip.frame_indices)]) for c in answer.clips]
        mean = network.features(torch.stack(x)).mean(0, keepdim=True)
        expected = network.classify(mean).softmax(1)[0]
    assert by_label(answer) == pytest.approx(expected.tolist(), abs=1e-5)


def test_fewer_clips_than_k_are_all_seen(short_video, network):
    few = Recognizer(network, look=presets.motion(k=50))(short_video)
    dense = Recognizer(network, look=presets.dense())(short_video)
    assert [c.clip for c in few.clips] == [c.clip for c in dense.clips]
    assert by_label(few) == pytest.approx(by_label(dense), abs=1e-6)


@pytest.mark.parametrize("method", presets.SELECTED)
def test_one_frame_is_a_video(tmp_path, network, method):
    path = tmp_path / "one.mp4"
    write_video(path, [np.full((48, 64, 3), 90, np.uint8)])
    look = presets.look(method, k=10, saliency=lambda: motion_sampler(tiny_sampler()))
    answer = Recognizer(network, look=look)(path)
    assert by_label(answer) == pytest.approx(
        plain_answer(network, decoded(path), [0]).tolist(), abs=1e-5
    )
    assert answer.clips[0].clip.frame_indices == (0,) * 8


def test_a_file_that_is_cut_off_gives_an_answer_and_a_warning(tmp_path, network):
    whole = tmp_path / "whole.avi"
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (48, 264, 3), dtype=np.uint8)
    frames = (np.ascontiguousarray(ground[:, n : n + 64]) for n in range(200))
    write_video(whole, frames, codec="mpeg4", options={"g": "10"})
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for look in (presets.dense(), presets.packets(k=4), presets.motion(k=4)):
        answer = Recognizer(network, look=look)(cut)
        assert answer.warnings
        assert sum(by_label(answer)) == pytest.approx(1, abs=1e-5)
        assert 60 < answer.video.num_frames < 140


class Unreadable(Video):
    """A file of which some clips cannot be decoded."""

    bad: tuple[int, ...] = ()

    def iter_frames(self, clips):
        yield from super().iter_frames([c for c in clips if c.index not in self.bad])


def test_others_are_seen_where_none_of_the_chosen_can_be_read(short_video, network):
    video = Unreadable(short_video)
    video.bad = (3, 5)
    scores = [0.1, 0.7, 0.2, 0.9, 0.0, 0.8, 0.3, 0.4]
    recognizer = Recognizer(network, look=Look("given", by_score(2), Given(scores)))
    answer = recognizer(video)
    assert [c.clip.index for c in answer.clips] == [1, 6]
    assert any("others were seen instead" in text for text in answer.warnings)
    video.bad = tuple(range(8))
    with pytest.raises(VideoError, match=r"v\.mp4: none of its clips can be read"):
        recognizer(video)


def test_damaged_weights_are_told(short_video):
    network = tiny_classifier()
    network.fc.bias.data[0] = float("nan")
    with pytest.raises(CheckpointError, match="weights are damaged"):
        Recognizer(network, look=presets.uniform(k=1))(short_video)


def test_answers_say_where_the_weights_come_from(short_video, network):
    origin = Origin("demo (r3d_18)", warnings=("beware",))
    answer = recognizer_for(network, look=presets.uniform(k=1), origin=origin)(short_video)
    assert answer.model == "demo (r3d_18)"
    assert answer.warnings == ("beware",)
    assert answer.clips[0].encoder == "r3d_18"


def test_too_little_memory_is_told_of_the_file(short_video, network, monkeypatch):
    recognizer = Recognizer(network, look=presets.dense())

    def full(*_args, **_options):
        raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(type(recognizer.encoding), "encode", full)
    with pytest.raises(VideoError, match=f"^{short_video}: not enough memory: choose smaller"):
        recognizer(short_video)


def test_impossible_arguments_are_refused(network):
    look = presets.dense()
    with pytest.raises(UsageError, match="did you mean 'bf16'"):
        recognizer_for(network, look=look, precision="fp16")
    with pytest.raises(UsageError, match="batch_size"):
        recognizer_for(network, look=look, batch_size=0)
    with pytest.raises(UsageError, match="num_crops is 1 or 3, got 2"):
        recognizer_for(network, look=look, num_crops=2)
    with pytest.raises(UsageError, match="no clip classifier"):
        Recognizer(tiny_sampler(), look=look)
    with pytest.raises(UsageError, match="device 'nowhere'"):
        recognizer_for(network, look=look, device="nowhere")
    assert usable_device("cpu") == torch.device("cpu")


def plain_views(network, frames: torch.Tensor) -> torch.Tensor:
    """Network input ``[3, 3, 8, 32, 32]`` of 8 frames: three crops of frames of 32x43 pixels."""
    wide = replace(network.transform, crop=None)(frames)  # [3, 8, 32, 43]
    return torch.stack([wide[..., left : left + 32] for left in (0, 6, 11)])


def test_three_crops_are_the_mean_over_all_views(short_video, network):
    look = presets.uniform(k=4)
    answer = recognizer_for(network, look=look, num_crops=3)(short_video)
    frames = decoded(short_video)
    with torch.no_grad():
        rows = [
            network(view[None]).softmax(1)[0]
            for clip in answer.clips
            for view in plain_views(network, frames[list(clip.clip.frame_indices)])
        ]
    assert len(rows) == 12
    assert by_label(answer) == pytest.approx(torch.stack(rows).mean(0).tolist(), abs=1e-5)
    center = Recognizer(network, look=look)(short_video)
    assert by_label(answer) != pytest.approx(by_label(center), abs=1e-3)
    assert (answer.num_crops, center.num_crops) == (3, 1)
    assert answer.cost.macs == 3 * center.cost.macs
    assert answer.cost.dense_macs == 3 * center.cost.dense_macs
    assert answer.cost.frames_decoded == center.cost.frames_decoded


@pytest.mark.parametrize("batch_size", [1, 4, 7])
def test_the_batch_size_counts_views(short_video, batch_size):
    network, seen = tiny_classifier(), []
    recognizer = recognizer_for(
        network, look=presets.uniform(k=4), num_crops=3, batch_size=batch_size
    )
    network.stem.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    recognizer(short_video)
    assert seen == {1: [3, 3, 3, 3], 4: [3, 3, 3, 3], 7: [6, 6]}[batch_size]


@pytest.mark.parametrize("batch_size", [4, 6, 12])  # one, two and all clips of a crop at once
def test_the_clips_of_one_crop_are_related_and_aggregated_alone(short_video, network, batch_size):
    torch.manual_seed(0)
    last = Last(network)

    class Added(Written):
        def read(self, features, memory):
            return features + memory.total / memory.count

    answer = recognizer_for(
        network,
        look=presets.uniform(k=4),
        context=Added(),
        aggregator=last,
        num_crops=3,
        batch_size=batch_size,
    )(short_video)
    frames = decoded(short_video)
    with torch.no_grad():
        views = torch.stack(
            [plain_views(network, frames[list(c.clip.frame_indices)]) for c in answer.clips]
        )  # [N, V, 3, T, h, w]
        shared = network.features(views[:, 1]).mean(0)
        rows = [
            last.head((network.features(views[-1:, crop])[0] + shared).mean((1, 2, 3))).softmax(0)
            for crop in range(3)
        ]
    assert by_label(answer) == pytest.approx(torch.stack(rows).mean(0).tolist(), abs=1e-5)


@pytest.mark.cuda
def test_cuda_agrees_with_the_cpu(short_video):
    answers = [
        recognizer_for(tiny_classifier(), look=presets.dense(), device=device)(short_video)
        for device in ("cpu", "cuda")
    ]
    assert by_label(answers[1]) == pytest.approx(by_label(answers[0]), abs=2e-3)
    encoder = tiny_classifier().cuda()
    look = presets.oracle(encoder, label="jump", k=2)
    assert len(recognizer_for(encoder, look=look, device="cuda")(short_video).clips) == 2


def test_another_look_keeps_everything_else(sample_video):
    first = recognizer_for(tiny_classifier(), look=presets.uniform(k=2), precision="bf16")
    second = first.with_look(presets.dense())
    assert first.look.method == "uniform"
    assert second.look.method == "dense"
    assert second.precision == "bf16"
    assert second.model is first.model
    fresh = recognizer_for(first.model, look=presets.dense(), precision="bf16")
    assert second(sample_video).predictions == fresh(sample_video).predictions


def test_batches_are_of_nearly_equal_size(sample_video):
    network = tiny_classifier(num_frames=16)
    recognizer = recognizer_for(network, look=presets.uniform(k=9), batch_size=4)
    seen = []
    network.stem.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    recognizer(sample_video)
    assert seen == [3, 3, 3]


@pytest.mark.parametrize("look", [presets.dense(), presets.uniform(k=4), presets.uniform(k=3)])
def test_damage_that_the_reader_sees_is_told_in_the_answer(damaged_video, network, look):
    answer = recognizer_for(network, look=look, batch_size=2)(damaged_video)
    video = Video(damaged_video)
    list(video.iter_frames([chosen.clip for chosen in answer.clips]))
    assert any("damaged" in text for text in video.warnings)
    assert set(video.warnings) <= set(answer.warnings)


def test_damage_in_the_look_is_told_in_the_answer(damaged_video, network):
    answer = Recognizer(network, look=presets.motion(k=1))(damaged_video)
    assert any("looked at are in part guessed" in text for text in answer.warnings)
