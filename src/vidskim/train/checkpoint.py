"""A training run on disk: its recipe, its log, and the state that it resumes from.

A run is a folder::

    recipe.yaml        the complete recipe, as it ran
    log.jsonl          one JSON object per logged step
    state.pt           everything the next step depends on (removed when the run is done)
    model.safetensors  the trained network          metrics.json   what it reached
"""

import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from vidskim.errors import CheckpointError, UsageError


@dataclass(frozen=True, slots=True)
class Run:
    """A folder that holds one training run."""

    folder: Path

    @property
    def state_path(self) -> Path:
        """Where the state of an unfinished run lies."""
        return self.folder / "state.pt"

    @property
    def model_path(self) -> Path:
        """Where the trained network goes."""
        return self.folder / "model.safetensors"

    def begin(self, recipe: Mapping[str, Any]) -> None:
        """Claim the folder for a recipe, or find the same recipe there to go on with.

        Raises:
            UsageError: the folder holds a run of another recipe.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "recipe.yaml"
        text = yaml.safe_dump(dict(recipe), sort_keys=False)
        if path.exists() and path.read_text() != text:
            old = yaml.safe_load(path.read_text()) or {}
            changed = [k for k in recipe if k not in old or old[k] != recipe[k]]
            raise UsageError(
                f"{self.folder} holds a run of another recipe (differs in "
                f"{', '.join(changed) or 'its keys'}); choose another out folder or remove it"
            )
        _write(path, text)

    def load_state(self) -> dict[str, Any] | None:
        """Return the state of an unfinished run, tensors and plain containers only.

        Raises:
            CheckpointError: the file is damaged.
        """
        if not self.state_path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.state_path, weights_only=True)
        except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise CheckpointError(
                f"{self.state_path}: damaged training state ({error}); remove it to start anew"
            ) from error
        self._cut_log(state["step"])
        return state

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write the state; a kill at any moment leaves the old one or the new one."""
        part = self.state_path.with_suffix(".part")
        with part.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.state_path)

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to the log."""
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(dict(record)) + "\n")

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Write the metrics and drop the state."""
        _write(self.folder / "metrics.json", json.dumps(dict(metrics), indent=2) + "\n")
        self.state_path.unlink(missing_ok=True)

    def metrics(self) -> dict[str, Any] | None:
        """Return the metrics of a finished run, None if it is not finished."""
        path = self.folder / "metrics.json"
        if not (path.exists() and self.model_path.exists()):
            return None
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def _cut_log(self, step: int) -> None:
        """Drop log lines of steps after the state: they are going to be run again."""
        path = self.folder / "log.jsonl"
        if not path.exists():
            return
        kept = []
        for line in path.read_text().splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError):
                continue
        _write(path, "".join(line + "\n" for line in kept))


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)
