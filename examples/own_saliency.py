"""A saliency of your own: anything that scores the clips of a video in [0, 1] can choose them.

Here: how loud each clip is, from the sound track's log-mel windows.
"""

import sys
from collections.abc import Sequence

import torch

from vidskim import Clip, Look, Recognizer, Video
from vidskim.backbones.open import open_model
from vidskim.look import selection


class Loudness:
    """Mean log-mel energy around each clip, scaled to [0, 1] within the video."""

    def __call__(self, video: Video, clips: Sequence[Clip]) -> torch.Tensor:
        """Return scores ``[N]``."""
        energy = video.log_mel(clips).values.mean(dim=(1, 2, 3))  # [N]
        spread = (energy.max() - energy.min()).clamp_min(1e-6)
        return (energy - energy.min()) / spread


def main(path: str) -> None:
    encoder, _ = open_model("demo")
    loud = Recognizer(encoder, look=Look("loudness", selection.by_score(5), Loudness()))
    answer = loud(path)
    print(answer.label, [round(c.clip.start_seconds, 1) for c in answer.clips])


if __name__ == "__main__":
    main(sys.argv[1])
