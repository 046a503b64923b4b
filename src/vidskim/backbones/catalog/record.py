"""What is known of one published weight file, and the names of the classes it tells apart."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from vidskim.backbones.contract import ClipSpec
from vidskim.clips.transform import Transform

OWN_NAMES = "vidskim"
"""The layout whose tensors are called as ours: R3D, MC3, R(2+1)D and CSN of torchvision and VMZ."""

TERMS = "its data set's terms may bind the use of the weights"

KINETICS400 = "Kinetics-400"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One published weight file and all that is needed to use it and to compare with it.

    What the publisher's own pages do not say is None, never guessed.
    """

    id: str
    """Unique for a backbone: publisher, data set, what was special, as in ``mmaction2-k400``."""
    backbone: str
    """Name for `create_backbone`, at full width."""
    publisher: str
    url: str
    source: str
    """The page that the record was read from."""
    sha256_prefix: str | None = None
    """As many leading digits of the SHA-256 as the publisher gives (torchvision: eight)."""
    size_megabytes: float | None = None
    license: str
    dataset: str
    num_classes: int | None
    """Rows of the head; None where no page says."""
    class_order: str | None = None
    """Where the order of the head's classes was checked; None: unknown, classes have no names."""
    clip: ClipSpec
    """The clip that its publisher tests with."""
    head_window: tuple[int, int] | None = None
    """(h, w) over which the publisher's head averages where the tested map is larger than the
    trained one; see `Network.head_window`."""
    transform: Transform
    """From decoded frames to the input, as its publisher tests."""
    protocol: str
    """How ``top1`` was measured."""
    top1: float | None
    """Published accuracy in [0, 1]."""
    layout: str | None = OWN_NAMES
    """Whose names its tensors have: `Layout.publisher`; None where no page tells."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the backbone's builder, where tensors alone do not tell or must tell the same."""
    is_manual: bool = False
    """Behind a page that no program passes (Google Drive): the user fetches it."""

    @property
    def name(self) -> str:
        """What `load_backbone` takes: ``BACKBONE@ID``."""
        return f"{self.backbone}@{self.id}"

    @property
    def is_multilabel(self) -> bool:
        """Whether a video shows several classes, told apart by sigmoid (Charades).

        Scores that sum to one rank its classes, but are no probabilities.
        """
        return self.dataset.endswith("Charades")

    @property
    def filename(self) -> str:
        """Name of the file in the cache.

        The publisher's where it carries digits of the file's hash, else one of our own, since
        publishers call several files the same.
        """
        published = self.url.rsplit("/", 1)[-1]
        if self.sha256_prefix is not None:
            return published
        suffix = published[published.rindex(".") :] if "." in published else ".pth"
        return f"{self.backbone}-{self.id}{suffix}"

    @property
    def license_name(self) -> str:
        """The license alone, without whose it is and whose data set's terms stand beside it."""
        return self.license.split(" (")[0].split(";")[0]

    @property
    def views(self) -> str | None:
        """Clips x crops of ``protocol``, as in ``10x3``; None where it gives no numbers."""
        found = re.search(r"\b(\d+) clips? x (\d+) (?:center )?crop", self.protocol)
        return f"{found[1]}x{found[2]}" if found else None

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names in the order of the head, None where they are not known."""
        return None if self.class_order is None else kinetics400_classes()

    def to_json(self) -> dict[str, Any]:
        """Return one of ``weights`` of ``vidskim models --json``."""
        return {
            **asdict(self),
            "name": self.name,
            "filename": self.filename,
            "clip": self.clip.to_dict(),
            "transform": str(self.transform),
            "options": dict(self.options),
        }


@cache
def kinetics400_classes() -> tuple[str, ...]:
    """Return the 400 classes of Kinetics-400 in alphabetical order."""
    text = files("vidskim.backbones").joinpath("kinetics400.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
