"""The car of Argoverse 2: two LiDARs in one sweep and nine cameras, written as that dataset. It makes cityav2.

Conventions: a sweep's timestamp is when it begins, and its points carry how much later each was measured; they stand in
the ego frame as it was at the timestamp, as if the car had stood still, while traffic has moved on. Boxes stand in the
ego frame at the timestamp, too, ten times a second. Images are as the lenses bend them, by the coefficients that
the calibration tells (those that Argoverse 2 releases were straightened, and its coefficients tell what was undone).
"""

from __future__ import annotations

from uuid import UUID

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from blendclip.randomness import stable_rng, stable_token
from blendclip.synthetic.city.av2_cast import KINDS, fill_av2_stage
from blendclip.synthetic.city.av2_sensors import CAMERAS, StackedSweep, stacked_sweep, world_SE3_axle
from blendclip.synthetic.city.av2_tables import (
    ANNOTATIONS,
    EGO_POSES,
    pose_columns,
    size_of,
    write_calibration,
    write_rows,
    write_sweep,
)
from blendclip.synthetic.city.camera import render_image
from blendclip.synthetic.city.cast import plan_scene
from blendclip.synthetic.city.motion import planar_SE3
from blendclip.synthetic.city.plan import CAR_BODY, ScenePlan, Thing
from blendclip.synthetic.city.raycasting import World
from blendclip.synthetic.city.recording import JPEG_QUALITY, draw_setting
from blendclip.synthetic.city.rig import Rig, SceneJob, SceneRecord
from blendclip.synthetic.city.tables import Row
from blendclip.synthetic.meshes.catalog import AV2_CATEGORY_SHAPES

CATEGORY = {shape: name for name, shapes in AV2_CATEGORY_SHAPES.items() for shape in shapes}
LOGS = {"train": 8, "val": 2}
"""How many logs of each split have a name."""
FIRST_TIMESTAMP_NS = 315_970_000_000_000_000
"""On a clock that does not count from 1970."""
SWEEP_NS = 100_000_000
JITTER_NS = (0, 194_000, -273_000)
"""By which sweeps in turn begin late."""
SWEEPS_PER_IMAGE = 5
EXPOSURE_NS = 214
"""Images begin at no whole microsecond."""
POSE_NS = 10_000_000
POSES_BEFORE, POSES_AFTER = 6, 40
"""The stream of ego poses begins before the first sweep and ends after the last one's last point."""
ANNOTATED_WITHIN_M = 120.0
SLOPE_DEG, HEIGHT_M = (0.4, -0.9), 13.1
"""How the street lies in the city frame, about its x and its y, and how high."""


def official_scenes() -> dict[str, list[str]]:
    """Return the names of the logs of each split."""
    return {
        split: [str(UUID(stable_token("cityav2", split, number))) for number in range(count)]
        for split, count in LOGS.items()
    }


