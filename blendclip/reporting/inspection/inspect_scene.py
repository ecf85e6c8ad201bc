"""The projection check: drawings of a scene that show at a glance whether calibration, axes and times are right."""

from __future__ import annotations

from pathlib import Path

from blendclip.errors import UserError
from blendclip.mining.scene import Scene, read_scene, read_scenes
from blendclip.plain_names import inside
from blendclip.reporting.inspection.above import draw_above
from blendclip.reporting.inspection.cameras import draw_cameras
from blendclip.reporting.inspection.colored import draw_colored
from blendclip.reporting.inspection.moment import moment_of
from blendclip.reporting.inspection.movers import draw_movers


def inspect_scene(
    index: Path, root: Path, output: Path, scene: str | None = None, keyframe: int | None = None, movers: int = 8
) -> list[Path]:
    """Write the drawings of a scene into `output/{scene}`; return their paths.

    Args:
        index: scene index of one split.
        root: folder of the dataset.
        output: folder to write into.
        scene: name or number of the scene; None for the first that has files.
        keyframe: number of the keyframe; None for the middle one of those with boxes.
        movers: most moving objects that the sheet of motion shows.

    Raises:
        UserError: the index, the scene, its keyframe, or all of the scene's files under `root` are missing.
    """
    moment = moment_of(_scene_with_files(index, root, scene), root, keyframe)
    folder = inside(output, *moment.scene.name.split("/"))
    folder.mkdir(parents=True, exist_ok=True)
    written = [*draw_cameras(moment, folder), *draw_above(moment, folder)]
    return [*written, *draw_movers(moment, folder, movers), *draw_colored(moment, folder)]


def _scene_with_files(index: Path, root: Path, name: str | None) -> Scene:
    first = read_scene(index, name)
    for scene in [first] if name is not None else read_scenes(index, 0, 1):
        if any((root / path).is_file() for path in (*scene.sweeps.path, *scene.images.path)):
            return scene
    files = len(first.sweeps) + len(first.images)
    raise UserError(f"none of the {files} files of scene {first.name} is under {root}: set --root")
