"""Several encoders that take turns, against a loop over decoded frames that knows nothing of it."""

import av
import numpy as np
import pytest
import torch

from parts import recognizer_for
from tinynets import CLASSES, tiny_cheap, tiny_classifier, tiny_faster
from vidskim import Recognizer, presets
from vidskim.account import count
from vidskim.backbones.contract import Features
from vidskim.clips.views import views_of
from vidskim.cost.video import video_count
from vidskim.errors import UsageError
from vidskim.io.write.video import write_video
from vidskim.look.look import Look
from vidskim.look.selection import by_place
from vidskim.model.adapter import Adapter
from vidskim.model.model import Model
from vidskim.model.schedule import Pattern, Routed, parse_pattern
from vidskim.types import Origin
from wholes import decoded

FRAMES = 60
STARTS = range(0, FRAMES, 8)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """60 frames whose content differs from clip to clip: seven clips of 8, and a rest of 4."""
    path = tmp_path_factory.mktemp("turns") / "v.mp4"
    grounds = np.random.default_rng(4).integers(0, 256, (8, 6, 8, 3), dtype=np.uint8)
    frames = (
        np.roll(grounds[n // 8].repeat(16, 0).repeat(16, 1), n, axis=1) for n in range(FRAMES)
    )
    write_video(path, frames, options={"g": "12"})
    return path


@pytest.fixture(scope="module")
def frames(video) -> torch.Tensor:
    """All frames, uint8 ``[F, 3, H, W]``."""
    return decoded(video)


def clip_of(frames: torch.Tensor, start: int) -> torch.Tensor:
    return frames[[min(start + t, len(frames) - 1) for t in range(8)]]


def recognizer_of(model: Model, *, look: Look | None = None, **options) -> Recognizer:
    return recognizer_for(model, look=look or presets.dense(), **options)


@torch.no_grad()
def by_hand(
    model: Model, frames: torch.Tensor, starts, places: list[int], *, num_crops: int = 1
) -> list[float]:
    """Probabilities ``[K]``: each clip through its own transform, encoder and adapter, in order."""
    answers = []
    for crop in range(num_crops):
        maps = []
        for start, place in zip(starts, places, strict=True):
            encoder = model.networks[place]
            clip = clip_of(frames, start)
            x = views_of(clip, transform=encoder.transform, num_crops=num_crops)[crop]
            maps.append(model.adapters[place](encoder.features(x[None])))
        answers.append(model.aggregator(torch.stack(maps, dim=1)).softmax(1)[0])
    return torch.stack(answers).mean(0).tolist()


def by_label(prediction) -> list[float]:
    found = {score.label: score.score for score in prediction.predictions}
    return [found[name] for name in CLASSES]


def letters(prediction, model: Model) -> str:
    names = [encoder.name for encoder in model.networks]
    return "".join("EC"[names.index(clip.encoder)] for clip in prediction.clips)


@pytest.mark.parametrize("aggregator", ["fast_gru", "gru", "lstm", "concat"])
@pytest.mark.parametrize("pattern", ["1:2", "CCE", "first", "all", "none"])
def test_each_clip_is_seen_by_its_own_encoder(video, frames, aggregator, pattern):
    model = tiny_faster(aggregator=aggregator, pattern=pattern)
    answer = recognizer_of(model)(video)
    places = model.pattern(8)
    assert by_label(answer) == pytest.approx(by_hand(model, frames, STARTS, places), abs=1e-5)
    assert letters(answer, model) == "".join("EC"[p] for p in places)
    told = [clip["encoder"] for clip in answer.to_json()["clips"]]
    assert told == [("r3d_18", "r2d_26")[p] for p in places]
    assert answer.to_json()["encoders"] == ["r3d_18", "r2d_26"]
    assert answer.to_json()["schedule"] == str(model.pattern)
    assert answer.warnings == ()


def test_patterns_and_order_change_the_answer(video):
    """Or the tests above would pass whatever saw the clips."""
    answers = [
        by_label(recognizer_of(tiny_faster(pattern=pattern))(video))
        for pattern in ("1:2", "CCE", "all", "none")
    ]
    for n, one in enumerate(answers):
        for other in answers[n + 1 :]:
            assert np.abs(np.subtract(one, other)).max() > 0.01


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_the_batch_size_does_not_change_the_answer(video, batch_size):
    model = tiny_faster()
    default, answer = (recognizer_of(model, batch_size=size)(video) for size in (None, batch_size))
    assert by_label(answer) == pytest.approx(by_label(default), abs=1e-5)
    assert answer.clips == default.clips
    assert answer.cost.macs == default.cost.macs
    if batch_size == 1:
        assert answer.predictions == default.predictions


@pytest.mark.parametrize("batch_size", [None, 12])
def test_crops_are_aggregated_alone_and_averaged(video, frames, batch_size):
    model = tiny_faster()
    answer = recognizer_of(model, num_crops=3, batch_size=batch_size)(video)
    places = model.pattern(8)
    expected = by_hand(model, frames, STARTS, places, num_crops=3)
    assert by_label(answer) == pytest.approx(expected, abs=1e-5)
    single = recognizer_of(model)(video)
    assert np.abs(np.subtract(by_label(answer), by_label(single))).max() > 1e-3
    assert answer.cost.macs == 3 * single.cost.macs


@pytest.mark.parametrize("batch_size", [None, 4])
def test_without_an_aggregator_each_encoder_tells_its_own_probabilities(video, frames, batch_size):
    encoders = [tiny_classifier(), tiny_cheap()]
    answer = recognizer_for(
        encoders[0],
        others=encoders[1:],
        look=presets.dense(),
        schedule=parse_pattern("1:2"),
        batch_size=batch_size,
    )(video)
    shares = []
    with torch.no_grad():
        for start, place in zip(STARTS, parse_pattern("1:2")(8), strict=True):
            x = encoders[place].transform(clip_of(frames, start))
            shares.append(encoders[place](x[None]).softmax(1)[0])
    expected = torch.stack(shares).mean(0)
    assert by_label(answer) == pytest.approx(expected.tolist(), abs=1e-5)
    macs = [count(e, e.clip.input_shape).macs for e in encoders]
    assert answer.cost.macs == 3 * macs[0] + 5 * macs[1]
    assert answer.cost.dense_macs == 8 * macs[0]


def test_two_encoders_of_one_name_are_told_apart(video):
    answer = recognizer_for(
        tiny_classifier(),
        others=[tiny_classifier(seed=9)],
        look=presets.dense(),
        schedule=parse_pattern("1:3"),
    )(video)
    assert [c.encoder for c in answer.clips] == [
        "r3d_18 (expensive)",
        *["r3d_18 (cheap)"] * 3,
    ] * 2


@pytest.mark.parametrize("aggregator", ["fast_gru", "gru", "lstm", "concat"])
@pytest.mark.parametrize("pattern", ["1:2", "all", "none", "first"])
def test_the_account_is_that_of_the_parts(video, aggregator, pattern):
    model = tiny_faster(aggregator=aggregator, pattern=pattern, num_clips=8)
    cost = recognizer_of(model)(video).cost
    assert cost.macs == video_count(model).macs
    expensive, cheap = (count(Features(e), e.clip.input_shape).macs for e in model.networks)
    nE = model.pattern(8).count(0)
    rest = cost.macs - nE * expensive - (8 - nE) * (cheap + 64 * 32 * 4) - 32 * 4
    step = {"fast_gru": 4 * 7 * 32**2 // 2, "gru": 6 * 32**2, "lstm": 8 * 32**2}
    assert rest == 7 * step.get(aggregator, 4 * 2 * 32**2)
    assert cost.dense_macs == 8 * count(model.networks[0], (1, 3, 8, 32, 32)).macs
    assert set(cost.seconds) >= {"encode", "aggregate", "read"}


@pytest.mark.parametrize("num_clips", [1, 2, 5])
def test_a_video_shorter_than_the_period(tmp_path, num_clips):
    path = tmp_path / "short.mp4"
    rng = np.random.default_rng(num_clips)
    moving = rng.integers(0, 256, (num_clips * 8, 96, 128, 3), dtype=np.uint8)
    write_video(path, iter(moving))
    model = tiny_faster(pattern="1:7", num_clips=16)
    answer = recognizer_of(model, look=Look("faster", by_place(16), None, k=16))(path)
    assert letters(answer, model) == "E" + "C" * (num_clips - 1)
    assert any("fewer than 16" in w for w in answer.warnings)
    with av.open(str(path)) as container:
        decoded = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    seen = torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2)
    starts = range(0, 8 * num_clips, 8)
    expected = by_hand(model, seen, starts, model.pattern(num_clips))
    assert by_label(answer) == pytest.approx(expected, abs=1e-5)


class Given:
    """A saliency that is told what to say."""

    def __init__(self, scores) -> None:
        self.scores = torch.tensor(scores)

    def __call__(self, video, clips) -> torch.Tensor:
        return self.scores


def test_the_expensive_encoder_goes_where_the_saliency_is(video, frames):
    model = tiny_faster(pattern="1:3")
    scores = [0.1, 0.7, 0.2, 0.9, 0.0, 0.8, 0.3, 0.4]
    routed = Routed(model.pattern)
    every = recognizer_of(model, schedule=routed, look=Look("x", by_place(8), Given(scores), k=8))
    answer = every(video)
    assert letters(answer, model) == "CCCECECC"
    assert answer.schedule == "1:3 by saliency"
    expected = by_hand(model, frames, STARTS, [1, 1, 1, 0, 1, 0, 1, 1])
    assert by_label(answer) == pytest.approx(expected, abs=1e-5)
    fixed = recognizer_of(model)(video)
    assert answer.cost.macs == fixed.cost.macs
    assert [c.saliency for c in answer.clips] == pytest.approx(scores)
    few = every.with_look(Look("y", by_place(4), Given(scores), k=4))(video)  # clips 1, 3, 5, 7
    assert [c.clip.index for c in few.clips] == [1, 3, 5, 7]
    assert letters(few, model) == "CECC"
    with pytest.raises(UsageError, match="nothing scored them"):
        every.with_look(presets.dense())(video)


def test_another_look_keeps_encoders_and_pattern(video):
    model = tiny_faster()
    recognizer = recognizer_of(model)
    answer = recognizer.with_look(presets.uniform(k=4))(video)
    assert answer.method == "uniform"
    assert letters(answer, model) == "ECCE"
    assert letters(recognizer(video), model) == "ECCECCEC"


def test_unreadable_clips_leave_the_pattern_of_the_others(video, frames, monkeypatch):
    from vidskim.video import Video

    read = Video.iter_frames
    lost = (0, 4)

    def damaged(self, clips):
        yield from read(self, [clip for clip in clips if clip.index not in lost])

    monkeypatch.setattr(Video, "iter_frames", damaged)
    model = tiny_faster(pattern="1:2")
    for batch_size in (None, 3):
        answer = recognizer_of(model, batch_size=batch_size)(video)
        assert [c.clip.index for c in answer.clips] == [1, 2, 3, 5, 6, 7]
        assert letters(answer, model) == "CCECEC"
        starts, places = [8, 16, 24, 40, 48, 56], [1, 1, 0, 1, 0, 1]
        assert by_label(answer) == pytest.approx(by_hand(model, frames, starts, places), abs=1e-5)


def test_half_precision_is_of_both_encoders(video):
    model = tiny_faster()
    whole, half = (recognizer_of(model, precision=p)(video) for p in ("fp32", "bf16"))
    assert (whole.precision, half.precision) == ("fp32", "bf16")
    assert by_label(half) == pytest.approx(by_label(whole), abs=0.1)
    assert by_label(half) != by_label(whole)
    assert half.cost.macs == whole.cost.macs


def test_the_answer_says_what_the_model_is(video):
    answer = recognizer_of(tiny_faster(), origin=Origin("run/model.safetensors", ("look out",)))(
        video
    )
    assert answer.model == "run/model.safetensors"
    assert answer.warnings == ("look out",)


def test_maps_of_different_sizes_need_adapters(video):
    model = tiny_faster()
    first, cheap = model.networks
    with pytest.raises(UsageError, match="adapters"):
        recognizer_for(
            first,
            others=[cheap],
            look=presets.dense(),
            schedule=model.pattern,
            aggregator=tiny_faster(aggregator="concat").aggregator,
        )
    sizes = [Adapter(32, 32, places=(1, 2, 2)), Adapter(64, 32, places=(1, 3, 3))]
    for batch_size in (None, 4):
        with pytest.raises(UsageError, match="adapters"):
            recognizer_for(
                first,
                others=[cheap],
                look=presets.dense(),
                schedule=model.pattern,
                aggregator=model.aggregator,
                adapters=sizes,
                batch_size=batch_size,
            )(video)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"others": [tiny_cheap(num_frames=16)], "schedule": Pattern((0, 1))}, "same time span"),
        ({"others": [tiny_cheap(stride=3)], "schedule": Pattern((0, 1))}, "same time span"),
        ({"adapters": [Adapter(32, 32)]}, "adapters bring maps to an aggregator"),
        ({"adapters": [], "aggregator": tiny_faster().aggregator}, "as many adapters, got 0"),
        (
            {
                "others": [tiny_cheap()],
                "schedule": Pattern((0, 1)),
                "adapters": [Adapter(32, 32)],
                "aggregator": tiny_faster().aggregator,
            },
            "2 encoders need as many adapters, got 1",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        recognizer_for(tiny_classifier(), look=presets.dense(), **options)


def test_other_classes_are_refused():
    cheap = tiny_cheap()
    cheap.classes = ("a", "b", "c", "d")
    with pytest.raises(UsageError, match="other classes"):
        recognizer_for(
            tiny_classifier(), others=[cheap], look=presets.dense(), schedule=Pattern((0, 1))
        )


def test_a_pattern_that_needs_an_encoder_which_is_not_there(video):
    recognizer = Recognizer(tiny_classifier(), look=presets.dense(), schedule=parse_pattern("1:7"))
    with pytest.raises(UsageError, match=r"schedule 1:7 needs a cheap encoder"):
        recognizer(video)
