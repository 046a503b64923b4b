"""One page on one video, in a single file: nothing is fetched and nothing runs when it is opened.

Every text that comes from a file, an option or a checkpoint is escaped, and a policy in the page
forbids scripts and anything from elsewhere, should a browser still find some.
"""

from pathlib import Path

from vidskim.errors import UsageError
from vidskim.io.write.files import refusing, write_whole
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
    with refusing(path, what="the report cannot be written", remedy="choose another place"):
        write_whole(path, text)
