"""The car: one LiDAR and six cameras, written as nuScenes. It makes the dataset city."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nuscenes.utils.data_classes import Box
from nuscenes.utils.geometry_utils import points_in_box
from nuscenes.utils.splits import create_splits_scenes
from PIL import Image
from pyquaternion import Quaternion

from blendclip.randomness import stable_rng, stable_token
from blendclip.synthetic.city.cast import plan_scene
from blendclip.synthetic.city.lidar import sweep
from blendclip.synthetic.city.motion import planar_SE3
from blendclip.synthetic.city.plan import KINDS
from blendclip.synthetic.city.recording import Recorder
from blendclip.synthetic.city.rig import Rig, SceneJob, SceneRecord, SharedTables
from blendclip.synthetic.city.sensors import CAMERAS, KEYFRAME_US, LIDAR, SWEEP_US, ego_SE3_lidar
from blendclip.synthetic.city.street import CROSS_HALF_M, MAIN_HALF_M
from blendclip.synthetic.city.tables import Row, Tables, attribute_rows, category_row, sensor_rows
from blendclip.synthetic.meshes.catalog import CATEGORY_SHAPES

TABLES = (
    *("category", "attribute", "visibility", "instance", "sensor", "calibrated_sensor", "ego_pose"),
    *("log", "scene", "sample", "sample_data", "sample_annotation", "map"),
)
ATTRIBUTES = (
    *("vehicle.moving", "vehicle.stopped", "vehicle.parked", "cycle.with_rider", "cycle.without_rider"),
    *("pedestrian.sitting_lying_down", "pedestrian.standing", "pedestrian.moving"),
)
VISIBILITY = ("v0-40", "v40-60", "v60-80", "v80-100")
MAP_FILE = "maps/city.png"


class CarRecorder(Recorder):
    """Records a scene as nuScenes: every file has the ego pose of its own time."""

    cameras = CAMERAS
    lidar_channels = (LIDAR,)
    lidar_format = "pcd"
    annotated_within_m = 70.0

    def pose_token(self, channel: str, offset_us: int) -> str:
        """Add the ego pose of a file and return its token."""
        token = self.token(channel, offset_us)
        self.tables["ego_pose"].append(self.ego_pose_row(token, offset_us))
        return token

    @property
    def log(self) -> str:
        """The name of the scene's log."""
        return f"city-{self.job.name}"

    def file_name(self, channel: str, timestamp_us: int) -> str:
        """Return the name, without suffix, of a file."""
        return f"{self.log}__{channel}__{timestamp_us}"

    def record_sweep(self, offset_us: int) -> np.ndarray:
        """Write the sweep and its truth at this time; return its points (N, 3) in LiDAR frame."""
        keyframe, is_keyframe = -(-offset_us // KEYFRAME_US), offset_us % KEYFRAME_US == 0
        self.world.move_to(offset_us / 1e6)
        world_SE3_lidar = planar_SE3(self.plan.ego.pose_at(offset_us / 1e6)) @ ego_SE3_lidar()
        points, truth = sweep(self.world, world_SE3_lidar, stable_rng(self.key, LIDAR, offset_us))
        path = self.add_data(LIDAR, offset_us, keyframe, is_keyframe, ".pcd.bin", (0, 0))
        points.tofile(path)
        self.write_truth(path, ".pcd.bin", truth)
        return points[:, :3]

    def annotate_sweep(self, keyframe: int, points: np.ndarray, visible_share: np.ndarray) -> None:
        """Annotate a keyframe whose sweep has these points (N, 3) in LiDAR frame; visible_share (things,)."""
        pose = self.global_pose(self.plan.ego.pose_at(keyframe * KEYFRAME_US / 1e6), 0.0)
        mounting = self.tables["calibrated_sensor"][0]

        def count(_: int, box: Box) -> int:
            for origin, turn in (pose, (mounting["translation"], mounting["rotation"])):
                box.translate(-np.array(origin))
                box.rotate(Quaternion(turn).inverse)
            return int(points_in_box(box, points.T).sum())

        self.annotate(keyframe, count, visible_share)

    def log_row(self) -> Row:
        """Return the row of the scene's log."""
        token, date = self.token("log"), "2018-07-31"
        return {"token": token, "logfile": self.log, "vehicle": "city", "date_captured": date, "location": "city"}


def record_scene(job: SceneJob) -> SceneRecord:
    """Plan and record one scene below job.root and return its rows."""
    recorder = CarRecorder(job, plan_scene(job.name, job.kind, job.duration_s, job.seed))
    recorder.add_calibration({LIDAR: ego_SE3_lidar()})
    for offset_us in range(0, (recorder.keyframes - 1) * KEYFRAME_US + 1, SWEEP_US):
        points = recorder.record_sweep(offset_us)
        if offset_us % KEYFRAME_US == 0:
            keyframe = offset_us // KEYFRAME_US
            recorder.annotate_sweep(keyframe, points, recorder.record_images(keyframe))
    log = recorder.log_row()
    recorder.tables["log"] = [log]
    return recorder.finish(f"generated street, ego vehicle: {job.kind.replace('_', ' ')}", str(log["token"]))


def shared_tables(root: Path, tables: Tables) -> Tables:
    """Write the map and return the tables that belong to no scene."""
    return {
        "category": [category_row(name, shapes) for name, shapes in CATEGORY_SHAPES.items()],
        "attribute": attribute_rows(ATTRIBUTES),
        "visibility": [
            {
                "token": str(i),
                "level": level,
                "description": f"{level[1:]} % of the object is visible in the six images",
            }
            for i, level in enumerate(VISIBILITY, 1)
        ],
        "sensor": sensor_rows([LIDAR], [camera.channel for camera in CAMERAS]),
        "map": _write_map(root, [str(row["token"]) for row in tables["log"]]),
    }


def _write_map(root: Path, log_tokens: list[str]) -> list[Row]:
    """Draw the crossing as a small mask, 4 px a metre, and return the map table."""
    y, x = np.mgrid[-60:60:0.25, -60:60:0.25]
    road = (np.abs(y) < MAIN_HALF_M) | (np.abs(x) < CROSS_HALF_M)
    (root / MAP_FILE).parent.mkdir(parents=True)
    Image.fromarray(np.where(road, 255, 0).astype(np.uint8)).save(root / MAP_FILE)
    row: Row = {"token": stable_token("map"), "log_tokens": log_tokens, "category": "semantic_prior"}
    return [{**row, "filename": MAP_FILE}]


CAR = Rig(
    dataset="city",
    official_scenes=create_splits_scenes,
    scenes={"mini_train": 6, "mini_val": 2},
    kinds=KINDS,
    duration_s=3.0,
    image_size_px=(1280, 720),
    record_scene=record_scene,
    tables=SharedTables("v1.0-mini", TABLES, shared_tables),
)
