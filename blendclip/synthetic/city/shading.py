"""Colours of pixels: sun, shadow, sky, the street's surface, haze, and softened edges. Compiled by numba."""

from __future__ import annotations

import numba
import numpy as np

from blendclip.synthetic.city.street import CROSS_HALF_M, MAIN_HALF_M, SIDEWALK_M

HAZE_M = 420.0


@numba.njit(cache=True)
def _speckle(x: float, y: float) -> float:
    """Return a value in 0..1 that looks random but depends on the cell (x, y) alone."""
    n = (np.int64(np.floor(x)) * 73856093) ^ (np.int64(np.floor(y)) * 19349663)
    n = (n ^ (n >> 13)) * 1274126177
    return float((n ^ (n >> 16)) & 1023) / 1023.0


@numba.njit(cache=True)
def _mark(x: float, y: float) -> int:
    """Return 1 on white and 2 on yellow road markings, 0 elsewhere; x, y in world frame."""
    ax, ay = abs(x), abs(y)
    if ay < MAIN_HALF_M and ax > 6.8:
        if ax < 10.0:
            return 1 if (y + 100.0) % 1.1 < 0.55 else 0
        if 10.9 < ax < 11.3 and x * y > 0:
            return 1
        if ax > 11.0:
            if 0.08 < ay < 0.2:
                return 2
            if abs(ay - 3.5) < 0.07 and (ax % 7.0) < 3.0:
                return 1
            if abs(ay - 7.05) < 0.06:
                return 1
    elif ax < CROSS_HALF_M and ay > MAIN_HALF_M + 0.8:
        if ay < 13.3:
            return 1 if (x + 100.0) % 1.1 < 0.55 else 0
        if 14.0 < ay < 14.4 and x * y < 0:
            return 1
        if ay > 14.0 and 0.06 < ax < 0.16:
            return 2
        if ay > 14.0 and abs(ax - 3.6) < 0.05:
            return 1
    return 0


@numba.njit(cache=True)
def _road(x: float, y: float, rgb: np.ndarray) -> None:
    """Paint asphalt or a marking at x, y in world frame, metres, into rgb (3,) float64 0..255."""
    grain = 9.0 * (_speckle(x * 12.0, y * 12.0) - 0.5) + 7.0 * (_speckle(x * 0.6, y * 0.9) - 0.5)
    mark = _mark(x, y)
    rgb[0] = rgb[1] = 94.0 + grain
    rgb[2] = 97.0 + grain
    if mark == 1:
        rgb[:] = 222.0 + grain
    elif mark == 2:
        rgb[0], rgb[1], rgb[2] = 226.0 + grain, 178.0 + grain, 44.0


@numba.njit(cache=True)
def _block(x: float, y: float, rgb: np.ndarray) -> None:
    """Paint kerb, paving or grass at x, y in world frame, metres, into rgb (3,) float64 0..255."""
    depth = min(abs(x) - CROSS_HALF_M, abs(y) - MAIN_HALF_M)
    if depth < 0.28:
        rgb[:] = 176.0
    elif depth < SIDEWALK_M:
        joint = (x + 1000.0) % 0.75 < 0.03 or (y + 1000.0) % 0.75 < 0.03
        tone = 148.0 + 14.0 * (_speckle(x / 0.75 + 4000, y / 0.75 + 4000) - 0.5) - (26.0 if joint else 0.0)
        rgb[0], rgb[1], rgb[2] = tone + 4.0, tone, tone - 6.0
    else:
        grain = 22.0 * (_speckle(x * 9.0, y * 9.0) - 0.5) + 14.0 * (_speckle(x * 0.8, y * 0.8) - 0.5)
        rgb[0], rgb[1], rgb[2] = 92.0 + grain, 122.0 + grain, 66.0 + grain


