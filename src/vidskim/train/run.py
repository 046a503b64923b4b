"""A training run on disk: its recipe, its log, and the state that it resumes from.

A run is a folder::

    recipe.yaml        the complete recipe, as it ran
    log.jsonl          one JSON object per logged step
    state.pt           everything the next step depends on (removed when the run is done)
    model.safetensors  the trained network          metrics.json   what it reached

Joint training leaves one network per source: motion.safetensors, audio.safetensors, ...
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

from vidskim.data.folder import manifest_sha256
from vidskim.errors import CheckpointError, ManifestError, UsageError, first_line
from vidskim.io.write.files import refusing, whole, write_whole

FREE = ("devices",)
"""Keys of a recipe that say where a run goes on, not what it is: they may change."""


@dataclass(frozen=True, slots=True)
class Run:
    """A folder that holds one training run."""

    folder: Path
    models: tuple[str, ...] = ("model",)
    """Names of the networks it trains; one but for joint training."""

    @property
    def state_path(self) -> Path:
        """Where the state of an unfinished run lies."""
        return self.folder / "state.pt"

    @property
    def model_path(self) -> Path:
        """Where the trained network goes, the first of several."""
        return self.model_paths[0]

    @property
    def model_paths(self) -> tuple[Path, ...]:
        """Where each trained network goes."""
        return tuple(self.folder / f"{name}.safetensors" for name in self.models)

    def begin(self, recipe: Mapping[str, Any]) -> dict[str, Any] | None:
        """Claim the folder for a recipe, or find the same recipe there to go on with.

        A recipe that never got as far as a saved state leaves nothing worth keeping: it is
        replaced. A finished run keeps the recipe as it ran; where its data is gone it stays what it
        is, where its manifest has changed it is no run of this recipe any more.

        Returns:
            The metrics of a finished run, None where there is something to do.

        Raises:
            UsageError: the folder holds a run of another recipe but for `FREE`, or a finished one
                of another manifest, or cannot be written to.
            CheckpointError: the metrics of a finished run cannot be read.
        """
        path = self.folder / "recipe.yaml"
        text = yaml.safe_dump(dict(recipe), sort_keys=False)
        started = self.state_path.exists() or self.model_path.exists()
        remedy = "choose another out folder"
        with refusing(self.folder, what="cannot write the run there", remedy=remedy):
            self.folder.mkdir(parents=True, exist_ok=True)
            if started and path.exists():
                self._check_same(path, yaml.safe_load(text))
            done = self.metrics()
            if done is None:
                write_whole(path, text)
            else:
                self._check_data(done, recipe["data"])
            return done

    def _check_same(self, path: Path, recipe: Mapping[str, Any]) -> None:
        """Refuse a recipe that is not the one in a file.

        Raises:
            UsageError: with the keys in which they differ.
        """
        try:
            old = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            old = None
        known = old if isinstance(old, dict) else {}
        fixed = [key for key in {**recipe, **known} if key not in FREE]
        changed = [
            key
            for key in fixed
            if key not in known or key not in recipe or known[key] != recipe[key]
        ]
        if changed:
            told = ", ".join(changed) if known else "its keys"
            raise UsageError(
                f"{self.folder} holds a run of another recipe (differs in {told}); choose another "
                "out folder or remove it"
            )

    def _check_data(self, metrics: Mapping[str, Any], data: str) -> None:
        """Refuse a manifest other than the one that a finished run was trained on.

        Raises:
            UsageError: it is another one.
        """
        try:
            found = manifest_sha256(data)
        except ManifestError:
            return
        if metrics.get("manifest_sha256") not in (None, found):
            raise UsageError(
                f"{self.folder}: was trained on another manifest of this name; choose another out "
                "folder or remove it"
            )

    def load_state(self) -> dict[str, Any] | None:
        """Return the state of an unfinished run, tensors and plain containers only.

        Raises:
            CheckpointError: the file is damaged.
        """
        if not self.state_path.exists():
            return None
        try:
            state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            reason = first_line(error)
            raise CheckpointError(
                f"{self.state_path}: damaged training state ({reason}); remove it to start anew"
            ) from None
        if not isinstance(state, dict):
            raise CheckpointError(f"{self.state_path}: holds no training state; remove it")
        return state

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write the state; a kill at any moment leaves the old one or the new one.

        Raises:
            UsageError: it cannot be written, as on a full disk; the old one is left.
        """
        try:
            with whole(self.state_path) as part, part.open("wb") as file:
                torch.save(dict(state), file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:
            failed = error.__context__ if isinstance(error, RuntimeError) else error
            if not isinstance(failed, OSError):  # torch.save hides it behind an error of its own
                raise
            raise UsageError(
                f"{self.state_path}: cannot be written ({failed.strerror}); make room and give "
                "the same command again, which goes on from the last state"
            ) from None

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to the log."""
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(dict(record)) + "\n")

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Write the metrics and drop the state."""
        write_whole(self.folder / "metrics.json", json.dumps(dict(metrics), indent=2) + "\n")
        self.state_path.unlink(missing_ok=True)

    def metrics(self) -> dict[str, Any] | None:
        """Return the metrics of a finished run, None if it is not finished.

        Raises:
            CheckpointError: they cannot be read.
        """
        path = self.folder / "metrics.json"
        if not all(file.exists() for file in (path, *self.model_paths)):
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except ValueError:
            raise CheckpointError(f"{path}: damaged; remove the folder to train again") from None
        return found

    def cut_log(self, step: int) -> None:
        """Drop log lines of steps after ``step``, and torn ones: these steps are run again."""
        path = self.folder / "log.jsonl"
        if not path.exists():
            return
        kept = []
        for line in path.read_text().splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue
        write_whole(path, "".join(line + "\n" for line in kept))
