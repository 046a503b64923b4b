"""FASTER's aggregators as the paper writes them: number by number, clip after clip, in NumPy.

Written from the equations alone. Weights are given by the papers' symbols; maps are
``[N, C, T, H, W]`` of one video, and every place of a map is a loop of its own.
"""

from collections.abc import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def relu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.0)


def fast_gru(w: Weights, clips: np.ndarray) -> np.ndarray:
    """Equations 2 to 4 with bottleneck gates: the last output ``[C, T, H, W]``."""
    output = clips[0].copy()
    for t in range(1, len(clips)):
        new = np.empty_like(output)
        for place in np.ndindex(output.shape[1:]):
            here = (slice(None), *place)
            x, o = clips[t][here], output[here]  # [C]
            r_squeezed = relu(w["U_rx"] @ x + w["U_ro"] @ o)
            z_squeezed = relu(w["U_zx"] @ x + w["U_zo"] @ o)
            r = sigmoid(w["W_r"] @ r_squeezed)
            z = sigmoid(w["W_z"] @ z_squeezed)
            o_bar = np.tanh(w["V_x"] @ x + w["V_o"] @ (r * o))
            new[here] = (1 - z) * o + z * o_bar
        output = new
    return output


def concat(w: Weights, clips: np.ndarray) -> np.ndarray:
    """Equation 5, its batch norm with the statistics it was given: ``[C, T, H, W]``."""
    output = clips[0].copy()
    for t in range(1, len(clips)):
        new = np.empty_like(output)
        for place in np.ndindex(output.shape[1:]):
            here = (slice(None), *place)
            mixed = w["W"] @ output[here] + w["U"] @ clips[t][here]
            normalized = (mixed - w["mean"]) / np.sqrt(w["variance"] + 1e-5)
            new[here] = relu(w["scale"] * normalized + w["shift"])
        output = new
    return output


def gru(w: Weights, clips: np.ndarray) -> np.ndarray:
    """Equations 2 and 3 on pooled vectors: ``[C]``."""
    pooled = [clip.reshape(len(clip), -1).sum(1) / clip[0].size for clip in clips]
    o = pooled[0]
    for x in pooled[1:]:
        r = sigmoid(w["G_rx"] @ x + w["G_ro"] @ o)
        z = sigmoid(w["G_zx"] @ x + w["G_zo"] @ o)
        o = (1 - z) * o + z * np.tanh(w["V_x"] @ x + w["V_o"] @ (r * o))
    return o


def lstm(w: Weights, clips: np.ndarray) -> np.ndarray:
    """Three gates and a cell on pooled vectors; both begin as the first clip: ``[C]``."""
    pooled = [clip.reshape(len(clip), -1).sum(1) / clip[0].size for clip in clips]
    h = c = pooled[0]
    for x in pooled[1:]:
        i = sigmoid(w["W_i"] @ x + w["R_i"] @ h + w["b_i"])
        f = sigmoid(w["W_f"] @ x + w["R_f"] @ h + w["b_f"])
        o = sigmoid(w["W_o"] @ x + w["R_o"] @ h + w["b_o"])
        c = f * c + i * np.tanh(w["W_c"] @ x + w["R_c"] @ h + w["b_c"])
        h = o * np.tanh(c)
    return h


def head(output: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Global average pooling and a linear layer: ``[K]``."""
    places = output.reshape(len(output), -1)
    return weight @ (places.sum(1) / places.shape[1]) + bias