@numba.njit(cache=True)
def rays_to_sun(
    rays: np.ndarray, distance_m: np.ndarray, normal: np.ndarray, sun: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (M, 6) float32 rays towards the sun (3,) from the points that face it, and their (M,) indices.

    Args: rays (N, 6) float32 in world frame, distance_m (N,), normal (N, 3).
    """
    index = np.empty(len(rays), np.int64)
    out = np.empty((len(rays), 6), np.float32)
    count = 0
    for i in range(len(rays)):
        if not np.isfinite(distance_m[i]):
            continue
        along = normal[i, 0] * rays[i, 3] + normal[i, 1] * rays[i, 4] + normal[i, 2] * rays[i, 5]
        facing = -1.0 if along > 0 else 1.0
        if facing * (normal[i, 0] * sun[0] + normal[i, 1] * sun[1] + normal[i, 2] * sun[2]) <= 0:
            continue
        for c in range(3):
            # Start a little off the surface, or it would shade itself.
            out[count, c] = rays[i, c] + distance_m[i] * rays[i, 3 + c] + 0.02 * sun[c] + 0.01 * facing * normal[i, c]
            out[count, 3 + c] = sun[c]
        index[count] = i
        count += 1
    return out[:count], index[:count]


@numba.njit(cache=True)
def shade(
    rays: np.ndarray,
    distance_m: np.ndarray,
    surface: np.ndarray,
    normal: np.ndarray,
    face: np.ndarray,
    face_colors: np.ndarray,
    lit: np.ndarray,
    sun: np.ndarray,
    sunlight: float,
) -> np.ndarray:
    """Return (N, 3) uint8 colours of pixels.

    Args: rays (N, 6) in world frame; distance_m (N,), inf for sky; surface (N,) 0 road, 1 blocks, 2 other;
    normal (N, 3); face (N,) index into face_colors (F, 3); lit (N,) whether the sun reaches the point; sun (3,)
    unit vector towards the sun; sunlight, its share of the light in 0..1.
    """
    out = np.empty((len(rays), 3), np.uint8)
    rgb, sky = np.empty(3), np.empty(3)
    for i in range(len(rays)):
        up = max(rays[i, 5], 0.0)
        blend = min(up * 1.9, 1.0) ** 0.7
        sky[0] = 218 - 100 * blend * sunlight
        sky[1] = 226 - 68 * blend * sunlight
        sky[2] = 234 - 22 * blend * sunlight
        t = distance_m[i]
        if not np.isfinite(t):
            for c in range(3):
                out[i, c] = np.uint8(sky[c])
            continue
        facing = -1.0 if normal[i, 0] * rays[i, 3] + normal[i, 1] * rays[i, 4] + normal[i, 2] * rays[i, 5] > 0 else 1.0
        nz = normal[i, 2] * facing
        if surface[i] == 0:
            _road(rays[i, 0] + t * rays[i, 3], rays[i, 1] + t * rays[i, 4], rgb)
        elif surface[i] == 1 and nz > 0.5:
            _block(rays[i, 0] + t * rays[i, 3], rays[i, 1] + t * rays[i, 4], rgb)
        else:
            for c in range(3):
                rgb[c] = face_colors[face[i], c]
        cosine = facing * (normal[i, 0] * sun[0] + normal[i, 1] * sun[1] + normal[i, 2] * sun[2])
        direct = 0.85 * sunlight * max(cosine, 0.0) if lit[i] else 0.0
        # A soft second light from the viewer's side keeps shaded flanks from melting into one dark shape.
        towards = -facing * (normal[i, 0] * rays[i, 3] + normal[i, 1] * rays[i, 4] + normal[i, 2] * rays[i, 5])
        ambient = (0.40 + 0.30 * (1 - sunlight)) * (0.80 + 0.20 * nz) + 0.10 * towards
        haze = 1.0 - np.exp(-t / HAZE_M)
        for c in range(3):
            tint = 1.0 + (0.03 if c == 0 else -0.03 if c == 2 else 0.0) * (1.0 if direct > 0 else -1.0)
            value = rgb[c] * (direct * tint + ambient * tint) * (1 - haze) + sky[c] * haze
            out[i, c] = np.uint8(min(max(value, 0.0), 255.0))
    return out


@numba.njit(cache=True)
def soften_edges(image: np.ndarray) -> np.ndarray:
    """Return image (H, W, 3) uint8 with pixels at sharp steps mixed with their four neighbours."""
    height, width, _ = image.shape
    out = image.copy()
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            center = np.int32(image[y, x, 1])
            step = max(
                abs(center - image[y - 1, x, 1]),
                abs(center - image[y + 1, x, 1]),
                abs(center - image[y, x - 1, 1]),
                abs(center - image[y, x + 1, 1]),
            )
            if step > 18:
                for c in range(3):
                    around = np.int32(image[y - 1, x, c]) + image[y + 1, x, c] + image[y, x - 1, c] + image[y, x + 1, c]
                    out[y, x, c] = np.uint8((4 * np.int32(image[y, x, c]) + around) // 8)
    return out
