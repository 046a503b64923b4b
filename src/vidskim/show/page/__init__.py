"""One page on one video, in a single file: nothing is fetched and nothing runs when it is opened.

Every text that comes from a file, an option or a checkpoint is escaped, and a policy in the page
forbids scripts and anything from elsewhere, should a browser still find some.
"""

import os
from pathlib import Path

from vidskim.errors import UsageError
from vidskim.look.moments import Selection
from vidskim.show.page.html import page
from vidskim.types import Prediction


def save_report(
    answer: Prediction | Selection, path: str | Path, *, command: str | None = None
) -> None:
    """Write all that is known of an answer as one self-contained HTML page.

    Saliency of every source over time with the chosen clips marked, thumbnails of these and of the
    least salient ones, classes, the cost account, warnings, the file and the command. The video is
    read once more, for the thumbnails.

    Args:
        answer: of `vidskim.recognize` or `vidskim.select`.
        path: the page to write; it appears under its name only when it is complete.
        command: how the answer was asked for, if it is to be told.

    Raises:
        UsageError: ``path`` is no HTML file or cannot be written.
        VideoError: the video is gone.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{path}: a report is a page; give a name that ends in .html")
    text = page(answer, command=command)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part.html")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path}: the report cannot be written ({error.strerror}); choose another place"
        ) from None
