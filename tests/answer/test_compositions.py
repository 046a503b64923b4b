"""Every look with every model, against a loop over decoded frames that knows nothing of it."""

from fractions import Fraction

import numpy as np
import pytest
import torch

import vidskim
from tinynets import (
    CLASSES,
    motion_sampler,
    tiny_cheap,
    tiny_classifier,
    tiny_compressed,
    tiny_memory,
    tiny_sampler,
)
from vidskim import Card, Model, Recognizer, Runtime, presets
from vidskim.clips.views import views_of
from vidskim.cost.video import VideoShape, planned_cost, video_cost
from vidskim.errors import UsageError
from vidskim.io.write.video import write_video
from vidskim.look.motion import MotionEnergy
from vidskim.model.adapter import make_adapters
from vidskim.model.aggregate import create_aggregator
from vidskim.model.compressed import Compressed
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.presets import faster, sfc, single
from vidskim.model.schedule import Routed, parse_pattern
from wholes import decoded

FRAMES = 120
LOOKS = {
    "dense": lambda: presets.dense(),
    "uniform": lambda: presets.uniform(k=6),
    "random": lambda: presets.random(k=6),
    "packets": lambda: presets.packets(k=6),
    "motion": lambda: presets.motion(k=6),
    "scsampler": lambda: presets.scsampler(motion_sampler(tiny_sampler()), k=6),
    "cascade": lambda: presets.cascade(motion_sampler(tiny_sampler()), k=4, candidates=8),
}


def memory_of(channels: int) -> CollaborativeMemory:
    torch.manual_seed(7)
    memory = CollaborativeMemory(channels)
    torch.nn.init.normal_(memory.output.weight, std=3.0)
    return memory


def aggregator_of(channels: int = 32):
    torch.manual_seed(8)
    learned = create_aggregator("fast_gru", channels=channels, num_classes=len(CLASSES))
    learned.head.weight.data *= 100
    return learned


def clip_sized(**options) -> Compressed:
    """A compressed encoder that sees clips as its backbone does, and may be cropped."""
    model = tiny_compressed(**options)
    model.transform = model.backbone.transform
    return model


def faster_of(first, *, pattern="1:2", join=(1, 1), context=None) -> Model:
    encoders, learned = [first, tiny_cheap()], aggregator_of()
    torch.manual_seed(9)
    adapters = make_adapters(encoders, channels=32, num_clips=[n or 1 for n in join])
    return Model(
        encoders,
        adapters=adapters,
        context=context,
        aggregator=learned,
        card=Card("faster", pattern, join),
    ).eval()


