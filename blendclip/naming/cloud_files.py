"""Clouds and sweeps in the files that people keep them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blendclip.datasets.cad.mesh_files import check_ply
from blendclip.errors import DataFault, UserError
from blendclip.mining.pcd import read_pcd

_KITTI, _NUSCENES = 4, 5  # float32 columns of a point: x, y, z, intensity, and in nuScenes the ring
_RGB = ("red", "green", "blue")


def read_cloud(path: str | Path) -> NDArray[np.floating]:
    """The points of a file, as columns x, y, z and what else it says of each.

    Files: `.npy`, `.npz` (its only array, or the one named `points`), `.pcd.bin` (nuScenes), `.bin` (KITTI), `.pcd`,
    `.ply`, `.las`.

    Args:
        path: the file.

    Returns:
        (N, 3 or more), in the unit and frame of the file. Of `.pcd`, `.ply` and `.las` red, green and blue from 0 to 1
        follow, where the file has them, else intensity, where it has that; of the others their own columns. float64
        of `.las`, whose coordinates are those of the globe, and of arrays of float64; else float32.

    Raises:
        UserError: the file is missing, of another kind, broken, or holds no points.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if suffix is None:
        raise UserError(f"{path} is of no kind that holds clouds: write it as one of {', '.join(_READERS)}")
    if not path.is_file():
        raise UserError(f"there is no file {path}: check the path of the cloud")
    try:
        points = np.asarray(_READERS[suffix](path))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): write it again") from None
    except (UserError, ImportError):
        raise
    except Exception as error:  # libraries raise almost anything at a broken file
        why = str(error) if isinstance(error, DataFault) else f"{type(error).__name__}: {error}"
        raise UserError(f"{path} is no readable {suffix} file ({why}): write it again") from error
    if points.ndim != 2 or points.shape[1] < 3:
        raise UserError(f"{path} has shape {points.shape}: a cloud is (N, 3) or wider, x, y, z first")
    if points.dtype.kind != "f":
        raise UserError(f"{path} has numbers of type {points.dtype}: write coordinates as floats")
    return points


def suffix_of(path: Path) -> str | None:
    """The kind of a cloud's file, one of those that `read_cloud` reads; None of others."""
    name = path.name.lower()
    return next((suffix for suffix in _READERS if name.endswith(suffix)), None)


def _npy(path: Path) -> NDArray:
    return np.load(path, allow_pickle=False)


def _npz(path: Path) -> NDArray:
    with np.load(path, allow_pickle=False) as arrays:
        names = list(arrays)
        if "points" not in names and len(names) != 1:
            raise DataFault(f"it holds the arrays {', '.join(names) or 'none'}, none of them named points")
        return arrays["points" if "points" in names else names[0]]


def _floats(columns: int) -> Callable[[Path], NDArray[np.float32]]:
    def read(path: Path) -> NDArray[np.float32]:
        size = path.stat().st_size
        if size == 0 or size % (4 * columns):
            raise DataFault(f"{size} bytes are no whole number of points of {columns} float32")
        return np.fromfile(path, np.float32).reshape(-1, columns)

    return read


def _pcd(path: Path) -> NDArray[np.float32]:
    columns = _ascii_pcd(path) if _is_ascii(path) else read_pcd(path)
    if missing := [axis for axis in "xyz" if axis not in columns]:
        raise DataFault(f"it has no field {missing[0]}")
    packed = next((columns[name] for name in ("rgb", "rgba") if name in columns), None)
    return _with_more(columns, None if packed is None else _unpacked(packed), "intensity")


def _is_ascii(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\nDATA ascii" in file.read(4096)


def _ascii_pcd(path: Path) -> Mapping[str, NDArray]:
    """The fields of a PCD that is text, each of one number a point."""
    head, _, body = path.read_text("ascii", "replace").partition("\nDATA ascii")
    entries = {line.split()[0]: line.split()[1:] for line in head.splitlines() if line.strip()}
    if "FIELDS" not in entries or "TYPE" not in entries:
        raise DataFault("its header has no FIELDS or TYPE")
    names, kinds = entries["FIELDS"], entries["TYPE"]
    rows = np.loadtxt(body.splitlines()[1:], np.float64, ndmin=2)
    announced = int(entries.get("POINTS", [len(rows)])[0])
    if len(rows) < announced:
        raise DataFault(f"its header announces {announced} points, {len(rows)} are there: it is cut off")
    if rows.shape[1] != len(names) or len(kinds) != len(names):
        raise DataFault(f"its header names {len(names)} fields, its first point has {rows.shape[1]} numbers")
    return {
        name: column.astype(np.float32 if kind == "F" else np.int64)
        for name, kind, column in zip(names, kinds, rows.T, strict=True)
    }


def _unpacked(packed: NDArray) -> NDArray[np.float32]:
    """(N, 3) from 0 to 1 of colors that stand as 0xRRGGBB in the bits of a float32 or an integer."""
    bits = np.ascontiguousarray(packed).view(np.uint32) if packed.dtype.kind == "f" else packed.astype(np.uint32)
    return np.stack([bits >> shift & 255 for shift in (16, 8, 0)], axis=1).astype(np.float32) / 255


def _ply(path: Path) -> NDArray[np.float32]:
    import trimesh

    check_ply(path.read_bytes())
    cloud = trimesh.load(path, process=False)
    raw = cloud.metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
    if raw is None or not len(raw):
        raise DataFault("it holds no vertices")
    names = raw.dtype.names if isinstance(raw, np.ndarray) else raw
    columns = {name: np.asarray(raw[name]).reshape(-1) for name in names}
    colors = np.column_stack([columns[name] for name in _RGB]) if {*_RGB} <= columns.keys() else None
    return _with_more(columns, None if colors is None else _scaled(colors), "intensity")


def _las(path: Path) -> NDArray[np.float64]:
    import laspy

    file = laspy.read(path)
    if len(file.points) < file.header.point_count:
        announced = file.header.point_count
        raise DataFault(f"its header announces {announced} points, {len(file.points)} are there: it is cut off")
    names = set(file.point_format.dimension_names)
    colors = _scaled(np.column_stack([file[name] for name in _RGB])) if {*_RGB} <= names else None
    return np.column_stack([file.x, file.y, file.z, file.intensity if colors is None else colors]).astype(np.float64)


def _scaled(colors: NDArray) -> NDArray[np.float32]:
    """Colors from 0 to 1 of floats from 0 to 1, or of integers, of 16 bits where one is above 255."""
    most = 1.0 if colors.dtype.kind == "f" else 255 if colors.max(initial=0) <= 255 else 65535
    return (colors / most).astype(np.float32)


def _with_more(columns: Mapping[str, NDArray], colors: NDArray | None, other: str) -> NDArray[np.float32]:
    """Coordinates, then colors, or else the column `other` where there is one."""
    parts = [columns[axis].astype(np.float32)[:, None] for axis in "xyz"]
    if colors is not None:
        parts.append(colors)
    elif other in columns:
        parts.append(columns[other].astype(np.float32)[:, None])
    return np.concatenate(parts, axis=1)


# Longer endings first: `.pcd.bin` is no `.bin` of KITTI.
_READERS: dict[str, Callable[[Path], NDArray]] = {
    ".pcd.bin": _floats(_NUSCENES),
    ".npy": _npy,
    ".npz": _npz,
    ".bin": _floats(_KITTI),
    ".pcd": _pcd,
    ".ply": _ply,
    ".las": _las,
}
