"""Log-mel spectra from samples: `torch.stft` and a small filter bank."""

import numpy as np
import torch
from torch import Tensor

FLOOR = 1e-8
"""Power below which sound counts as silence, relative to a full-scale constant: -80 dB."""


def log_mel_spectra(
    samples: Tensor,
    *,
    sample_rate: int,
    hop: int,
    length: int,
    n_fft: int,
    num_mels: int,
) -> Tensor:
    """Return log(1 + mel power / `FLOOR`): 0 is silence, a full-scale tone about 17.

    Args:
        samples: float32 ``[N, samples]`` in [-1, 1].
        sample_rate: samples per second.
        hop: samples between spectra.
        length: samples under the Hann window.
        n_fft: samples of the transform, the window centered in them.
        num_mels: M.

    Returns:
        float32 ``[N, M, S]`` with S = 1 + (samples - n_fft) // hop.
    """
    window = torch.hann_window(length)
    spectrum = torch.stft(
        samples, n_fft, hop, length, window, center=False, return_complex=True
    )  # [N, n_fft / 2 + 1, S]
    power = spectrum.real * spectrum.real + spectrum.imag * spectrum.imag
    filters = mel_filters(num_mels=num_mels, n_fft=n_fft, sample_rate=sample_rate)
    return torch.log1p((filters / (window.sum() ** 2 * FLOOR)) @ power)  # [N, M, S]


def mel_filters(*, num_mels: int, n_fft: int, sample_rate: int) -> Tensor:
    """Return triangular filters with peak 1, evenly spaced in HTK mel: 2595 log10(1 + f / 700).

    Args:
        num_mels: M filters between 0 Hz and half the sample rate.
        n_fft: samples of the transform.
        sample_rate: samples per second.

    Returns:
        float32 ``[M, n_fft // 2 + 1]``.
    """
    top = 2595.0 * np.log10(1.0 + sample_rate / 2 / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(0.0, top, num_mels + 2) / 2595.0) - 1.0)  # Hz
    bins = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    width = np.diff(edges)[:, None]
    rising = (bins - edges[:-2, None]) / width[:-1]
    falling = (edges[2:, None] - bins) / width[1:]
    return torch.from_numpy(np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32))
