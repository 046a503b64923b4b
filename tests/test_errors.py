import pickle

from vidskim.errors import AudioError, UsageError, VideoError, unknown_name


def test_video_errors_pass_between_processes():
    for kind in (VideoError, AudioError):
        sent = kind("a/b.mp4", "is empty")
        got = pickle.loads(pickle.dumps(sent))
        assert type(got) is kind
        assert str(got) == "a/b.mp4: is empty"
        assert (got.path, got.reason) == ("a/b.mp4", "is empty")


def test_a_typo_is_answered_with_the_nearest_name():
    error = unknown_name("method", "moton", ["motion", "dense"])
    assert isinstance(error, UsageError)
    assert "did you mean 'motion'?" in str(error)
    assert "did you mean" not in str(unknown_name("method", "xyz", ["motion", "dense"]))
    assert "did you mean 'sfc'?" in str(unknown_name("method", "SFC", ["motion", "sfc"]))
    assert "did you mean 'AC'?" in str(unknown_name("objective", "ac", ["AC", "SAL-CL"]))
    assert UsageError.exit_code == 2
    assert VideoError.exit_code == 1
