"""CPU seconds from process start: what is simple should start fast, beside ``import torch``.

    python benchmarks/startup.py VIDEO

Median of several runs, taken in turn; user and system time of the whole process.
"""

import argparse
import resource
import statistics
import subprocess
import sys

COMMANDS = {
    "import av, numpy": ["-c", "import av, numpy"],
    "vidskim --help": ["-m", "vidskim", "--help"],
    "vidskim recognize --help": ["-m", "vidskim", "recognize", "--help"],
    "vidskim models": ["-m", "vidskim", "models"],
    "vidskim inspect VIDEO": ["-m", "vidskim", "inspect", "VIDEO"],
    "a typo": ["-m", "vidskim", "recgonize"],
    "import torch": ["-c", "import torch"],
    "vidskim recognize, file missing": ["-m", "vidskim", "recognize", "missing.mp4"],
    "vidskim select VIDEO": ["-m", "vidskim", "select", "VIDEO", "--method", "packets"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for n in range(options.runs + 1):
        for name, words in COMMANDS.items():
            took = cpu_seconds([options.video if word == "VIDEO" else word for word in words])
            if n:  # the first run reads the disk
                seconds[name].append(took)
    torch = statistics.median(seconds["import torch"])
    print("| command | CPU s | of `import torch` |\n|---|---|---|")
    for name, runs in seconds.items():
        median = statistics.median(runs)
        print(f"| `{name}` | {median:.2f} | {median / torch:.2f} |")


def cpu_seconds(words: list[str]) -> float:
    """Return what one Python process takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
