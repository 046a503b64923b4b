"""What the README shows and the examples do is run, so it is true.

A ```bash block runs as it stands, in a folder of its own that holds ``video.mp4``, ``examples``,
``recipes`` and ``benchmarks``; only its lines that begin with ``vidskim`` or ``python`` are run
(``pip`` and ``make`` lines are the reader's set-up). A word after the language says more:
``no-test`` is not run, ``slow`` and ``network`` are the markers of pytest. A ```python block is a
script, or a doctest where it has prompts.
"""

import doctest
import os
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
RUN = ("vidskim ", "python ")
SLOW = ("vidskim demo", "vidskim train", "vidskim data synthetic", "vidskim corpus")
LONG_RUNNING = ("vidskim serve",)
"""Commands that do not end by themselves: shown, not run."""
FIRST_LINE_BEFORE = 25
LIMIT_SECONDS = {False: 180, True: 900}
"""Longest run of one block, by whether it is slow."""


@dataclass(frozen=True)
class Block:
    """A fenced block of Markdown: what stands after the fence, where it starts, its text."""

    info: tuple[str, ...]
    line: int
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines of a bash block that are run, continued lines joined."""
        if self.info[:1] != ("bash",) or "no-test" in self.info:
            return []
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        bare = [line.strip().removeprefix("$ ") for line in lines]
        return [line for line in bare if line.startswith(RUN) and not line.startswith(LONG_RUNNING)]

    @property
    def is_python(self) -> bool:
        """Whether it is a Python block that is run."""
        return self.info[:1] == ("python",) and "no-test" not in self.info

    @property
    def is_slow(self) -> bool:
        """Whether it takes longer than the default tests may."""
        return "slow" in self.info or any(line.startswith(SLOW) for line in self.commands)

    @property
    def marks(self) -> list[pytest.MarkDecorator]:
        """Markers of its test."""
        marks = [pytest.mark.slow] if self.is_slow else []
        return [*marks, pytest.mark.network] if "network" in self.info else marks


def blocks(markdown: str) -> list[Block]:
    """Return the fenced blocks of a text."""
    found = []
    for match in re.finditer(r"^```(\w.*)\n((?:.*\n)*?)```\s*$", markdown, flags=re.MULTILINE):
        line = markdown.count("\n", 0, match.start(2)) + 1
        found.append(Block(tuple(match[1].split()), line, match[2]))
    return found


BLOCKS = blocks(README.read_text(encoding="utf-8"))


def _params(chosen: list[Block]) -> list[object]:
    return [pytest.param(block, marks=block.marks, id=f"line{block.line}") for block in chosen]


def _run(command: list[str], *, folder: Path, is_slow: bool = False) -> str:
    """Run a command in a folder, with this interpreter's programs first on the path."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": programs},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS[is_slow],
        check=False,
    )
    assert done.returncode == 0, (
        f"{shlex.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    assert "Traceback (most recent call last)" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture
def reader_folder(tmp_path: Path, sample_video: Path) -> Path:
    """The folder a reader of the README stands in: the project's files and a video of theirs."""
    (tmp_path / "video.mp4").symlink_to(sample_video)
    for name in ("examples", "recipes", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_the_first_runnable_line_comes_early():
    runnable = [block.line for block in BLOCKS if block.commands or block.is_python]
    assert runnable, "README.md has no block of ```bash or ```python that can be run"
    first = runnable[0]
    assert first < FIRST_LINE_BEFORE, f"the first line to run stands at line {first} of README.md"


@pytest.mark.parametrize("block", _params([block for block in BLOCKS if block.commands]))
def test_readme_commands(block: Block, reader_folder: Path):
    script = "\n".join(["set -euo pipefail", *block.commands])
    _run(["bash", "-c", script], folder=reader_folder, is_slow=block.is_slow)


@pytest.mark.parametrize("block", _params([block for block in BLOCKS if block.is_python]))
def test_readme_python(block: Block, reader_folder: Path, monkeypatch: pytest.MonkeyPatch):
    if ">>>" not in block.text:
        _run([sys.executable, "-c", block.text], folder=reader_folder, is_slow=block.is_slow)
        return
    monkeypatch.chdir(reader_folder)
    test = doctest.DocTestParser().get_doctest(block.text, {}, "README.md", "README.md", block.line)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    failed = runner.run(test, out=report.append).failed
    assert not failed, "".join(report)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples(example: Path, reader_folder: Path, monkeypatch, capsys):
    text = example.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60, "one idea in 40 lines"
    if "import transformers" in text or "from transformers" in text:
        # in this process, where conftest.py makes up for a torchvision of another torch
        monkeypatch.chdir(reader_folder)
        monkeypatch.setattr(sys, "argv", [str(example), "video.mp4"])
        runpy.run_path(str(example), run_name="__main__")
        printed = capsys.readouterr().out
    else:
        printed = _run([sys.executable, str(example), "video.mp4"], folder=reader_folder)
    assert printed.strip(), f"{example.name} prints nothing"


def test_blocks_are_found():
    markdown = (
        "Text\n\n```bash\npip install x\nvidskim recognize video.mp4 \\\n    --k 3  # short\n```\n"
        "```bash no-test\nvidskim serve\n```\n```bash network\n$ vidskim models | head\n```\n"
        "```text\nvidskim is no command here\n```\n```python\n>>> 1 + 1\n2\n```\n"
        "```bash\nvidskim demo\n```\n"
    )
    found = blocks(markdown)
    assert [block.line for block in found] == [4, 9, 12, 15, 18, 22]
    assert [block.commands for block in found] == [
        ["vidskim recognize video.mp4 --k 3  # short"],
        [],
        ["vidskim models | head"],
        [],
        [],
        ["vidskim demo"],
    ]
    assert [block.is_python for block in found] == [False, False, False, False, True, False]
    assert [len(block.marks) for block in found] == [0, 0, 1, 0, 0, 1]
