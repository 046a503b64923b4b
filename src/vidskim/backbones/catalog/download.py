"""One file from the web, whole or not at all: resumed after an interruption, checked, renamed."""

import os
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from vidskim.backbones.files.fingerprint import file_sha256
from vidskim.errors import CheckpointError

TIMEOUT_SECONDS = 30
BLOCK_BYTES = 1 << 18


def download(url: str, path: Path, *, sha256_prefix: str, remedy: str) -> None:
    """Fetch a URL to a path.

    What has arrived is kept beside the path with the suffix ``.part``; a later call asks the server
    for the rest only. A connection that breaks is tried again as long as it brings something. Two
    processes that want the same file wait for each other where the system can lock files.

    Args:
        url: where the file is.
        path: where it belongs; appears only when complete and checked.
        sha256_prefix: the first hexadecimal digits of the file's SHA-256, as many as are known;
            "" where none are.
        remedy: what a user can do instead, one line, for the error.

    Raises:
        CheckpointError: the server cannot be reached, the disk cannot be written, or what arrived
            is not the file that was meant.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "ab") as file:
            _lock(file)
            if not path.exists():
                _receive(url, file, description=path.name)
                file.flush()
                os.fsync(file.fileno())
                if not has_sha256(part, prefix=sha256_prefix):
                    part.unlink()
                    raise CheckpointError(
                        f"{url} is damaged: its SHA-256 does not begin with {sha256_prefix}; "
                        f"try again, or {remedy}"
                    )
                os.replace(part, path)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise CheckpointError(f"cannot download {url} ({reason}): {remedy}") from error
    finally:
        if part.is_file() and (path.exists() or not part.stat().st_size):
            part.unlink()


def has_sha256(path: Path, *, prefix: str) -> bool:
    """Say whether a file's SHA-256 begins with these hexadecimal digits; "" fits any file."""
    return not prefix or file_sha256(path).startswith(prefix.lower())


def _receive(url: str, file: IO[bytes], *, description: str) -> None:
    """Append what is missing, again after each break that came with progress."""
    while True:
        before = file.seek(0, os.SEEK_END)
        try:
            _receive_once(url, file, description=description)
        except HTTPError as error:
            with error:
                if error.code == 416 and before:  # nothing after what we have: the hash decides
                    return
            raise
        except (OSError, HTTPException):
            if file.tell() <= before:
                raise
        else:
            return


def _receive_once(url: str, file: IO[bytes], *, description: str) -> None:
    """Ask for everything after what the file holds and append it."""
    have = file.tell()
    headers = {"User-Agent": "vidskim"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with urlopen(Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise ConnectionError("the server answered with another range than was asked for")
        if not resumed:
            have = 0
            file.seek(0)
            file.truncate()
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        with tqdm(
            total=total, initial=have, desc=description, unit="B", unit_scale=True, disable=None
        ) as bar:
            while block := response.read(BLOCK_BYTES):
                have += file.write(block)
                bar.update(len(block))
    if total is not None and have < total:
        raise ConnectionError(f"the connection closed after {have} of {total} bytes")


def _lock(file: IO[bytes]) -> None:
    """Wait until no other process holds the file, where the system knows such locks."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX)
