"""Open3D, which links to libusb for depth cameras and does not load where the system has none."""

from __future__ import annotations

import ctypes

import libusb_package

ctypes.CDLL(libusb_package.get_library_path(), mode=ctypes.RTLD_GLOBAL)

import open3d as o3d  # noqa: E402

__all__ = ["o3d"]
