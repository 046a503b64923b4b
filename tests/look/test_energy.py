import numpy as np
import pytest
import torch

from tinynets import motion_sampler, tiny_sampler
from vidskim import Video
from vidskim.io.write.video import write_video
from vidskim.look.motion import MotionEnergy, motion_energy
from vidskim.look.packets import PacketSaliency


def pan(dx: float, dy: float, *, h: int = 6, w: int = 8) -> torch.Tensor:
    return torch.tensor([dx, dy])[:, None, None].expand(2, h, w).clone()


def test_a_pan_of_the_camera_is_no_energy():
    vectors = torch.stack([pan(3.5, -1.0), pan(0, 0), pan(-20, 4)])
    energy = motion_energy(vectors, intra=torch.zeros(3, 6, 8))
    assert energy.tolist() == [0, 0, 0]


def test_an_object_counts_with_its_area_and_its_speed_against_the_camera():
    vectors = pan(5, 0)
    vectors[:, 1:3, 2:5] = torch.tensor([5 + 3.0, 4.0])[:, None, None]  # 5 pixels a frame faster
    energy = motion_energy(vectors[None], intra=torch.zeros(1, 6, 8))
    assert energy.item() == pytest.approx(5 * 6 / 48)


def test_cells_without_vectors_say_nothing():
    vectors, intra = pan(5, 0), torch.zeros(6, 8)
    vectors[:, :, :6] = 0  # three quarters of the picture have no vector; the rest is a pan
    intra[:, :6] = 1
    assert motion_energy(vectors[None], intra=intra[None]).item() == 0
    vectors[:, 0, 6] = torch.tensor([5.0, 2.0])  # one of the 12 known cells moves, half known
    intra[0, 6] = 0.5
    energy = motion_energy(vectors[None], intra=intra[None]).item()
    assert energy == pytest.approx(2 * 0.5 / 11.5)


def test_a_frame_that_is_all_intra_has_no_energy():
    energy = motion_energy(torch.zeros(1, 2, 6, 8), intra=torch.ones(1, 6, 8))
    assert energy.item() == 0


def maps_of(video: Video, clip) -> tuple[torch.Tensor, torch.Tensor]:
    motion = video.motion([clip])
    keep = motion.intra.flatten(1).mean(1) < 1
    return motion.vectors[keep], motion.intra[keep]


def test_motion_energy_of_a_video_is_a_loop_over_frames(sample_video):
    video = Video(sample_video)
    clips = video.clips(num_frames=20)[2:9]
    scores = MotionEnergy()(video, clips)
    for score, clip in zip(scores, clips):
        vectors, intra = maps_of(video, clip)
        single = [
            1 - np.exp(-motion_energy(v[None], intra=i[None]).item())
            for v, i in zip(vectors, intra)
        ]
        assert score.item() == pytest.approx(np.mean(single), abs=1e-5)


def test_what_moves_is_found(tmp_path):
    """A square that jumps about in the middle third, over noise that pans all the time."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (24, 80, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)

    def frames():
        for n in range(90):
            image = ground[:, 2 * n : 2 * n + 128].copy()
            if 30 <= n < 60:
                left = 8 + 6 * (n % 10)
                image[32:64, left : left + 32] = (240, 30, 30)
            yield image

    write_video(tmp_path / "v.mp4", frames(), options={"g": "30", "bf": "0"})
    video = Video(tmp_path / "v.mp4")
    scores = MotionEnergy()(video, video.clips(num_frames=10))
    assert set(scores.argsort(descending=True)[:3].tolist()) == {3, 4, 5}


def test_a_codec_without_vectors_is_scored_by_packets_with_a_warning(tmp_path, sample_video):
    path = tmp_path / "v.mkv"
    write_video(path, [np.full((64, 64, 3), n, np.uint8) for n in range(40)], codec="vp9")
    video = Video(path)
    clips = video.clips(num_frames=10)
    for saliency in (MotionEnergy(), motion_sampler(tiny_sampler())):
        assert torch.equal(saliency(video, clips), PacketSaliency()(video, clips))
    told = [text for text in video.warnings if "packet sizes instead" in text]
    assert len(told) == 1


def test_clips_of_key_pictures_get_the_mean_of_the_others(sample_video):
    video = Video(sample_video)
    whole = video.clips(num_frames=20)
    keys = np.flatnonzero(video.packets.is_key)
    single = [c for c in video.clips(num_frames=1) if c.start_frame == keys[1]]
    scores = MotionEnergy()(video, [*whole[3:5], *single])
    assert scores[2].item() == pytest.approx(scores[:2].mean().item())
