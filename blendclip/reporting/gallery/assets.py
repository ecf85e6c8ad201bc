"""The files of a gallery: crops, clouds, script and style."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from numpy.typing import NDArray

from blendclip import storage
from blendclip.reporting.gallery.clouds import packed_cloud, write_clouds

_HERE = Path(__file__).parent


class Assets:
    """Writes the files of a gallery into one folder, in place of those of an earlier one."""

    def __init__(self, folder: Path, max_points: int) -> None:
        """Write into `folder`; a cloud keeps at most `max_points` points."""
        self.max_points = max_points
        self._folder = folder
        self._scripts = 0
        for old in [*folder.glob("crops/*.jpg"), *folder.glob("crops/*.png"), *folder.glob("clouds/*.js")]:
            old.unlink()
        for name in ("gallery.js", "gallery.css"):
            with storage.replacing(folder / name) as temporary:
                shutil.copyfile(_HERE / name, temporary)

    def crop(self, image: bytes) -> str:
        """Write an encoded image as it is, once; return its address relative to the page."""
        suffix = "png" if image.startswith(b"\x89PNG") else "jpg"
        path = self._folder / "crops" / f"{hashlib.sha256(image).hexdigest()[:20]}.{suffix}"
        if not path.exists():
            with storage.replacing(path) as temporary:
                temporary.write_bytes(image)
        return f"{self._folder.name}/crops/{path.name}"

    def clouds(self, cloud_ids: Sequence[str], points: Sequence[NDArray]) -> str:
        """Write the points (N, 3) of clouds as one script; return its name, by which the page loads it."""
        name = f"{self._scripts:02d}"
        self._scripts += 1
        packed = [packed_cloud(cloud, name, self.max_points) for name, cloud in zip(cloud_ids, points, strict=True)]
        write_clouds(self._folder / "clouds" / f"{name}.js", name, packed)
        return name
