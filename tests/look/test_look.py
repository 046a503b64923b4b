import shutil

import numpy as np
import pytest
import torch

from vidskim import Video, presets
from vidskim.account import Account
from vidskim.clips.grid import spread
from vidskim.errors import UsageError
from vidskim.io.write.video import write_video
from vidskim.look.look import Look
from vidskim.look.selection import by_score


def told(scores: torch.Tensor) -> Look:
    return Look("told", by_score(2), lambda video, clips: scores)


def test_a_look_lays_the_grid_scores_it_and_chooses(sample_video):
    choice = told(torch.linspace(0, 1, 9))(Video(sample_video), num_frames=16, stride=2)
    assert [clip.start_frame for clip in choice.grid] == list(range(0, 288, 32))
    assert choice.chosen == (7, 8)
    assert choice.clips == choice.grid[7:]


def test_scores_that_are_no_number_count_as_nothing(sample_video):
    scores = torch.tensor([0.2, float("nan"), 0.1] + [0.0] * 6)
    choice = told(scores)(Video(sample_video), num_frames=16, stride=2)
    assert choice.chosen == (0, 2)
    assert choice.scores is not None
    assert choice.scores.tolist() == pytest.approx([0.2, 0, 0.1] + [0] * 6)


def test_a_saliency_of_the_wrong_shape_is_refused(sample_video):
    message = r"one score per clip, a tensor of shape \[9\] .*got \[9, 1\]"
    with pytest.raises(UsageError, match=message):
        told(torch.zeros(9, 1))(Video(sample_video), num_frames=16, stride=2)


def test_the_networks_of_a_look_are_counted(sample_video):
    layer = torch.nn.Linear(5, 7)

    def saliency(video, clips):
        return layer(torch.ones(len(clips), 5)).mean(1)

    account = Account()
    look = Look("layer", by_score(1), saliency)
    look(Video(sample_video), num_frames=16, stride=2, account=account)
    assert account.macs["look"] == 9 * 5 * 7


def test_chance_hangs_on_content_and_seed_not_on_the_path(sample_video, tmp_path):
    copied = tmp_path / "other-name.mp4"
    shutil.copy(sample_video, copied)

    def drawn(path, seed):
        return presets.random(k=4, seed=seed)(Video(path), num_frames=8, stride=1).chosen

    assert drawn(sample_video, 0) == drawn(copied, 0)
    assert len({drawn(sample_video, seed) for seed in (0, 1, 2, 2**40, -1)}) > 3
    with_other_content = tmp_path / "v.mp4"
    write_video(with_other_content, noise(300))
    draws = [(drawn(sample_video, s), drawn(with_other_content, s)) for s in range(3)]
    assert any(first != second for first, second in draws)


def noise(num_frames: int):
    generator = torch.Generator().manual_seed(0)
    for _ in range(num_frames):
        yield torch.randint(0, 256, (32, 32, 3), generator=generator, dtype=torch.uint8).numpy()


def test_clips_lie_evenly_from_the_first_frame_to_the_last():
    times = [n / 10 for n in range(30)]
    clips = spread(times, num_clips=4, num_frames=4, stride=2, end_seconds=3.0)
    assert [clip.start_frame for clip in clips] == [0, 8, 15, 23]  # 23 + 3 * 2 is the last of 30
    assert clips[-1].frame_indices[-1] == 29
    assert [clip.index for clip in clips] == [0, 1, 2, 3]
    assert [clip.start_seconds for clip in clips] == [0.0, 0.8, 1.5, 2.3]
    assert [clip.end_seconds for clip in clips] == [0.8, 1.6, 2.3, 3.0]
    assert all(clip.num_valid == 4 for clip in clips)
    one = spread(times, num_clips=1, num_frames=4, stride=2, end_seconds=3.0)
    assert [clip.start_frame for clip in one] == [11]
    few = spread(times[:9], num_clips=10, num_frames=4, stride=2, end_seconds=0.9)
    assert [clip.start_frame for clip in few] == [0, 1, 2]
    with pytest.raises(UsageError, match="at least 1"):
        spread(times, num_clips=0, end_seconds=3.0)


def test_few_clips_and_short_videos_are_told(sample_video, tmp_path):
    for k, count in ((18, 0), (25, 1)):
        video = Video(sample_video)
        presets.uniform(k=k)(video, num_frames=16, stride=1)
        assert sum("has 19 clips, fewer than 25" in text for text in video.warnings) == count
    path = tmp_path / "short.mp4"
    write_video(path, [np.full((48, 64, 3), 9 * n, np.uint8) for n in range(5)])
    video = Video(path)
    presets.uniform(k=3)(video, num_frames=8, stride=1)
    assert [text for text in video.warnings if "shorter than one clip" in text]
