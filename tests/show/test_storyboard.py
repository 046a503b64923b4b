"""The middle frames of chosen clips are the video's own."""

import os
from pathlib import Path

import pytest
import torch

from vidskim.answer.recognizer import Recognizer
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.registry import create_backbone
from vidskim.clips.grid import split
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError, VideoError
from vidskim.look.methods import uniform
from vidskim.show.storyboard import middle_frames, save_timeline
from vidskim.types import ChosenClip
from vidskim.video import Video


def test_middle_frames_are_the_video_s_own(sample_video):
    video = Video(sample_video)
    grid = video.clips(num_frames=16, stride=2)
    chosen = [ChosenClip(grid[n], None, "x") for n in (0, 3, len(grid) - 1)]
    images = middle_frames(sample_video, chosen)
    assert images.shape == (3, 3, 96, 128)
    every = split(video.timestamps_seconds.tolist(), num_frames=1)
    # The eighth of a clip's 16 frames, 14 after its first, which is 0, 3 * 32 and 8 * 32.
    expected = video.frames([every[14], every[110], every[270]])[:, 0]
    assert torch.equal(images, expected)


def test_a_clip_that_is_cut_short_shows_the_middle_of_what_there_is(sample_video):
    video = Video(sample_video)
    last = video.clips(num_frames=40)[-1]
    assert (last.start_frame, last.num_valid) == (280, 20)
    image = middle_frames(sample_video, [ChosenClip(last, None, "x")])
    every = split(video.timestamps_seconds.tolist(), num_frames=1)
    assert torch.equal(image, video.frames([every[289]])[:, 0])


def test_a_picture_is_a_png_in_a_folder_that_can_be_made(sample_video, tmp_path):
    network = create_backbone("r3d_18", num_classes=2, width=4)
    network.clip = ClipSpec(4, 4, (16, 16))
    network.transform = Transform(short_side=16, crop=(16, 16))
    prediction = Recognizer(network.eval(), look=uniform(k=3))(sample_video)
    save_timeline(prediction, tmp_path / "new" / "line.png")
    assert (tmp_path / "new" / "line.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(UsageError, match=r"ends in \.png"):
        save_timeline(prediction, tmp_path / "line.jpg")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        save_timeline(prediction, tmp_path / "file" / "line.png")
    with pytest.raises(VideoError):
        middle_frames(tmp_path / "gone.mp4", prediction.clips)


def test_a_file_name_need_not_be_utf_8(sample_video, tmp_path):
    network = create_backbone("r3d_18", num_classes=2, width=4)
    network.clip = ClipSpec(4, 4, (16, 16))
    network.transform = Transform(short_side=16, crop=(16, 16))
    odd = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    odd.symlink_to(sample_video)
    prediction = Recognizer(network.eval(), look=uniform(k=1))(odd)
    save_timeline(prediction, tmp_path / "line.png")
    assert (tmp_path / "line.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_full_disk_leaves_the_old_picture(sample_video, tmp_path, monkeypatch):
    def tear(prediction, frames, path, **options):
        Path(path).write_bytes(b"half a pict")
        raise OSError(28, "No space left on device")

    network = create_backbone("r3d_18", num_classes=2, width=4)
    network.clip = ClipSpec(4, 4, (16, 16))
    network.transform = Transform(short_side=16, crop=(16, 16))
    prediction = Recognizer(network.eval(), look=uniform(k=1))(sample_video)
    (tmp_path / "line.png").write_bytes(b"an older picture")
    monkeypatch.setattr("vidskim.show.timeline.draw_timeline", tear)
    with pytest.raises(UsageError, match="No space left on device"):
        save_timeline(prediction, tmp_path / "line.png")
    assert [path.name for path in tmp_path.iterdir()] == ["line.png"]
    assert (tmp_path / "line.png").read_bytes() == b"an older picture"
