"""The files of a Hugging Face model: a folder, or the hub's cache. No code among them is run."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vidskim.backbones.files.state_dict import read_state_dict
from vidskim.errors import CheckpointError, UsageError

CONFIG = "config.json"
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")
SAFETENSORS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"

HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")

TIMEOUT_SECONDS = 10

INSTALL = 'pip install "vidskim[hf]"'


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A folder with the files of a model, or its id on the hub."""

    name: str
    """What the user gave."""
    folder: Path | None
    """None for an id on the hub."""

    def find(self, filename: str) -> Path | None:
        """Return the local path of a file, fetching it from the hub the first time.

        Returns None where the model has no such file.

        Raises:
            CheckpointError: no such model, or it cannot be fetched.
        """
        if self.folder is None:
            return _fetch(self.name, filename)
        path = self.folder / filename
        return path if path.is_file() else None

    def read_config(self) -> dict[str, Any]:
        """Return ``config.json``.

        Raises:
            CheckpointError: there is none, or it is no JSON object.
        """
        path = self.find(CONFIG)
        if path is None:
            raise CheckpointError(f"{self.name}: no {CONFIG}, which a Hugging Face model has")
        return _read_json(path)

    def read_processor(self) -> Mapping[str, Any] | None:
        """Return the description of the preprocessing, None where there is none.

        Raises:
            CheckpointError: it is no JSON object.
        """
        for filename in PROCESSORS:
            path = self.find(filename)
            if path is None:
                continue
            values = _read_json(path)
            for part in ("video_processor", "image_processor"):
                if isinstance(values.get(part), Mapping):
                    return dict(values[part])
            return values
        return None

    def read_weights(self) -> dict[str, Tensor]:
        """Return the tensors: safetensors, else ``pytorch_model.bin`` read without running code.

        The published TimeSformers exist only in the latter form.

        Raises:
            CheckpointError: no weights, or damaged or unsafe ones.
        """
        for filename in (SAFETENSORS, PICKLE):
            if filename == PICKLE and (index := self.find(SHARDS)) is not None:
                return self._read_shards(index)
            path = self.find(filename)
            if path is not None:
                return read_state_dict(path)
        raise CheckpointError(
            f"{self.name}: holds no weights, expected {SAFETENSORS}, {SHARDS} or {PICKLE}"
        )

    def _read_shards(self, index: Path) -> dict[str, Tensor]:
        shards = _read_json(index).get("weight_map")
        names = set(shards.values()) if isinstance(shards, Mapping) else set()
        state: dict[str, Tensor] = {}
        for name in sorted(names, key=str):
            if not isinstance(name, str) or not re.fullmatch(r"[\w-][\w.-]*\.safetensors", name):
                raise CheckpointError(f"{index}: names {name!r}, expected files beside it")
            path = self.find(name)
            if path is None:
                raise CheckpointError(f"{index}: names {name}, which is missing: copy it there")
            state |= read_state_dict(path)
        return state


def find_source(name: str) -> ModelFiles:
    """Tell a folder from an id on the hub; a folder that exists comes first.

    Raises:
        CheckpointError: neither.
    """
    try:
        folder = Path(name).expanduser()
        found, taken = folder.is_dir(), folder.exists()
    except (RuntimeError, OSError):  # a home of nobody, a name too long for a file
        folder, found, taken = Path(name), False, True
    if name and found:
        return ModelFiles(name, folder)
    if taken or not HUB_ID.fullmatch(name):
        raise CheckpointError(
            f"hf:{name}: no folder and no id of the Hugging Face hub (owner/name): give the folder "
            f"that holds {CONFIG} and {SAFETENSORS}"
        )
    return ModelFiles(name, None)


def _fetch(repository: str, filename: str) -> Path | None:
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors
    except ImportError as error:
        raise UsageError(f"hf:{repository} needs huggingface_hub: {INSTALL}") from error
    cached = hub.try_to_load_from_cache(repository, filename)
    if cached is not None:  # a path, or a mark that the model has no such file
        return Path(cached) if isinstance(cached, str) else None
    try:
        # Asked first, as downloading tries again for half a minute where there is no network.
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, CONFIG), timeout=TIMEOUT_SECONDS)
        return Path(hub.hf_hub_download(repository, filename, etag_timeout=TIMEOUT_SECONDS))
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"hf:{repository}: the Hugging Face hub has no such model, or not for you"
        ) from error
    except errors.EntryNotFoundError as error:
        if not isinstance(error, errors.LocalEntryNotFoundError):
            return None
        raise _unreachable(repository, error) from error
    except Exception as error:  # whatever the hub's HTTP client of the day raises
        raise _unreachable(repository, error) from error


def _unreachable(repository: str, error: Exception) -> CheckpointError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return CheckpointError(
        f"hf:{repository}: cannot be fetched from the Hugging Face hub ({reason}): copy its "
        f"{CONFIG}, {PROCESSORS[1]} and {SAFETENSORS} into a folder and give hf:FOLDER"
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: holds a {type(values).__name__}, expected a JSON object")
    return values
