import json

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from vidskim.io.write.video import write_video
from vidskim.show.inspect import BINS, inspect_video


def test_a_file_from_the_outside(sample_video):
    report = inspect_video(sample_video)
    with av.open(str(sample_video)) as container:
        sizes = [p.size for p in container.demux(video=0) if p.size]
    with av.open(str(sample_video)) as container:
        types = [PictureType(f.pict_type).name for f in container.decode(video=0)]
    assert report.num_packets == 300
    assert report.bytes_video == sum(sizes) == sum(report.timeline_bytes)
    assert report.picture_types == {t: types.count(t) for t in sorted(set(types))}
    assert [(s.kind, s.codec) for s in report.streams] == [("video", "h264"), ("audio", "aac")]
    assert (report.num_gops, report.gop_frames_mean, report.gop_frames_max) == (6, 50, 50)
    assert "mp4" in report.format
    assert report.has_motion_vectors
    assert len(report.timeline_bytes) == BINS
    assert report.warnings == ()


def test_the_time_line_is_where_the_bytes_are(tmp_path):
    rng = np.random.default_rng(0)

    def frames():
        for n in range(72):
            noisy = 24 <= n < 48
            yield rng.integers(0, 256 if noisy else 2, (64, 64, 3), dtype=np.uint8)

    write_video(tmp_path / "v.avi", frames(), codec="mpeg4", options={"g": "12", "bf": "0"})
    bins = np.array(inspect_video(tmp_path / "v.avi").timeline_bytes)
    assert len(bins) == 72
    assert bins[24:48].min() > bins[:24].max()
    assert bins[24:48].min() > bins[48:].max()


@pytest.mark.parametrize(("codec", "suffix"), [("vp9", ".webm"), ("mpeg4", ".avi")])
def test_codecs_with_and_without_vectors(tmp_path, codec, suffix):
    path = tmp_path / f"v{suffix}"
    write_video(path, [np.full((32, 32, 3), 9 * n, np.uint8) for n in range(5)], codec=codec)
    report = inspect_video(path)
    assert report.has_motion_vectors == (codec == "mpeg4")
    assert len(report.timeline_bytes) == 5


def test_the_json_is_plain(sample_video):
    found = inspect_video(sample_video).to_json()
    assert json.loads(json.dumps(found, allow_nan=False))["video"]["frame_rate"] == "25/1"
    assert found["streams"][0]["kind"] == "video"
