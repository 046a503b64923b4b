"""SCSampler on files: scores by hand, fallbacks, cascades, strides."""

import numpy as np
import pytest
import torch

from tinynets import motion_sampler, tiny_sampler
from vidskim import Video
from vidskim.errors import CheckpointError, UsageError
from vidskim.io.write.video import write_video
from vidskim.look.cascade import Cascade, Strided
from vidskim.look.network import NetworkSaliency, mean_per_clip
from vidskim.look.packets import PacketSaliency
from vidskim.look.sampler import Sampler
from vidskim.look.selection import top_k
from vidskim.look.sources import KeyFrames, LogMels, MotionMaps, Residuals, motion_input

SOURCES = {
    "motion": MotionMaps((6, 8)),
    "residual": Residuals((24, 32), per_clip=2),
    "keyframe": KeyFrames((24, 32)),
    "audio": LogMels(num_mels=8, num_steps=16),
}


def saliency_of(kind: str, *, objective: str = "ac", seed: int = 1) -> NetworkSaliency:
    source = SOURCES[kind]
    network = tiny_sampler(in_channels=source.channels, seed=seed)
    if objective != "ac":
        network.reset_classifier(1)
        torch.nn.init.normal_(network.fc.weight, std=3)
    return NetworkSaliency(network, source, objective=objective)


def whole(**options) -> Sampler:
    return Sampler(
        visual=(saliency_of("motion"), saliency_of("residual"), saliency_of("keyframe")),
        audio=saliency_of("audio", objective="sal_rank"),
        **options,
    )


def test_mean_per_clip_against_a_loop():
    rng = np.random.default_rng(0)
    values, owner = rng.normal(size=(20, 3)).astype(np.float32), rng.integers(0, 5, 20)
    owner[owner == 3] = 4  # clip 3 has no row
    means, counts = mean_per_clip(
        torch.from_numpy(values), clip_index=torch.from_numpy(owner), num_clips=5
    )
    for n in range(5):
        mine = values[owner == n]
        assert counts[n] == len(mine)
        expected = mine.mean(0) if len(mine) else np.zeros(3)
        assert means[n].numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [None, (4, 5)])
def test_the_score_on_motion_is_a_loop_over_frames(sample_video, size):
    network = tiny_sampler()
    video = Video(sample_video)
    clips = video.clips(num_frames=20)
    scores = NetworkSaliency(network, MotionMaps(size))(video, clips)
    expected = []
    with torch.no_grad():
        for clip in clips:
            motion = video.motion([clip])
            keep = motion.intra.flatten(1).mean(1) < 1
            rows = [
                network(motion_input(v[None], size=size)).softmax(1)[0]
                for v in motion.vectors[keep]
            ]
            expected.append(torch.stack(rows).mean(0).max())
    torch.testing.assert_close(scores, torch.stack(expected), atol=1e-5, rtol=0)
    assert scores.std() > 0


@pytest.mark.parametrize("kind", SOURCES)
def test_a_ranking_network_s_score_is_the_mean_of_sigmoids(sample_video, kind):
    saliency = saliency_of(kind, objective="sal_rank")
    video = Video(sample_video)
    clips = video.clips(num_frames=16)
    scores = saliency(video, clips)
    total, count = torch.zeros(len(clips)), torch.zeros(len(clips))
    with torch.no_grad():
        for inputs, owner in SOURCES[kind].read(Video(sample_video), clips):
            for x, n in zip(inputs, owner.tolist()):
                total[n] += saliency.network(x[None]).sigmoid()[0, 0]
                count[n] += 1
    assert (count > 0).all()
    torch.testing.assert_close(scores, total / count, atol=1e-4, rtol=0)


def test_several_sources_are_read_together_as_alone(sample_video):
    sampler = whole()
    video = Video(sample_video)
    clips = video.clips(num_frames=16)
    parts = sampler.parts(video, clips)
    assert list(parts) == ["motion", "residual", "keyframe", "audio", "visual"]
    for saliency in sampler.networks:
        alone = saliency(Video(sample_video), clips)
        torch.testing.assert_close(parts[saliency.kind], alone, atol=1e-5, rtol=0)
    mean = (parts["motion"] + parts["residual"] + parts["keyframe"]) / 3
    torch.testing.assert_close(parts["visual"], mean)
    chosen = top_k(sampler.with_k(5)(video, clips), k=5)
    seen = top_k(parts["visual"], k=4)
    others = [n for n in parts["audio"].argsort(descending=True).tolist() if n not in seen]
    assert chosen == sorted([*seen, others[0]])


