"""Motion of things: routes of straight lines and gentle arcs in the world plane, run at a nearly constant speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Route:
    """A smooth plane curve in world frame; before and after its segments it goes straight on for ever."""

    start: tuple[float, float, float]
    """x_m, y_m, yaw_rad where s = 0."""
    segments: tuple[tuple[float, float], ...] = ()
    """(length_m, curvature in 1/m, positive to the left) one after another."""

    def pose_at(self, s_m: np.ndarray | float) -> np.ndarray:
        """Return (..., 3) x_m, y_m, yaw_rad in world frame at the arc lengths s_m (...)."""
        s_m = np.asarray(s_m, float)
        x, y, yaw = self.start
        pose = _advance(x, y, yaw, 0.0, s_m)
        passed = 0.0
        for length, curvature in self.segments:
            pose = np.where((s_m >= passed)[..., None], _advance(x, y, yaw, curvature, s_m - passed), pose)
            x, y, yaw = _advance(x, y, yaw, curvature, np.float64(length))
            passed += length
        if self.segments:
            pose = np.where((s_m >= passed)[..., None], _advance(x, y, yaw, 0.0, s_m - passed), pose)
        return pose


def _advance(x: float, y: float, yaw: float, curvature: float, s_m: np.ndarray | np.float64) -> np.ndarray:
    """Return the pose (..., 3) after s_m along a line (curvature 0) or an arc from x, y, yaw."""
    turned = yaw + curvature * s_m
    if curvature == 0:
        return np.stack([x + s_m * np.cos(yaw), y + s_m * np.sin(yaw), turned], -1)
    dx = (np.sin(turned) - np.sin(yaw)) / curvature
    dy = (np.cos(yaw) - np.cos(turned)) / curvature
    return np.stack([x + dx, y + dy, turned], -1)


@dataclass(frozen=True)
class Motion:
    """A run along a route, s(t) = s0 + v t + sway sin(w t + phase), shifted by constants."""

    route: Route
    """Curve that is driven or walked."""
    s0_m: float = 0.0
    """Arc length at time 0."""
    speed_mps: float = 0.0
    """Mean speed v."""
    sway_m: float = 0.0
    """Amplitude of the swaying speed."""
    sway_radps: float = 0.6
    """Angular frequency w of the sway."""
    sway_phase_rad: float = 0.0
    """Phase of the sway at time 0."""
    left_m: float = 0.0
    """Constant shift to the left of the route."""
    turned_rad: float = 0.0
    """Constant heading relative to the route."""

    def pose_at(self, time_s: np.ndarray | float) -> np.ndarray:
        """Return (..., 3) x_m, y_m, yaw_rad in world frame at times (...) seconds after the scene's start."""
        time_s = np.asarray(time_s, float)
        s_m = self.s0_m + self.speed_mps * time_s + self.sway_m * np.sin(self.sway_radps * time_s + self.sway_phase_rad)
        pose = self.route.pose_at(s_m)
        shift = self.left_m * np.stack([-np.sin(pose[..., 2]), np.cos(pose[..., 2]), np.zeros_like(s_m)], -1)
        return pose + shift + np.array([0.0, 0.0, self.turned_rad])

    @property
    def moves(self) -> bool:
        """Whether the pose changes at all."""
        return self.speed_mps != 0 or self.sway_m != 0


def standing(x_m: float, y_m: float, yaw_rad: float) -> Motion:
    """Return the motion of a thing that stays at a pose in world frame."""
    return Motion(Route((x_m, y_m, yaw_rad)))


def planar_SE3(pose: np.ndarray, z_m: float = 0.0) -> np.ndarray:
    """Return world_SE3_thing (4, 4) for a pose (3,) x_m, y_m, yaw_rad at height z_m."""
    x, y, yaw = pose
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0, x], [sin, cos, 0, y], [0, 0, 1, z_m], [0, 0, 0, 1.0]])
