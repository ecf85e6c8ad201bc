"""A tiny log in Argoverse 2's layout whose numbers can be worked out by hand.

The vehicle faces the city's y axis and drives along it at 10 m/s, from (100, 50, 7). A car ahead of it drives at 5 m/s,
a dog stands. A sweep sees the car's back with 21 points, 5 ms after one another, and the dog with 9 at its start; as in
the release, points stand in the ego frame of the sweep's time stamp, in 16 bits.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyarrow import feather

START_NS = 315_970_000_000_000_000
MS = 1_000_000
SWEEPS, SPEED_MPS, CAR_MPS = 11, 10.0, 5.0
CAR_POINTS, DOG_POINTS = 21, 9
AHEAD = [0.5, -0.5, 0.5, -0.5]  # of a camera that looks ahead
FACING_Y = [np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)]
CAMERA, FOCAL, CENTER, SIZE = "ring_front_center", 400.0, (310.0, 250.0), (640, 480)
K = (-0.24, -0.05, 0.1)
BOXES = {  # track: category, ego x at the start, its change a second, ego y, size, points
    "car": ("REGULAR_VEHICLE", 40.0, CAR_MPS - SPEED_MPS, 0.0, (4.5, 2.0, 1.5), CAR_POINTS),
    "dog": ("DOG", 20.0, -SPEED_MPS, 3.0, (1.0, 0.5, 0.75), DOG_POINTS),
    "far": ("PEDESTRIAN", 155.0, -SPEED_MPS, 0.0, (0.75, 0.75, 1.75), 2),
    "hidden": ("WHEELCHAIR", 30.0, -SPEED_MPS, -8.0, (1.0, 0.75, 1.25), 0),
    "tram": ("RAILED_VEHICLE", 35.0, -SPEED_MPS, 12.0, (20.0, 3.0, 3.5), 4),
}


def xyz_ego(track, seconds):
    """The centre of a box, `seconds` after the start."""
    _, x, change, y, _, _ = BOXES[track]
    return [x + change * seconds, y, 1.0]


class Log:
    """The tables as columns, to be damaged before they are written."""

    def __init__(self, root, split="val", name="log-a"):
        self.root, self.split, self.name = root, split, name
        self.folder = root / split / name
        self.sweeps_ns = [START_NS + 100 * MS * number for number in range(SWEEPS)]
        self.images = {CAMERA: [START_NS + 50 * MS * number + 3 * MS + 217 for number in range(2 * SWEEPS)]}
        self.tables = {
            "annotations": self._annotations(),
            "city_SE3_egovehicle": self._poses(),
            "calibration/egovehicle_SE3_sensor": pose_columns([AHEAD], [[1.5, 0.0, 1.5]]) | {"sensor_name": [CAMERA]},
            "calibration/intrinsics": {
                "sensor_name": [CAMERA],
                **{"fx_px": [FOCAL], "fy_px": [FOCAL], "cx_px": [CENTER[0]], "cy_px": [CENTER[1]]},
                **{f"k{number + 1}": [value] for number, value in enumerate(K)},
                "height_px": pa.array([SIZE[1]], pa.uint16()),
                "width_px": pa.array([SIZE[0]], pa.uint16()),
            },
        }

    def _annotations(self):
        rows = [(time_ns, track) for time_ns in self.sweeps_ns for track in BOXES]
        sizes = np.array([BOXES[track][4] for _, track in rows])
        centers = [xyz_ego(track, 1e-9 * (time_ns - START_NS)) for time_ns, track in rows]
        return {
            "timestamp_ns": [time_ns for time_ns, _ in rows],
            "track_uuid": [track for _, track in rows],
            "category": [BOXES[track][0] for _, track in rows],
            **dict(zip(("length_m", "width_m", "height_m"), sizes.T, strict=True)),
            **pose_columns([[1.0, 0, 0, 0]] * len(rows), centers),
            "num_interior_pts": [BOXES[track][5] for _, track in rows],
        }

    def _poses(self):
        """Every 10 ms, each second one again 2 ns later."""
        steps = range(-6, 10 * SWEEPS + 30)
        times_ns = [START_NS + 10 * MS * step + twin for step in steps for twin in (0, 2)[: 1 + step % 2]]
        places = [[100.0, 50.0 + SPEED_MPS * 1e-9 * (time_ns - START_NS), 7.0] for time_ns in times_ns]
        return pose_columns([FACING_Y] * len(times_ns), places) | {"timestamp_ns": times_ns}

    def sweep(self, time_ns):
        """The columns of the sweep at a time."""
        seconds = 1e-9 * (time_ns - START_NS)
        offset_ns = np.concatenate([5 * MS * np.arange(CAR_POINTS), np.zeros(DOG_POINTS)]).astype(np.int32)
        car_x, _, _ = xyz_ego("car", seconds)
        car = [[car_x - 2.0 + CAR_MPS * 1e-9 * late, 0.5, 1.25] for late in offset_ns[:CAR_POINTS].tolist()]
        dog = np.add(xyz_ego("dog", seconds), np.linspace([-0.25, -0.125, 0], [0.25, 0.125, 0.25], DOG_POINTS))
        xyz = np.concatenate([car, dog]).astype(np.float16)
        laser = np.arange(len(xyz), dtype=np.uint8)
        columns = dict(zip("xyz", xyz.T, strict=True)) | {"intensity": laser + 7, "laser_number": laser}
        return columns | {"offset_ns": offset_ns}

    def write(self):
        """Write all of it; return itself."""
        for name, columns in self.tables.items():
            write_feather(self.folder / f"{name}.feather", columns)
        for time_ns in self.sweeps_ns:
            write_feather(self.folder / "sensors" / "lidar" / f"{time_ns}.feather", self.sweep(time_ns))
        for channel, times_ns in self.images.items():
            for time_ns in times_ns:
                path = self.folder / "sensors" / "cameras" / channel / f"{time_ns}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return self


def pose_columns(rotations, places):
    """Columns of poses from quaternions (N, 4) and translations (N, 3)."""
    names = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")
    return dict(zip(names, np.concatenate([rotations, places], axis=1).T, strict=True))


def write_feather(path, columns):
    """Write columns by name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