def silent(folder, *, codec: str = "h264", audio: bool = False):
    path = folder / ("v.mkv" if codec == "vp9" else "v.mp4")
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (64, 120, 3), dtype=np.uint8)
    frames = [np.ascontiguousarray(ground[:, n : n + 64]) for n in range(40)]
    sound = np.zeros(40 * 16000 // 25, np.float32) if audio else None
    write_video(path, frames, codec=codec, audio=sound)
    return path


@pytest.mark.parametrize("audio", [False, True])
def test_without_sound_what_is_seen_decides_and_a_warning_says_so(tmp_path, audio):
    video = Video(silent(tmp_path, audio=audio))
    clips = video.clips(num_frames=8)
    sampler = whole()
    parts = sampler.parts(video, clips)
    assert "audio" not in parts
    assert torch.equal(sampler.combine(parts), parts["visual"])
    assert any("no sound" in text for text in video.warnings)


def test_a_codec_without_vectors_leaves_key_frames_or_packet_sizes(tmp_path):
    video = Video(silent(tmp_path, codec="vp9"))
    clips = video.clips(num_frames=8)
    assert list(whole().parts(video, clips)) == ["keyframe"]
    blind = motion_sampler(tiny_sampler())
    assert torch.equal(blind(video, clips), PacketSaliency()(video, clips))
    assert any("packet sizes instead" in text for text in video.warnings)


def test_listening_alone(sample_video, tmp_path):
    ears = Sampler(visual=(), audio=saliency_of("audio"))
    video = Video(sample_video)
    clips = video.clips()
    assert list(ears.parts(video, clips)) == ["audio"]
    deaf = Video(silent(tmp_path))
    assert list(ears.parts(deaf, deaf.clips())) == ["packets"]


def test_a_cascade_looks_at_the_candidates_alone(sample_video):
    sampler = motion_sampler(tiny_sampler())
    video = Video(sample_video)
    clips = video.clips(num_frames=16)
    cascade = Cascade(sampler, candidates=6, k=3)
    parts = cascade.parts(video, clips)
    kept = top_k(PacketSaliency()(video, clips), k=6)
    assert parts["motion"].isnan().logical_not().nonzero().flatten().tolist() == kept
    fine = sampler(Video(sample_video), [clips[n] for n in kept])
    torch.testing.assert_close(parts["motion"][kept], fine)
    chosen = top_k(cascade.combine(parts), k=3)
    assert chosen == sorted(kept[n] for n in top_k(fine, k=3))
    with pytest.raises(UsageError, match="at least as many"):
        Cascade(sampler, candidates=6, k=3).with_k(7)


def test_a_cascade_of_all_clips_is_the_full_look(sample_video):
    sampler = whole(k=4)
    video = Video(sample_video)
    clips = video.clips(num_frames=16)
    cascade = Cascade(sampler, candidates=len(clips), k=4)
    assert top_k(cascade(video, clips), k=4) == top_k(sampler(video, clips), k=4)


def test_a_cascade_skips_groups_of_pictures(tmp_path, sample_video):
    video = Video(sample_video)
    clips = video.clips(num_frames=16)
    motion_sampler(tiny_sampler())(video, clips)
    full = video.stats.frames_decoded
    video = Video(sample_video)
    Cascade(motion_sampler(tiny_sampler()), candidates=2, k=1)(video, clips)
    assert video.stats.frames_decoded < full / 2


@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_clip_stride_scores_every_so_manieth(sample_video, every):
    sampler = motion_sampler(tiny_sampler())
    video = Video(sample_video)
    clips = video.clips(num_frames=16)
    scores = Strided(sampler, every)(video, clips)
    seen = torch.arange(len(clips)) % every == 0
    torch.testing.assert_close(scores[seen], sampler(video, clips[::every]))
    assert (scores[~seen] == 0).all()


def test_a_network_without_numbers_is_refused(sample_video):
    network = tiny_sampler()
    network.fc.bias.data[0] = torch.nan
    video = Video(sample_video)
    with pytest.raises(CheckpointError, match="its weights are damaged"):
        motion_sampler(network)(video, video.clips())


def test_impossible_samplers_are_refused():
    motion, audio = saliency_of("motion"), saliency_of("audio")
    for wrong in (
        {"visual": ()},
        {"visual": (motion, saliency_of("motion"))},
        {"visual": (audio,)},
        {"visual": (motion,), "audio": motion},
        {"visual": (motion,), "rule": "average"},
        {"visual": (motion,), "visual_k": 11},
    ):
        with pytest.raises(UsageError):
            Sampler(**wrong)
