"""The stage of the synthetic set: textured places, a moving camera, sprites, bystanders, sound.

Nothing here knows a class. Everything that happens here happens in videos of every class.
"""

from dataclasses import dataclass, field

import numpy as np

HEIGHT, WIDTH = 144, 192
"""Size of the synthetic videos in pixels."""
FRAME_RATE = 25
SAMPLE_RATE = 16000
MARGIN_X, MARGIN_Y = 24, 12
"""How far the camera wanders from the middle of a place, in pixels."""

Generator = np.random.Generator


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a sprite is (pixels from its home), how it is turned (radians) and how large."""

    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0
    scale: float = 1.0


def texture(rng: Generator, height: int, width: int, *, contrast: float) -> np.ndarray:
    """Return a smooth colored texture, uint8 ``[height, width, 3]``: three octaves of noise."""
    base = rng.uniform(60, 190, 3)
    image = np.broadcast_to(base, (height, width, 3)).astype(np.float32)
    for cell, weight in ((48, 1.0), (16, 0.7), (6, 0.45)):
        rows, columns = height // cell + 2, width // cell + 2
        coarse = rng.normal(0, contrast * weight, (rows, columns, 3)).astype(np.float32)
        image = image + _enlarge(coarse, height, width, cell)
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)


def _enlarge(coarse: np.ndarray, height: int, width: int, cell: int) -> np.ndarray:
    """Enlarge ``[h, w, 3]`` bilinearly to ``[height, width, 3]``."""
    y, x = np.arange(height) / cell, np.arange(width) / cell
    row, column = y.astype(int), x.astype(int)
    fy, fx = (y - row)[:, None, None], (x - column)[None, :, None]
    top = coarse[row][:, column] * (1 - fx) + coarse[row][:, column + 1] * fx
    bottom = coarse[row + 1][:, column] * (1 - fx) + coarse[row + 1][:, column + 1] * fx
    return np.asarray(top * (1 - fy) + bottom * fy, dtype=np.float32)


@dataclass(slots=True)
class Sprite:
    """A textured disc or box that can be drawn in any pose, at a quarter of a pixel."""

    pattern: np.ndarray
    """float32 ``[S, S, 4]``: color and coverage."""
    home_x: float
    home_y: float
    _drawn: dict[tuple[int, int, int, int], np.ndarray] = field(default_factory=dict)

    @classmethod
    def random(cls, rng: Generator, *, diameter: int, home_x: float, home_y: float) -> "Sprite":
        """Return a sprite of random shape, colors and pattern."""
        side = diameter
        axis = np.arange(side) - (side - 1) / 2
        y, x = np.meshgrid(axis, axis, indexing="ij")
        first, second = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
        if np.abs(first - second).sum() < 200:
            second = 255 - first
        cell = rng.uniform(7, 11)
        turn = rng.uniform(0, np.pi)
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        checks = (np.floor(u / cell) + np.floor(v / cell)) % 2
        stripes = np.floor(u / cell) % 2
        mask = (checks if rng.random() < 0.5 else stripes)[..., None]
        grain = rng.normal(0, 14, (side, side, 1))
        color = first * mask + second * (1 - mask) + grain
        if rng.random() < 0.5:
            inside = np.clip(side / 2 - np.hypot(x, y), 0, 1)
        else:
            inside = np.clip(side / 2.3 - np.maximum(np.abs(x), np.abs(y)), 0, 1)
        pattern = np.concatenate([np.clip(color, 0, 255), inside[..., None]], axis=2)
        return cls(pattern.astype(np.float32), home_x, home_y)

    def draw(self, image: np.ndarray, pose: Pose, *, camera_x: float, camera_y: float) -> None:
        """Draw the sprite into ``image`` (uint8 ``[H, W, 3]``, changed in place)."""
        x = self.home_x + pose.x - camera_x
        y = self.home_y + pose.y - camera_y
        left, top = int(np.floor(x)), int(np.floor(y))
        patch = self._patch(pose, x - left, y - top)
        half = patch.shape[0] // 2
        y0, x0 = top - half, left - half
        ya, xa = max(0, -y0), max(0, -x0)
        yb = min(patch.shape[0], image.shape[0] - y0)
        xb = min(patch.shape[1], image.shape[1] - x0)
        if ya >= yb or xa >= xb:
            return
        part = patch[ya:yb, xa:xb]
        region = image[y0 + ya : y0 + yb, x0 + xa : x0 + xb]
        cover = part[..., 3:]
        region[:] = (part[..., :3] * cover + region * (1 - cover)).astype(np.uint8)

    def _patch(self, pose: Pose, x: float, y: float) -> np.ndarray:
        """Return the sprite resampled in a pose, float32 ``[S', S', 4]``."""
        key = (round(pose.angle * 60), round(pose.scale * 50), int(x * 4), int(y * 4))
        if key not in self._drawn:
            if len(self._drawn) > 400:
                self._drawn.clear()
            self._drawn[key] = self._resample(key[0] / 60, key[1] / 50, key[2] / 4, key[3] / 4)
        return self._drawn[key]

    def _resample(self, angle: float, scale: float, x: float, y: float) -> np.ndarray:
        size = self.pattern.shape[0]
        half = int(np.ceil(size * scale * 0.72)) + 2
        axis = np.arange(2 * half) - half
        gy, gx = np.meshgrid(axis - y, axis - x, indexing="ij")
        cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
        u = gx * cos + gy * sin + (size - 1) / 2
        v = gy * cos - gx * sin + (size - 1) / 2
        column, row = np.floor(u).astype(int), np.floor(v).astype(int)
        fu, fv = (u - column)[..., None], (v - row)[..., None]
        padded = np.pad(self.pattern, ((1, 2), (1, 2), (0, 0)), mode="edge")
        padded[[0, -1, -2]] *= (1, 1, 1, 0)
        padded[:, [0, -1, -2]] *= (1, 1, 1, 0)
        column, row = np.clip(column + 1, 0, size + 1), np.clip(row + 1, 0, size + 1)
        upper = padded[row, column] * (1 - fu) + padded[row, column + 1] * fu
        lower = padded[row + 1, column] * (1 - fu) + padded[row + 1, column + 1] * fu
        return np.asarray(upper * (1 - fv) + lower * fv, dtype=np.float32)


def wander(
    rng: Generator, num_frames: int, *, speed: tuple[float, float], limit: tuple[float, float]
) -> np.ndarray:
    """Return a path ``[num_frames, 2]`` (x, y): rests of 1-4 s, then drifts of 1-3 s in a line.

    Args:
        rng: the video's generator.
        num_frames: length.
        speed: slowest and fastest drift, pixels per frame.
        limit: the path turns back at plus and minus these distances from its origin.
    """
    path = np.zeros((num_frames, 2), dtype=np.float32)
    position, frame = np.zeros(2), 0
    moving = rng.random() < 0.5
    while frame < num_frames:
        length = int(rng.uniform(1, 3 if moving else 4) * FRAME_RATE)
        heading = rng.uniform(0, 2 * np.pi)
        step = rng.uniform(*speed) * np.array([np.cos(heading), np.sin(heading)]) * moving
        for _ in range(min(length, num_frames - frame)):
            step = np.where(np.abs(position + step) > limit, -step, step)
            position = position + step
            path[frame] = position
            frame += 1
        moving = not moving
    return path


def ambience(rng: Generator, num_samples: int) -> np.ndarray:
    """Return sound common to all classes, float32 ``[num_samples]``: hum, hiss, stray beeps."""
    time = np.arange(num_samples) / SAMPLE_RATE
    sound = rng.normal(0, 0.01, num_samples)
    sound += 0.02 * np.sin(2 * np.pi * rng.uniform(80, 160) * time)
    for _ in range(int(num_samples / SAMPLE_RATE / 6)):
        start = int(rng.uniform(0, num_samples - SAMPLE_RATE))
        length = int(rng.uniform(0.15, 0.5) * SAMPLE_RATE)
        beep = np.sin(2 * np.pi * rng.uniform(300, 2500) * time[:length]) * np.hanning(length)
        sound[start : start + length] += rng.uniform(0.05, 0.2) * beep
    return sound.astype(np.float32)
