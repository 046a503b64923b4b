"""One pass over a whole video, against the model on frames that are decoded and put in by hand."""

import pytest
import torch

from parts import recognizer_for
from tinynets import CLASSES, tiny_compressed
from vidskim import presets
from vidskim.account import count
from vidskim.answer.recognizer import Recognizer
from vidskim.backbones.registry import create_backbone
from vidskim.clips.transform import Transform
from vidskim.errors import CheckpointError, UsageError, VideoError
from vidskim.look.methods import METHODS, Asked
from vidskim.model.compressed import Compressed
from vidskim.model.presets import sfc
from vidskim.video import Video
from wholes import decoded, numbers_of, whole_answer, write_varied

FRAMES = 60


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Seven clips of 8 frames, and a rest of 4."""
    return write_varied(tmp_path_factory.mktemp("whole") / "v.mp4", FRAMES)


@pytest.fixture(scope="module")
def frames(video):
    return decoded(video)


def recognizer_of(model, **options) -> Recognizer:
    segments = None if model.segments is None else model.segments[0]
    own = METHODS["sfc"].make(Asked(clip=model.clip, segments=segments))
    return recognizer_for(sfc(model), look=options.pop("look", own), **options)


def by_label(prediction) -> list[float]:
    found = {score.label: score.score for score in prediction.predictions}
    return [found[name] for name in CLASSES]


def check_attention(answer, attention, *, numbers: list[int], per_step: int) -> None:
    """Step t begins with the t-th frame of each group that the early part makes one."""
    found = answer.attention
    T = found.weights.shape[1]
    times = Video(answer.video.path).timestamps_seconds
    assert found.frame_indices == tuple(
        numbers[min(t * per_step, len(numbers) - 1)] for t in range(T)
    )
    assert found.seconds == tuple(times[n] for n in found.frame_indices)
    torch.testing.assert_close(found.weights, attention.weights[0], rtol=0, atol=1e-3)
    assert found.kept == tuple(attention.kept[0].tolist())
    torch.testing.assert_close(found.received.sum(), torch.tensor(1.0))


@pytest.mark.parametrize(
    ("at", "num_frames", "stride", "per_step", "put_in"),
    [
        ("res3", 8, 1, 2, 60),
        ("res3", 8, 2, 2, 30),  # three clips, and a rest of six frames
        ("res4", 8, 3, 4, 20),  # two, and a rest of four
        ("res4", 9, 1, 4, 60),  # six, and a rest of six
        ("res2", 11, 1, 1, 60),  # five, the last one longer by a rest of five
        ("res3", 7, 4, 2, 15),  # two clips, the second longer by a rest of one
    ],
)
def test_the_answer_is_the_models_own(video, frames, at, num_frames, stride, per_step, put_in):
    model = tiny_compressed(at=at, num_frames=num_frames, stride=stride)
    answer = recognizer_of(model)(video)
    numbers = numbers_of(FRAMES, num_frames=num_frames, stride=stride)
    assert len(numbers) == put_in
    wanted, attention = whole_answer(model, frames, numbers)
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    assert answer.label == CLASSES[wanted.index(max(wanted))]
    assert [n for c in answer.clips for n in c.clip.frame_indices[: c.clip.num_valid]] == numbers
    assert answer.saliency is None
    assert answer.warnings == ()
    check_attention(answer, attention, numbers=numbers, per_step=per_step)


def test_the_answer_rests_on_all_of_the_video(video, frames):
    """Or the tests above would pass whatever of it went in."""
    model = tiny_compressed()
    whole = whole_answer(model, frames, list(range(FRAMES)))[0]
    half = whole_answer(model, frames, list(range(30)))[0]
    backbone = model.backbone(model.transform(frames)[None]).softmax(1)[0].tolist()
    for other in (half, backbone):
        assert max(abs(a - b) for a, b in zip(whole, other)) > 1e-3


@pytest.mark.parametrize(
    ("num_frames", "at", "ratio", "least"),
    [
        (1, "res3", 2, 8),
        (5, "res4", 2, 8),
        (7, "stem", 8, 8),
        (6, "res4", 8, 32),
    ],
)
def test_short_videos(tmp_path, num_frames, at, ratio, least):
    """Shorter than a clip, than the ratio has steps for, and of one frame: the last is repeated."""
    path = write_varied(tmp_path / "v.mp4", num_frames)
    model = tiny_compressed(at=at, ratio=ratio)
    answer = recognizer_of(model)(path)
    numbers = list(range(num_frames))
    wanted, attention = whole_answer(model, decoded(path), numbers, at_least=least)
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    per_step = {"stem": 1, "res3": 2, "res4": 4}[at]
    check_attention(answer, attention, numbers=numbers, per_step=per_step)
    assert answer.attention.weights.shape == (max(1, least // per_step // ratio), least // per_step)
    told = f"with a ratio of {ratio} takes no input of {num_frames} frames: the last one is "
    assert [w.partition(" ")[2] for w in answer.warnings if told in w] == [
        f"{told}repeated up to {least}"
    ]


def test_what_pathways_take_is_told(video, frames):
    """SlowFast takes multiples of alpha; 60 frames are none of 8."""
    torch.manual_seed(3)
    backbone = create_backbone("slowfast_r50_4x16", num_classes=len(CLASSES), width=16)
    backbone.classes = CLASSES
    model = Compressed(backbone, at="res3", transform=Transform(resize_to=(32, 40))).eval()
    model.stride = 1
    answer = recognizer_of(model)(video)
    wanted, _ = whole_answer(model, frames, list(range(FRAMES)), at_least=64)
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    assert answer.warnings == (
        "slowfast_r50_4x16 with a ratio of 2 takes no input of 60 frames: the last one is repeated "
        "up to 64",
    )


def test_steps_of_a_few_frames(tmp_path):
    """Nine frames are three steps of four, of which the last is one frame."""
    path = write_varied(tmp_path / "v.mp4", 9)
    model = tiny_compressed(at="res4", num_frames=3)
    answer = recognizer_of(model)(path)
    assert answer.attention.frame_indices == (0, 4, 8)
    assert answer.warnings == ()


def test_the_account_is_the_models_cost(video, frames):
    """From the first video on; what is probed once is charged to none."""
    model = tiny_compressed()
    recognizer = recognizer_of(model)
    one_pass = count(model, (1, 3, FRAMES, *model.transform.resized_size(96, 128))).macs
    for _ in range(2):
        cost = recognizer(video).cost
        assert cost.macs == one_pass
        assert cost.look_macs == 0
        assert cost.frames_decoded >= FRAMES
        assert {"read", "encode"} <= cost.seconds.keys()
    clip = count(model.backbone, model.own_clip.input_shape).macs
    assert recognizer(video).cost.dense_macs == 8 * clip
    long = recognizer_of(model.of_segments(16))(video)
    assert [c.clip.num_frames for c in long.clips] == [16] * 4
    assert long.cost.dense_macs == 8 * clip  # the backbone still sees clips of 8 frames
    assert by_label(long) == pytest.approx(by_label(recognizer(video)), abs=2e-5)


def test_windows_of_a_long_video(tmp_path):
    """Overlapping windows cost more than one pass, and answer the same."""
    path = write_varied(tmp_path / "v.mp4", 150)
    model = tiny_compressed()
    answer = recognizer_of(model)(path)
    frames = decoded(path)
    numbers = numbers_of(150, num_frames=8, stride=1)
    assert len(numbers) == 150
    wanted, attention = whole_answer(model, frames, numbers)
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    check_attention(answer, attention, numbers=numbers, per_step=2)
    one_pass = count(model, (1, 3, 150, *model.transform.resized_size(96, 128))).macs
    assert one_pass < answer.cost.macs < 1.6 * one_pass


@pytest.mark.parametrize("look", [presets.uniform(k=3), presets.packets(k=3), presets.dense()])
def test_chosen_clips_are_joined(video, frames, look):
    model = tiny_compressed()
    answer = recognizer_of(model, look=look)(video)
    chosen = [c.clip.index for c in answer.clips]
    assert len(chosen) == (8 if look.method == "dense" else 3)
    numbers = numbers_of(FRAMES, num_frames=8, stride=1, clips=chosen)
    wanted, attention = whole_answer(model, frames, numbers)
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    check_attention(answer, attention, numbers=numbers, per_step=2)
    assert answer.method == look.method
    scored = look.method == "packets"
    assert all((c.saliency is not None) == scored for c in answer.clips)


class Unreadable(Video):
    """A file of which some clips cannot be decoded."""

    bad: tuple[int, ...] = ()

    def iter_frames(self, clips):
        yield from super().iter_frames([c for c in clips if c.index not in self.bad])


def test_unreadable_clips(video, frames):
    model = tiny_compressed()
    broken = Unreadable(video)
    broken.bad = (0, 3)
    answer = recognizer_of(model)(broken)
    left = [1, 2, 4, 5, 6, 7]
    assert [c.clip.index for c in answer.clips] == left
    numbers = numbers_of(FRAMES, num_frames=8, stride=1, clips=left)
    wanted, attention = whole_answer(model, frames, numbers)
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    check_attention(answer, attention, numbers=numbers, per_step=2)
    broken.bad = (2, 6)
    answer = recognizer_of(model, look=presets.uniform(k=2))(broken)
    assert [c.clip.index for c in answer.clips] == [1, 5]
    assert any("others were seen instead" in text for text in answer.warnings)
    broken.bad = tuple(range(8))
    with pytest.raises(VideoError, match=r"v\.mp4: none of its clips can be read"):
        recognizer_of(model)(broken)


def test_bf16(video):
    model = tiny_compressed()
    exact = recognizer_of(model)(video)
    answer = recognizer_of(model, precision="bf16")(video)
    assert (exact.precision, answer.precision) == ("fp32", "bf16")
    assert 0 < abs(by_label(answer)[0] - by_label(exact)[0]) < 0.05
    weights = answer.attention.weights
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))


def test_queries_that_are_no_steps(video):
    answer = recognizer_of(tiny_compressed(pooling="average"))(video)
    assert answer.attention.kept is None
    told = answer.to_json()["attention"]
    assert (told["kept"], told["num_kept"]) == (None, 15)
    assert len(told["received"]) == len(told["seconds"]) == 30


def test_another_look_shares_the_networks(video):
    first = recognizer_of(tiny_compressed())
    second = first.with_look(presets.uniform(k=2))
    assert second.model is first.model
    assert (len(first(video).clips), len(second(video).clips)) == (8, 2)


def test_what_cannot_be_meant(video):
    model = tiny_compressed()
    with pytest.raises(UsageError, match="3 crops need a transform that crops"):
        recognizer_of(model, num_crops=3)
    with pytest.raises(UsageError, match="did you mean 'fp32'"):
        recognizer_of(model, precision="fp23")
    with pytest.raises(UsageError, match="all clips of the video are joined"):
        next(recognizer_of(model, look=presets.dense()).stream(video))
    model.compression.query.weight.data.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="weights are damaged"):
        recognizer_of(model)(video)