class LogRecorder:
    """Writes the files of one log; times are nanoseconds after the scene's start."""

    def __init__(self, job: SceneJob, plan: ScenePlan) -> None:
        """Draw the scene's setting."""
        self.job, self.plan, self.world = job, plan, World(plan)
        self.key = f"{job.seed}/{job.name}"
        self.folder = job.root / job.split / job.name
        self.setting = draw_setting(self.key, job.order)
        self.start_ns = FIRST_TIMESTAMP_NS + 1000 * self.setting.offset_us
        sloping = np.eye(4)
        sloping[:3, :3] = Rotation.from_euler("xy", SLOPE_DEG, degrees=True).as_matrix()
        sloping[2, 3] = HEIGHT_M
        self.city_SE3_world = self.setting.global_SE3_world @ sloping
        turns = range(round(job.duration_s * 1e9) // SWEEP_NS + 1)
        self.sweeps_ns = [turn * SWEEP_NS + JITTER_NS[turn % len(JITTER_NS)] for turn in turns]
        self.images_ns: list[int] = []
        self.annotations: list[Row] = []
        self.record = SceneRecord({}, [])

    def track_uuid(self, thing: int) -> str:
        """Return the name of the track of a thing of the plan."""
        return str(UUID(stable_token(self.key, "track", thing)))

    def record_sweep(self, sweep_ns: int) -> None:
        """Write the sweep that begins at this time and its truth, and annotate it."""
        timestamp = self.start_ns + sweep_ns
        sweep = stacked_sweep(self.world, self.plan.ego, sweep_ns, stable_rng(self.key, "sweep", sweep_ns))
        write_sweep(self.folder / "sensors" / "lidar" / f"{timestamp}.feather", sweep)
        truth = self.job.root / "truth" / f"{self.job.name}_{timestamp}.npy"
        truth.parent.mkdir(parents=True, exist_ok=True)
        np.save(truth, sweep.truth)
        self.record.truth_files.append(truth.name)
        self._annotate(sweep_ns, sweep)

    def _annotate(self, sweep_ns: int, sweep: StackedSweep) -> None:
        axle_SE3_world = np.linalg.inv(world_SE3_axle(self.plan.ego, sweep_ns / 1e9))
        xyz_m = sweep.xyz_m.astype(float)
        for number, thing in enumerate(self.plan.things):
            world_SE3_box = planar_SE3(thing.motion.pose_at(sweep_ns / 1e9), thing.box_z_m)
            ego_SE3_box = axle_SE3_world @ world_SE3_box
            if thing.shape in CATEGORY and np.hypot(*ego_SE3_box[:2, 3]) <= ANNOTATED_WITHIN_M:
                self.annotations.append(
                    {
                        "timestamp_ns": self.start_ns + sweep_ns,
                        "track_uuid": self.track_uuid(number),
                        "category": CATEGORY[thing.shape],
                        **dict(zip(("length_m", "width_m", "height_m"), thing.size_lwh_m.tolist(), strict=True)),
                        **pose_columns(ego_SE3_box),
                        "num_interior_pts": _points_in(thing, ego_SE3_box, xyz_m),
                    }
                )

    def record_images(self, sweep_ns: int) -> None:
        """Write an image of each camera, taken while the sweep that begins at this time sees the same."""
        for number, camera in enumerate(CAMERAS):
            image_ns = sweep_ns + 1000 * camera.delay_us + EXPOSURE_NS + number
            self.images_ns.append(image_ns)
            self.world.move_to(image_ns / 1e9)
            size_px, light = size_of(camera, self.job.image_size_px), (self.setting.sun, self.setting.sunlight)
            seen = render_image(self.world, camera, world_SE3_axle(self.plan.ego, image_ns / 1e9), size_px, *light)
            image = Image.fromarray(seen.image)
            path = self.folder / "sensors" / "cameras" / camera.channel / f"{self.start_ns + image_ns}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            (image.convert("L") if camera.gray else image).save(path, quality=JPEG_QUALITY)

    def finish(self) -> SceneRecord:
        """Write calibration, ego poses and annotations; return what there is."""
        write_calibration(self.folder / "calibration", self.job.image_size_px)
        write_rows(self.folder / "city_SE3_egovehicle.feather", self._ego_poses(), EGO_POSES)
        # What no sweep of the log sees is not annotated; what one sees is in all of them, be it without a point.
        seen = {row["track_uuid"] for row in self.annotations if row["num_interior_pts"]}
        boxes = [row for row in self.annotations if row["track_uuid"] in seen]
        boxes.sort(key=lambda row: (row["timestamp_ns"], row["category"], row["track_uuid"]))
        write_rows(self.folder / "annotations.feather", boxes, ANNOTATIONS)
        log: Row = {"scene": self.job.name}
        self.record.instances = [
            {"token": self.track_uuid(number), "category": CATEGORY.get(thing.shape), "shape": thing.shape, **log}
            for number, thing in enumerate(self.plan.things)
        ]
        self.record.tables = {
            "scene": [log],
            "sample": [log for _ in self.sweeps_ns],
            "sample_data": [log for _ in (*self.sweeps_ns, *self.images_ns)],
            "instance": [log for _ in seen],
            "sample_annotation": boxes,
        }
        return self.record

    def _ego_poses(self) -> list[Row]:
        """Return the stream of ego poses: at the time of every file, and in between, some of them 2 ns apart."""
        steps = range(-POSES_BEFORE, self.sweeps_ns[-1] // POSE_NS + POSES_AFTER)
        between = [step * POSE_NS - 72_786 * (step % 3) + twin for step in steps for twin in (0, 2)[: 1 + step % 2]]
        rows: list[Row] = []
        for pose_ns in sorted({*self.sweeps_ns, *self.images_ns, *between}):
            city_SE3_ego = self.city_SE3_world @ world_SE3_axle(self.plan.ego, pose_ns / 1e9)
            rows.append({"timestamp_ns": self.start_ns + pose_ns, **pose_columns(city_SE3_ego)})
        return rows


def _points_in(thing: Thing, ego_SE3_box: np.ndarray, xyz_m: np.ndarray) -> int:
    """Return how many points (N, 3) in ego frame lie in the thing's box, wherever it was when each was measured."""
    half_m, offset_m = thing.size_lwh_m / 2, xyz_m - ego_SE3_box[:3, 3]
    near_m = offset_m[(abs(offset_m) <= np.linalg.norm(half_m)).all(axis=1)]
    return int((abs(near_m @ ego_SE3_box[:3, :3]) <= half_m).all(axis=1).sum())


def record_scene(job: SceneJob) -> SceneRecord:
    """Plan and record one log below job.root."""
    recorder = LogRecorder(job, plan_scene(job.name, job.kind, job.duration_s, job.seed, CAR_BODY, fill_av2_stage))
    for number, sweep_ns in enumerate(recorder.sweeps_ns):
        recorder.record_sweep(sweep_ns)
        if number % SWEEPS_PER_IMAGE == 0:
            recorder.record_images(sweep_ns)
    return recorder.finish()


AV2 = Rig(
    dataset="cityav2",
    official_scenes=official_scenes,
    scenes={"train": 2, "val": 1},
    kinds=KINDS,
    duration_s=3.0,
    image_size_px=(1024, 775),
    record_scene=record_scene,
)
