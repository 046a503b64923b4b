"""Which encoder saw which clip of an answer, in words: FASTER's encoders take turns."""

from dataclasses import dataclass

from vidskim.errors import printable
from vidskim.types import ChosenClip, Prediction


@dataclass(frozen=True, slots=True)
class EncoderShare:
    """The clips of one encoder."""

    encoder: str
    num_clips: int


def take_turns(answer: object) -> bool:
    """Say whether an answer rests on several encoders; a selection rests on none."""
    return isinstance(answer, Prediction) and len(answer.encoders) > 1


def is_cheap(answer: object, chosen: ChosenClip) -> bool:
    """Say whether a clip was left to another than the most expensive of several encoders."""
    if not isinstance(answer, Prediction) or len(answer.encoders) < 2:
        return False
    return chosen.encoder != answer.encoders[0]


def is_routed(answer: object) -> bool:
    """Say whether saliency decided which clips the expensive encoder sees, not which are seen."""
    schedule = answer.schedule if isinstance(answer, Prediction) else None
    return schedule is not None and schedule.endswith(" by saliency")


def shares(answer: Prediction) -> list[EncoderShare]:
    """Return how many clips each encoder saw, the expensive one first."""
    seen = [chosen.encoder for chosen in answer.clips]
    return [EncoderShare(encoder, seen.count(encoder)) for encoder in answer.encoders]


def shares_text(answer: Prediction, *, marks: tuple[str, str] = ("", "")) -> str:
    """Return one line on who saw how many clips.

    Args:
        answer: of several encoders.
        marks: what stands before the expensive encoder and before the cheap one.

    For example: ``2 clips by r2plus1d_50, 14 by r2d_26 (pattern 1:7)``.
    """
    told = []
    for n, share in enumerate(shares(answer)):
        what = f" clip{'' if share.num_clips == 1 else 's'}" if n == 0 else ""
        told.append(f"{marks[n > 0]}{share.num_clips}{what} by {printable(share.encoder)}")
    return f"{', '.join(told)} (pattern {answer.schedule})"
