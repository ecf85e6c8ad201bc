"""Open3D, which links to libusb for depth cameras and does not load where the system has none."""

from __future__ import annotations

import ctypes

import libusb_package

_LIBUSB = libusb_package.get_library_path()
if _LIBUSB is not None:  # the package has none for this platform: the system's must do
    ctypes.CDLL(str(_LIBUSB), mode=ctypes.RTLD_GLOBAL)

import open3d as o3d  # noqa: E402

__all__ = ["o3d"]
