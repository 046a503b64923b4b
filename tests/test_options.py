"""What can be asked for is declared once, and everything else follows it."""

import shutil
import subprocess
from inspect import getdoc

import numpy as np
import pytest

import vidskim
from vidskim import api, options
from vidskim.answer.build import ROUTES, TRAINED_ROUTE
from vidskim.backbones.contract import ClipSpec
from vidskim.cli.arguments import options_of, typed
from vidskim.cli.completion import SHELLS, completion_script
from vidskim.cli.evaluate import evaluate
from vidskim.cli.main import VERBS, main
from vidskim.cli.recognize import recognize
from vidskim.cli.select import select
from vidskim.declare import GROUPS, OLD_NAMES, declared, given
from vidskim.errors import UsageError
from vidskim.look.fusion import RULES
from vidskim.look.methods import RECOGNIZED
from vidskim.look.moments import UNITS

ALL = [found for found in vars(options).values() if hasattr(found, "__total__")]
EVERY = {name: known for found in ALL for name, known in declared(found).items()}


def test_every_option_has_a_help_a_group_and_a_type_the_command_line_reads():
    for name, known in EVERY.items():
        assert known.option.help, name
        assert not known.option.help.endswith("."), name
        assert known.option.group in GROUPS
        assert known.kind in (bool, int, float, str)
    assert OLD_NAMES.keys() <= EVERY.keys()


def test_an_option_is_declared_in_one_class():
    """Where two classes have one, they have it from the same base."""
    seen: dict[str, object] = {}
    for found in ALL:
        for name, annotation in found.__annotations__.items():
            assert seen.setdefault(name, annotation) is annotation


def test_what_shells_offer_is_what_the_library_takes():
    def offered(name):
        return set(EVERY[name].option.choices)

    assert offered("method") == set(RECOGNIZED)
    assert offered("rule") == set(RULES)
    assert offered("unit") == set(UNITS)
    assert offered("route") == {*ROUTES, TRAINED_ROUTE}


@pytest.mark.parametrize(
    ("function", "takes"),
    [
        (vidskim.recognize, options.RecognizeOptions),
        (vidskim.make_recognizer, options.MakeOptions),
        (vidskim.select, options.SelectOptions),
        (vidskim.stream, options.StreamOptions),
    ],
)
def test_docstrings_have_every_option(function, takes):
    lines = getdoc(function).splitlines()
    assert lines.index("Args:") < lines.index("Raises:")
    heads = [line.strip().partition(":")[0] for line in lines if line.startswith("    ")]
    assert list(declared(takes)) == [head for head in heads if head in declared(takes)]


def test_the_verbs_take_the_options_of_the_library():
    known = options.RecognizeOptions.__annotations__.keys() | {"idle_seconds"}
    more = {"stream", "timeline", "attention", "report", "json"}
    assert options_of(recognize).keys() == known | more
    known = options.SelectOptions.__annotations__.keys()
    assert options_of(select).keys() == known | {"reel", "widen", "report", "json"}
    known = options.EvaluateOptions.__annotations__.keys()
    assert known < options_of(evaluate).keys()


def test_values_become_what_is_declared():
    words = {"k": np.int64(3), "alpha": np.float32(0.5), "residuals": None, "every": True + 1}
    found = given(words, options.RecognizeOptions)
    assert found == {"k": 3, "alpha": 0.5, "every": 2}
    assert [type(value) for value in found.values()] == [int, float, int]
    own = ClipSpec(8, 1, (32, 32))
    assert given({"model": own}, options.RecognizeOptions)["model"] is own


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"k": "3"}, "k is a whole number, got '3'"),
        ({"k": 3.0}, r"k is a whole number, got 3\.0"),
        ({"k": True}, "k is a whole number, got True"),
        ({"k": 0}, "k is at least 1, got 0"),
        ({"alpha": float("nan")}, "alpha is between 0 and 1, got nan"),
        ({"alpha": "much"}, "alpha is a number, got 'much'"),
        ({"method": 3}, "method is a word or a vidskim.Look, got 3"),
        ({"random_weights": 1}, "random_weights is True or False, got 1"),
        ({"num_crops": 3}, "unknown option 'num_crops': did you mean 'crops'"),
        ({"budget_share": 0.2}, "unknown option 'budget_share'"),
    ],
)
def test_other_values_are_refused(sample_video, words, reason):
    for function in (api.recognize, api.make_recognizer):
        with pytest.raises(UsageError, match=reason):
            function(*[sample_video] * (function is api.recognize), **words)


