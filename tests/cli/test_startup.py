"""What is simple starts fast: nothing heavy is imported for it."""

import subprocess
import sys

import pytest

PROBE = """
import sys
from vidskim.cli import main
status = main(sys.argv[1:])
heavy = ("torch", "matplotlib", "transformers", "openvino")
heavy = [name for name in heavy if name in sys.modules]
ours = ("vidskim.evaluate", "vidskim.cost.papers")
ours = [name for name in sys.modules if name.startswith(ours)]
print("HEAVY", *heavy, *ours)
"""


def heavy(*words: str) -> list[str]:
    """The heavy modules that are there when a command has ended."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        ("recognize", "--help"),
        ("models",),
        ("models", "--json"),
        ("models", "slow_r50_8x8"),
        ("models", "r3d_19"),
        ("recognize", "x.mp4", "--model", "r3d_19"),
        ("recognize", "x.mp4", "--method", "motoin"),
        ("recognize", "x.mp4", "--context", "memry"),
        ("cost", "r3d_19"),
        ("recgonize", "x"),
        ("recognize", "x.mp4", "--methd", "motion"),
    ],
)
def test_no_torch_for_what_needs_none(words):
    assert heavy(*words) == []


def test_no_torch_to_inspect(sample_video):
    assert heavy("inspect", str(sample_video)) == []


def test_recognizing_imports_nothing_of_evaluation(sample_video):
    found = heavy(
        "recognize", str(sample_video), "--model", "demo", "--method", "uniform", "--k", "1"
    )
    assert found == ["torch"]
