from dataclasses import replace
from fractions import Fraction

import pytest

from vidskim.account import Count
from vidskim.clips.grid import lay_clip
from vidskim.cost.model import Price
from vidskim.cost.papers import PaperRow
from vidskim.cost.zoo import ModelRecord
from vidskim.look.moments import Frames, Selection
from vidskim.look.reel import Reel
from vidskim.model.schedule import Routed, parse_pattern
from vidskim.show import text as printing
from vidskim.show.inspect import inspect_video
from vidskim.show.strip import Canvas
from vidskim.show.turns import is_cheap, is_routed, shares_text
from vidskim.types import ChosenClip, Cost, Prediction, Score, VideoInfo

INFO = VideoInfo("a.mp4", 75.5, 2265, Fraction(30000, 1001), 640, 360, "h264", False)
CLIPS = (
    ChosenClip(lay_clip(0, num_frames=16, end_seconds=0.53), 0.125, "r3d_18"),
    ChosenClip(
        lay_clip(144, num_frames=16, index=9, start_seconds=61.5, end_seconds=62.03), None, "r3d_18"
    ),
)
COST = Cost(
    macs=3_000_000_000,
    dense_macs=60_000_000_000,
    look_macs=5_000_000,
    frames_decoded=42,
    bytes_read=2_500_000,
    seconds={"look": 0.5, "read": 0.25, "encode": 1.0, "aggregate": 0.001, "total": 2.0},
    peak_bytes=300_000_000,
)


def test_an_answer():
    scores = tuple(Score(f"class {n}", 0.5 / 2**n) for n in range(7))
    answer = Prediction(INFO, "motion", "demo (r3d_18)", scores, CLIPS, (0.0, 1.0), COST)
    text = printing.prediction(answer)
    assert "a.mp4: 1:15.50, 2265 frames, 640x360, 29.97 fps, h264, no sound" in text
    assert "   50.0%  class 0" in text
    assert "class 4" in text
    assert "class 5" not in text
    assert "2 clips seen closely (motion, demo (r3d_18)):" in text
    assert "0:00.00 -    0:00.53  0.125" in text
    assert "1:01.50 -    1:02.03\n" in text
    assert "3 GMACs (5 MMACs of it to choose), 5.0% of the 60 GMACs" in text
    assert "42 frames decoded, 2.5 MB read, peak memory 300 MB" in text
    assert "2.00 s (look 0.50, read 0.25, encode 1.00)" in text
    # clips 0 and 9 tell where the grid lies: two clips of 6.8 s
    assert f"saliency  {'▁' * 5}{'█' * 6}{' ' * 48}  0.00-1.00\n" in text
    assert f"chosen    ▲{' ' * 47}▲\n" in text
    plain = printing.prediction(answer, canvas=Canvas(60, plain=True))
    (line,) = (line for line in plain.splitlines() if line.startswith("saliency"))
    assert line.isascii()
    assert len(line) == 60


def test_every_source_has_its_line():
    parts = {"motion": (0.0, 1.0), "audio": (None, 0.5)}
    answer = Prediction(
        INFO, "scsampler", "x", (Score("a", 1.0),), CLIPS, (0.0, 1.0), COST, parts=parts
    )
    names = [line[:10].strip() for line in printing.prediction(answer).splitlines()]
    start = names.index("motion")
    assert names[start : start + 4] == ["motion", "audio", "saliency", "chosen"]
    alone = replace(answer, parts={"motion": (0.0, 1.0)})
    text = printing.prediction(alone)
    assert "\nmotion    " in text
    assert "\nsaliency  " not in text


def turns(labels, *, saliency=None, schedule="1:3"):
    """An answer of two encoders that saw clips at 0, 10, 20, ... seconds."""
    clips = tuple(
        ChosenClip(
            lay_clip(
                300 * n,
                num_frames=16,
                index=10 * n,
                start_seconds=10.0 * n,
                end_seconds=10.0 * n + 0.5,
            ),
            None if saliency is None else saliency[10 * n],
            label,
        )
        for n, label in enumerate(labels)
    )
    return Prediction(
        INFO,
        "faster",
        "x",
        (Score("a", 1.0),),
        clips,
        saliency,
        COST,
        encoders=("big", "small\x1b"),
        schedule=schedule,
    )


def test_who_saw_which_clip_is_told_without_any_saliency():
    labels = ["big", *["small\x1b"] * 3, "big", *["small\x1b"] * 2]
    text = printing.prediction(turns(labels))
    assert "   0:00.00 -    0:00.50  big\n" in text
    assert "   0:10.00 -    0:10.50  small\\x1b\n" in text
    assert "\nencoders  ▲ 2 clips by big, △ 5 by small\\x1b (pattern 1:3)\n" in text
    chosen = next(line for line in text.splitlines() if line.startswith("chosen"))
    assert "".join(word[0] for word in chosen.split()[1:]) == "▲△△△▲△△"
    assert "saliency" not in text
    plain = printing.prediction(turns(labels), canvas=Canvas(60, plain=True))
    assert "\nencoders  ^ 2 clips by big, . 5 by small" in plain


def test_one_encoder_that_saw_nothing_is_told_too():
    answer = turns(["small\x1b"], schedule="none")
    assert shares_text(answer) == "0 clips by big, 1 by small\\x1b (pattern none)"
    assert not is_routed(answer)
    assert shares_text(turns(["big"])) == "1 clip by big, 0 by small\\x1b (pattern 1:3)"