@pytest.mark.parametrize("path", [None, b"video.mp4", ["video.mp4"], 3])
@pytest.mark.parametrize("function", [vidskim.recognize, vidskim.select, vidskim.Video])
def test_what_is_no_path_is_told(function, path):
    with pytest.raises(UsageError, match="a video is given by its path"):
        function(path)


def test_numpy_numbers_choose(sample_video):
    assert len(vidskim.select(sample_video, k=np.int64(3)).clips) == 3


def test_the_command_that_is_printed_has_what_was_given():
    found = typed(recognize, "my video.mp4", k=3, min_gap_seconds=0.5, random_weights=True)
    assert found == "vidskim recognize 'my video.mp4' --k 3 --min-gap-seconds 0.5 --random-weights"


@pytest.mark.parametrize("line", ["--every 2 --rule joint", "--clip-stride 2 --combine joint"])
@pytest.mark.parametrize("old", ["-", "_"])
def test_old_names_mean_the_same(monkeypatch, line, old):
    asked = []
    monkeypatch.setitem(VERBS, "recognize", recognize)
    monkeypatch.setattr(api, "recognizer_for", lambda *_, **found: asked.append(found))
    line = line.replace("clip-stride", f"clip{old}stride")
    with pytest.raises(TypeError):  # there is no recognizer
        main(["recognize", "v.mp4", *line.split()])
    assert asked == [{"every": 2, "rule": "joint", "has_attention": False}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("recognize v --alpha 2", "--alpha is between 0 and 1, got 2"),
        ("recognize v --clip-stride 0", "--every is at least 1, got 0"),
        ("recognize v --alpha=x", "--alpha takes a number, got 'x'"),
        ("select v --budget-share 0", "--budget-share is in (0, 1], got 0"),
        ("select v --budget-seconds 0", "--budget-seconds is above 0, got 0"),
        ("select v --random-weights", "unknown option '--random-weights'"),
        ("evaluate --data d --timed 3", "--timed goes with --study"),
        ("evaluate --data d --study k --pattern 1:7 --fast int8", "--fast and --pattern goes with"),
        ("completion sh", "unknown shell 'sh'"),
    ],
)
def test_refusals_are_one_line(capsys, line, reason):
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"vidskim: {reason}")


def test_help_is_grouped(capsys):
    assert main(["recognize", "--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f"\n{group}: {told}:") for group, told in GROUPS.items()]
    assert places == sorted(places)
    assert "--rule RULE, --combine RULE" in text


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("vidskim reco", "recognize"),
        ("vidskim recognize v.mp4 --al", "--alpha"),
        ("vidskim recognize --method c", "cascade"),
        ("vidskim recognize --combine conv", "convex_score convex_list"),
        ("vidskim data sy", "synthetic"),
        ("vidskim data scan x --te", "--test-share"),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_completion(tmp_path, shell, line, offered):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    script = tmp_path / "completion"
    script.write_text(completion_script(shell, VERBS))
    ask = f"source {script}; COMP_WORDS=({line}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); "
    ask += '_vidskim; echo "${COMPREPLY[@]}"'
    if shell == "fish":
        ask = f"source {script}; complete -C '{line}' | string split -f1 \\t"
    done = subprocess.run([shell, "-c", ask], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(offered.split())


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_can_read_their_completion(tmp_path, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    script = tmp_path / "completion"
    script.write_text(completion_script(shell, VERBS))
    subprocess.run([shell, "-n", str(script)], capture_output=True, check=True)