MODELS = {
    "single": lambda: single(tiny_classifier()),
    "faster": lambda: faster_of(tiny_classifier()),
    "memory": lambda: tiny_memory(),
    "sfc": lambda: sfc(tiny_compressed()),
    "faster and memory": lambda: faster_of(tiny_classifier(), context=memory_of(32)),
    "memory over stretches": lambda: Model(
        [clip_sized()], context=memory_of(32), card=Card("memory", join=(2,))
    ),
    "faster compressed": lambda: faster_of(clip_sized(), pattern="1:1", join=(2, 1)),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Fifteen clips of eight frames, each of its own content, moving."""
    path = tmp_path_factory.mktemp("compositions") / "v.mp4"
    grounds = np.random.default_rng(4).integers(0, 256, (16, 6, 8, 3), dtype=np.uint8)
    frames = (
        np.roll(grounds[n // 8].repeat(16, 0).repeat(16, 1), n * (1 + n // 30), axis=1)
        for n in range(FRAMES)
    )
    write_video(path, frames, options={"g": "12"})
    return path


@pytest.fixture(scope="module")
def frames(video) -> torch.Tensor:
    return decoded(video)


def runs_by_hand(chosen: list[int], model: Model, places_of=None) -> list[tuple[int, list[int]]]:
    """(encoder, clips) of each input: the pattern counts runs, a run is cut by another encoder."""
    pattern, join = model.pattern, model.card.join
    runs: list[tuple[int, list[int]]] = []
    rest = list(chosen)
    if places_of is not None:
        for index, place in zip(rest, places_of, strict=True):
            full = runs and len(runs[-1][1]) >= (join[place] or len(rest))
            if not runs or runs[-1][0] != place or full:
                runs.append((place, []))
            runs[-1][1].append(index)
        return runs
    while rest:
        place = pattern.period[len(runs) % len(pattern.period)]
        size = join[place] or len(rest)
        runs.append((place, rest[:size]))
        rest = rest[size:]
    return runs


@torch.no_grad()
def by_hand(model: Model, frames, chosen, *, crops=1, places=None) -> list[float]:
    answers = []
    runs = runs_by_hand(chosen, model, places)
    written = None
    for crop in [crops // 2, *range(crops)]:
        maps = []
        for place, clips in runs:
            encoder = model.networks[place]
            seen = torch.cat([frames[8 * n : 8 * n + 8] for n in clips])
            x = views_of(seen, transform=encoder.transform, num_crops=crops)[crop][None]
            maps.append(model.adapters[place](encoder.features(x)))
        if model.context is not None:
            if written is None:  # by the center crop alone
                for one in maps:
                    written = model.context.write(one[:, None], written)
            maps = [model.context.read(one[:, None], written)[:, 0] for one in maps]
        if getattr(model.aggregator, "channels", None):
            state = model.aggregator.start()
            for one in maps:
                state = model.aggregator.step(state, one[:, None])
            answers.append(model.aggregator.read(state).softmax(1)[0])
        else:
            total = sum(
                len(clips) * model.networks[place].classify(one).softmax(1)[0]
                for one, (place, clips) in zip(maps, runs, strict=True)
            )
            answers.append(total / len(chosen))
    return torch.stack(answers[1:]).mean(0).tolist()


def by_label(prediction) -> list[float]:
    found = {score.label: score.score for score in prediction.predictions}
    return [found[name] for name in CLASSES]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("kind", MODELS)
def test_every_look_goes_with_every_model(video, frames, kind, look):
    model = MODELS[kind]()
    answer = Recognizer(model, look=LOOKS[look]())(video)
    chosen = [clip.clip.index for clip in answer.clips]
    expected = by_hand(model, frames, chosen)
    assert by_label(answer) == pytest.approx(expected, abs=2e-5)
    assert len(chosen) == {"dense": 15, "cascade": 4}.get(look, 6)
    assert max(expected) - min(expected) > 0.01, "all classes alike: nothing was tested"


@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "sfc"])
def test_crops_where_every_transform_crops(video, frames, kind):
    model = MODELS[kind]()
    answer = Recognizer(model, look=presets.uniform(k=5), runtime=Runtime(crops=3))(video)
    chosen = [clip.clip.index for clip in answer.clips]
    assert by_label(answer) == pytest.approx(by_hand(model, frames, chosen, crops=3), abs=2e-5)


def test_whole_frames_have_no_crops():
    with pytest.raises(UsageError, match="3 crops need a transform that crops"):
        Recognizer(MODELS["sfc"](), look=presets.dense(), runtime=Runtime(crops=3))


@pytest.mark.parametrize("kind", ["faster", "faster and memory", "faster compressed"])
def test_the_expensive_encoder_goes_where_another_saliency_sends_it(video, frames, kind):
    model = MODELS[kind]()
    schedule = Routed(parse_pattern("1:2"), by=MotionEnergy())
    look = presets.scsampler(motion_sampler(tiny_sampler()), k=7)
    answer = Recognizer(model, look=look, schedule=schedule)(video)
    chosen = [clip.clip.index for clip in answer.clips]
    names = [encoder.name for encoder in model.networks]
    places = [names.index(clip.encoder) for clip in answer.clips]
    budget = schedule.pattern.over(7, model.card.join).count(0)
    assert places.count(0) == budget
    energy = np.array(answer.parts["route"])[chosen]
    assert energy[[p == 0 for p in places]].min() >= energy[[p == 1 for p in places]].max()
    expected = by_hand(model, frames, chosen, places=places)
    assert by_label(answer) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("kind", ["single", "faster", "faster compressed"])
def test_a_stream_answers_after_each_full_run_as_the_finished_file_does(video, kind):
    model = MODELS[kind]()
    recognizer = Recognizer(model, look=presets.dense(), runtime=Runtime(batch_size=1))
    *_, last = answers = list(recognizer.stream(video))
    assert last.predictions == recognizer(video).predictions
    runs = runs_by_hand(list(range(15)), model)
    assert [[c.clip.index for c in answer.clips] for answer in answers] == [r for _, r in runs]


@pytest.mark.parametrize("kind", ["memory", "sfc", "faster and memory", "memory over stretches"])
def test_what_needs_the_whole_video_does_not_stream(video, kind):
    with pytest.raises(UsageError, match="no answer after every clip"):
        next(iter(Recognizer(MODELS[kind](), look=presets.dense()).stream(video)))


@pytest.mark.parametrize("num_clips", [6, 7])
@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "sfc"])
def test_what_is_predicted_is_charged(video, kind, num_clips):
    model = MODELS[kind]()
    answer = Recognizer(model, look=presets.uniform(k=num_clips))(video)
    assert video_cost(model, num_clips=num_clips).whole.macs == answer.cost.macs


PLANS = [
    *((kind, look, 1) for kind in MODELS for look in ("dense", "uniform", "motion", "cascade")),
    *((kind, "uniform", 3) for kind in MODELS if kind != "sfc"),
]


@pytest.mark.parametrize(("kind", "look", "crops"), PLANS)
def test_what_a_video_is_priced_at_is_charged(video, kind, look, crops):
    model, chooses = MODELS[kind](), LOOKS[look]()
    answer = Recognizer(model, look=chooses, runtime=Runtime(crops))(video)
    there = VideoShape(FRAMES / 24, Fraction(24), (96, 128))
    assert (there.num_frames, there.size) == (FRAMES, (answer.video.height, answer.video.width))
    priced = planned_cost(model, chooses, model.pattern, there, num_crops=crops)
    assert priced.whole.macs == answer.cost.macs - answer.cost.look_macs
    assert priced.planned.dense_macs == answer.cost.dense_macs
    assert priced.planned.num_clips == len(answer.clips)


def test_a_memory_that_keeps_no_maps_gives_the_same_answer(video):
    model = MODELS["memory over stretches"]()
    kept = Recognizer(model, look=presets.uniform(k=5))(video)
    again = Recognizer(model, look=presets.uniform(k=5), runtime=Runtime(max_kept_bytes=0))(video)
    assert by_label(again) == pytest.approx(by_label(kept), abs=1e-6)
    assert again.cost.macs > 1.5 * kept.cost.macs


def test_a_cheap_encoder_may_take_other_frames_of_the_same_span(video, frames):
    cheap = tiny_cheap(num_frames=8, stride=2)
    first = tiny_classifier(num_frames=16)
    model = Model([first, cheap], card=Card("faster", "1:1", (1, 1)))
    answer = Recognizer(model, look=presets.uniform(k=3))(video)
    chosen = [clip.clip.index for clip in answer.clips]
    shares = []
    with torch.no_grad():
        for n, index in enumerate(chosen):
            encoder = model.networks[n % 2]
            seen = frames[16 * index : 16 * index + 16 : 1 + n % 2]
            shares.append(encoder(encoder.transform(seen)[None]).softmax(1)[0])
    assert by_label(answer) == pytest.approx(torch.stack(shares).mean(0).tolist(), abs=1e-5)
    told = [clip.clip.frame_indices for clip in answer.clips]
    assert told[1] == tuple(range(16 * chosen[1], 16 * chosen[1] + 16, 2))


def test_other_spans_are_refused():
    with pytest.raises(UsageError, match="same time span"):
        faster([tiny_classifier(), tiny_cheap(num_frames=16)])


@pytest.mark.parametrize("join", [2, None])
def test_clips_are_joined_without_a_compression_too(tmp_path, video, frames, join):
    model = Model([tiny_classifier()], card=Card(join=(join,)))
    answer = Recognizer(model, look=presets.uniform(k=5))(video)
    chosen = [clip.clip.index for clip in answer.clips]
    assert by_label(answer) == pytest.approx(by_hand(model, frames, chosen), abs=2e-5)
    write_video(tmp_path / "short.mp4", frames[:3].permute(0, 2, 3, 1).numpy())
    short = decoded(tmp_path / "short.mp4")[[0, 1, 2, 2, 2, 2, 2, 2]]
    network = model.networks[0]
    with torch.no_grad():
        expected = network(network.transform(short)[None]).softmax(1)[0]
    answer = Recognizer(model, look=presets.dense())(tmp_path / "short.mp4")
    assert by_label(answer) == pytest.approx(expected.tolist(), abs=2e-5)


def test_a_network_of_one_length_joins_nothing():
    network = tiny_classifier()

    class OneLength(type(network)):
        def features(self, x):
            if x.shape[2] != 8:
                raise ValueError("takes 8 frames")
            return super().features(x)

    network.__class__ = OneLength
    Model([network])
    for join in (2, None):
        with pytest.raises(UsageError, match="2 of them joined: takes 8 frames"):
            Model([network], card=Card(join=(join,)))


@pytest.mark.parametrize("extra", [{}, {"compress": "res3", "join": 2}])
def test_a_size_is_that_of_every_encoder(extra):
    recognizer = vidskim.make_recognizer(
        model="r2plus1d_18", cheap="r2d_26", size=64, random_weights=True, **extra
    )
    assert [encoder.transform.crop for encoder in recognizer.model.networks] == [(64, 64)] * 2