def test_a_schedule_that_follows_saliency_is_known_by_its_name():
    routed = turns(["big"], schedule=str(Routed(parse_pattern("1:7"))))
    assert is_routed(routed)
    assert not is_routed(turns(["big"], schedule=str(parse_pattern("1:7"))))
    single = Prediction(INFO, "dense", "x", (Score("a", 1.0),), CLIPS, None, COST)
    assert not is_routed(single)
    assert not is_cheap(single, CLIPS[0])
    assert "encoders" not in printing.prediction(single)


def test_how_a_reel_was_made():
    made = Reel("r\x1b.mp4", ((0.0, 2.0),), 1.5, 2.0, 0.0, True, None)
    assert printing.reel(made) == (
        r"reel      r\x1b.mp4: 1 stretch, 2.00 s copied bit for bit, 0.50 s of them to begin at "
        "key frames, sound encoded"
    )
    made = Reel("r.mp4", ((0.0, 1.0), (2.0, 2.5)), 1.5, 0.0, 1.5, False, "because")
    assert printing.reel(made) == "reel      r.mp4: 2 stretches, 1.50 s encoded again: because"


def test_a_class_name_does_not_reach_the_terminal_as_a_command():
    scores = (Score("größer\x1b[2Jgone\n", 1.0),)
    answer = Prediction(INFO, "motion", "net", scores, CLIPS, None, COST)
    assert r"100.0%  größer\x1b[2Jgone\n" + "\n" in printing.prediction(answer)


def test_an_answer_without_a_look_shows_no_saliency():
    answer = Prediction(INFO, "dense", "x", (Score("a", 1.0),), CLIPS[1:], None, COST)
    assert "saliency" not in printing.prediction(answer)


def test_chosen_clips_and_frames():
    chosen = Selection(INFO, "packets", CLIPS, (0.1, 0.2), None, ())
    assert "2 clips (packets):" in printing.selection(chosen)
    frames = Frames((7, 151), (0.23, 61.73), (0.125, None))
    text = printing.selection(Selection(INFO, "packets", CLIPS, None, frames, ()))
    assert "2 frames (packets):" in text
    assert "   0:00.23  frame 7  0.125\n" in text
    assert text.endswith("   1:01.73  frame 151")


def test_an_inspection(sample_video):
    text = printing.inspection(inspect_video(sample_video))
    assert "stream 0: video, h264, 128x96, yuv420p" in text
    assert "6 groups of pictures, 50.0 frames on average, 50 the longest" in text
    assert "motion vectors: yes" in text
    bars = next(line for line in text.splitlines() if "bytes  " in line)
    scale = text.splitlines()[-1]
    assert len(bars) == len(scale)
    assert scale.endswith("12.0 s")


def test_costs_and_models():
    counted = Count(
        macs=40_696_553_472,
        params=33_371_472,
        input_shape=(1, 3, 16, 112, 112),
        macs_with_2bn=40_900_000_000,
    )
    assert printing.cost("r3d_18", Price(counted)) == (
        "r3d_18: 40.7 GMACs, 33.37 M parameters, input 1x3x16x112x112"
    )
    why = "says nothing"
    rows = [
        PaperRow("P", "T1", "short", 40.7, 40.697, "GMACs", "reproduced"),
        PaperRow("P", "T2", "a long row", 2.0, 3.0, "M", "not reproducible", why, "parameters"),
        PaperRow("P", "T2", "row", 2.0, 2.05, "GMACs", "close", "x " * 60, "MAC+2BN"),
        PaperRow("P", "T3", "row", 2.0, 3.0, "M", "not reproducible", why, "parameters"),
    ]
    head, rule, *cells, _, mac, with_2bn, first, second, rest = printing.paper_costs(
        rows
    ).splitlines()
    column = head.index("published")
    assert [cell[column:].split() for cell in cells] == [
        ["40.7", "40.697", "GMACs", "MAC", "reproduced"],
        ["2", "3", "M", "parameters", "not", "reproducible", "[1]"],
        ["2", "2.05", "GMACs", "MAC+2BN", "close", "[2]"],
        ["2", "3", "M", "parameters", "not", "reproducible", "[1]"],
    ]
    assert set(rule) == {"-", " "}
    assert mac.startswith("MAC: ")
    assert with_2bn.startswith("MAC+2BN: ")
    assert first == "[1] says nothing"
    assert second.startswith("[2] x x")
    assert rest.startswith("    x x")
    bare = ModelRecord("tiny", "clip", 5_000_000_000, 2_500_000, (1, 3, 8, 32, 32))
    assert "tiny  5.00   2.50      3x8x32x32  -        -      -          -" in printing.models(
        [bare]
    )
    assert "no published weights" in printing.model(bare)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00.00"),
        (59.999, "1:00.00"),
        (61.5, "1:01.50"),
        (3599.999, "1:00:00.00"),
        (36_610.25, "10:10:10.25"),
    ],
)
def test_the_clock(seconds, text):
    assert printing.clock(seconds).strip() == text


def test_sparklines():
    assert printing.sparkline([]) == ""
    assert printing.sparkline([3, 3, 3]) == "▁▁▁"
    assert printing.sparkline([0, 7, 3.5]) == "▁█▅"
    assert printing.sparkline(range(8)) == "▁▂▃▄▅▆▇█"
    long = [0.0] * 1000
    long[500] = 1.0
    line = printing.sparkline(long)
    assert len(line) == 72
    assert line.index("█") == 36  # the largest value of a stretch is the one shown
