"""The golden record of training: a tiny run of every task, and of what it leaves in a cache.

``python tests/golden/trained.py`` writes ``trained.json`` anew; see ``record.py``. The run in
``files/interrupted`` was stopped half-way by the version that wrote the files; it is gone on with.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml
from record import FILES, HERE, call, kept, write
from safetensors.torch import load_file

TRAINED = HERE / "trained.json"
STORE_KEY = re.compile("^(frames|[a-z]+-clips)-[0-9a-f]{16}(?=[.])")

SHARED = {"data": "train.csv", "warmup_steps": 1, "save_every": 2, "seed": 1}
CLIP = {"num_frames": 4, "short_side": 24, "crop_height": 24, "crop_width": 24, "flip": False}
NETWORK = {"model": "r3d_18", "width": 1}
RANKED = {"classifier": "bare.safetensors", "clips_per_video": 4, "test_k": 2, "batch_size": 8}
RECIPES: dict[str, dict[str, Any]] = {
    "clips": {
        **(SHARED | CLIP | NETWORK),
        **{"task": "clips", "batch_size": 4, "steps": 4, "test_clips": 2, "mixup": 0.2},
    },
    "interrupted": {
        **(SHARED | CLIP | NETWORK),
        **{"task": "clips", "batch_size": 4, "steps": 4, "test_clips": 2, "color": 0.2},
    },
    "uninterrupted": {
        **(SHARED | CLIP | NETWORK),
        **{"task": "clips", "batch_size": 4, "steps": 4, "test_clips": 2, "color": 0.2},
    },
    "saliency": {
        **SHARED,
        **{"task": "saliency", "width": 2, "stem": "small", "map_height": 6, "map_width": 8},
        **{"batch_size": 16, "steps": 4, "num_frames": 8, "moments": None, "test_k": 2},
    },
    "saliency_ranked": {
        **(SHARED | RANKED),
        **{"task": "saliency", "objective": "sal_rank", "feature": "residual", "width": 2},
        **{"stem": "small", "map_height": 24, "map_width": 32, "steps": 4},
    },
    "joint": {
        **(SHARED | RANKED),
        **{"task": "saliency_joint", "objective": "sal_cl", "visual": "motion.safetensors"},
        **{"audio": "audio.safetensors", "oracle_k": 2, "steps": 4, "data": "sounding.csv"},
    },
    "faster": {
        **SHARED,
        **{"task": "faster", "expensive": "bare.safetensors", "cheap": "bare.safetensors"},
        **{"pattern": "1:3", "route": "motion", "num_clips": 2, "batch_size": 4, "steps": 4},
    },
    "memory": {
        **(SHARED | CLIP | NETWORK),
        **{"task": "memory", "num_clips": 2, "stride": 1, "dropout": 0.0, "batch_size": 4},
        **{"steps": 4, "test_clips": 3, "learning_rate": 0.01},
    },
    "sfc": {
        **(SHARED | CLIP),
        **{"task": "sfc", "init": "sfc.safetensors", "at": "res3", "scale": "features"},
        **{"num_blocks": 1, "num_frames": 12, "crop_width": 28, "test_height": 24},
        **{"test_width": 30, "batch_size": 4, "steps": 4, "learning_rate": 0.01},
    },
}
STUDY = (
    "evaluate --data videos.csv --study k,stride --model bare.safetensors "
    "--samplers motion.safetensors --timed 0 --k 3 --cache cache/study --out studied --json"
)


def prepare(folder: Path) -> None:
    """Lay out the files and the recipes in a folder of one's own."""
    shutil.copytree(FILES, folder, dirs_exist_ok=True)
    for name, values in RECIPES.items():
        text = yaml.safe_dump({**values, "out": name, "cache": f"cache/{name}"}, sort_keys=False)
        (folder / f"{name}.yaml").write_text(text)


def train(name: str, folder: Path) -> dict[str, Any]:
    """Run a recipe there; return its metrics."""
    status, _, err = call(["train", f"{name}.yaml"], folder=folder)
    if status:
        raise RuntimeError(f"{name}: ended with {status}: {err}")
    metrics = json.loads((folder / name / "metrics.json").read_text())
    log = (folder / name / "log.jsonl").read_text().splitlines()
    return {
        **kept(metrics),
        "files": sorted(path.name for path in (folder / name).iterdir()),
        "loss": json.loads(log[-1])["loss"],
        "length": {path.name: length(path) for path in (folder / name).glob("*.safetensors")},
        "cache": left_in(folder / "cache" / name),
    }


def length(path: Path) -> float:
    """Return the length of all numbers of a file as one vector."""
    tensors = load_file(path).values()
    return sum(float(x.double().square().sum()) for x in tensors if x.is_floating_point()) ** 0.5


def left_in(cache: Path) -> dict[str, str | None]:
    """Return the names of what lies in a cache, which are keys, and settings to the letter.

    The keys of stores hold the times of the video files, which every checkout sets anew.
    """
    return {
        STORE_KEY.sub(r"\1", str(path.relative_to(cache))): (
            path.read_text() if path.name == "settings.json" else None
        )
        for path in sorted(cache.rglob("*"))
        if path.is_file()
    }


def study(folder: Path) -> Any:
    """Run a study there; return what is kept of its tables."""
    status, out, err = call(STUDY.split(), folder=folder)
    if status:
        raise RuntimeError(f"{STUDY}: ended with {status}: {err}")
    studies = json.loads(out)["studies"]
    return {
        "studies": [{"study": one["study"], "entries": kept(one["entries"])} for one in studies],
        "cache": left_in(folder / "cache" / "study"),
    }


def record(folder: Path) -> None:
    """Run everything in a folder that is empty, and write what is kept."""
    prepare(folder)
    found: dict[str, dict[str, Any]] = {"train": {}}
    for name in RECIPES:
        print(name, file=sys.stderr)
        found["train"][name] = train(name, folder)
    found["study"] = {STUDY: study(folder)}
    write(found, TRAINED)


if __name__ == "__main__":
    record(Path(sys.argv[1]))
