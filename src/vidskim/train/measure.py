"""What a model of several clips answers to whole videos, and how often it is right.

Test clips lie evenly over a video and are seen through the center crop; all of them write the
memory, and each answers with it. The scores of a video are the mean of its clips' probabilities or,
where several classes may be true, the largest of each class over time (collaborative memory,
section 4.1 and appendix B.2).
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidskim.clips.grid import even_starts
from vidskim.data.cache.frames import Store
from vidskim.errors import VidskimError
from vidskim.evaluate.metrics import mean_average_precision
from vidskim.io.write.files import whole
from vidskim.train.loop import GENTLER
from vidskim.train.multi_clip import MultiClip

COLUMNS = ("path", "start_seconds", "end_seconds", "labels", "guess", "right", "clips")
"""Of answers.csv."""


@dataclass(frozen=True, slots=True)
class VideoAnswers:
    """The scores of test videos and of their clips."""

    videos: Tensor
    """``[R, K]`` in [0, 1]."""
    clips: Tensor
    """``[R, N, K]`` in [0, 1]."""
    targets: Tensor
    """``[R]``, or ``[R, K]`` of 0 and 1."""

    def measured(self) -> dict[str, Any]:
        """Return the accuracy of videos and of clips by their place in time, or the mAP."""
        if self.targets.ndim == 2:
            return {"test_map": mean_average_precision(self.videos, self.targets)}
        right = self.clips.argmax(2) == self.targets[:, None]  # [R, N]
        return {
            "test_accuracy": (self.videos.argmax(1) == self.targets).double().mean().item(),
            "test_clip_accuracy": right.double().mean().item(),
            "test_clip_accuracy_by_place": [round(x, 4) for x in right.double().mean(0).tolist()],
        }


@torch.inference_mode()
def video_answers(
    model: MultiClip, store: Store, targets: np.ndarray, *, num_clips: int
) -> VideoAnswers:
    """Answer for every row of a store, whose frames are resized and not cropped.

    Args:
        model: in any mode; it is in evaluation mode afterwards.
        store: of the rows.
        targets: one per row.
        num_clips: N, of each row; where a video is short they overlap.
    """
    model.eval()
    transform = model.backbone.transform
    assert transform is not None
    device = next(model.parameters()).device
    index = np.arange(model.clip.num_frames) * model.clip.stride
    videos, clips = [], []
    for n in range(len(store.rows)):
        frames = store[n]
        room = max(0, len(frames) - index[-1] - 1)
        starts = np.array(even_starts(room, num_clips))
        places = np.minimum(starts[:, None] + index, len(frames) - 1)
        x = transform(torch.from_numpy(frames[places]))  # [N, 3, T, h, w]
        logits = model(x[None].to(device))[0].float().cpu()  # [N, K]
        scores = torch.sigmoid(logits) if model.is_multilabel else torch.softmax(logits, 1)
        clips.append(scores)
        videos.append(scores.amax(0) if model.is_multilabel else scores.mean(0))
    return VideoAnswers(torch.stack(videos), torch.stack(clips), torch.from_numpy(targets))


def refuse_no_numbers(answers: Tensor, *, path: Path) -> None:
    """Refuse answers of which some are no numbers: the best of them would be the first class.

    Raises:
        VidskimError: with the video's file.
    """
    if not answers.isfinite().all():
        raise VidskimError(
            f"{path}: the trained model's answers to it are no numbers: the training has diverged; "
            f"train again into another out folder with a {GENTLER}"
        )


def write_video_answers(
    answers: VideoAnswers, store: Store, *, classes: Sequence[str], folder: Path
) -> None:
    """Write ``answers.csv``: of every row its file, labels, best class, and how it was right.

    ``right`` is 0 or 1; ``clips`` has a digit for each clip in the order of time. Where several
    classes may be true, a guess is right if it is one of them.

    Raises:
        VidskimError: the answers to a video are no numbers; nothing is written.
    """
    for row, scores in zip(store.rows, answers.clips, strict=True):
        refuse_no_numbers(scores, path=row.path)
    guesses = answers.videos.argmax(1).tolist()
    of_clips = answers.clips.argmax(2).tolist()

    with (
        whole(folder / "answers.csv") as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            ["path", "start_seconds", "end_seconds", "labels", "guess", "right", "clips"]
        )
        for n, row in enumerate(store.rows):
            true = {classes.index(label) for label in row.labels}
            table.writerow(
                [
                    row.path,
                    row.start_seconds,
                    row.end_seconds,
                    "|".join(row.labels),
                    classes[guesses[n]],
                    int(guesses[n] in true),
                    "".join(str(int(guess in true)) for guess in of_clips[n]),
                ]
            )
