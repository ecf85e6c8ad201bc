"""Meshes to triplets: axes, scale, colours, counts, the same bytes, and what is broken."""

import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import trimesh
from PIL import Image

from blendclip import schemas
from blendclip.datasets.cad.objects import BrokenObjectError, box_R_source
from blendclip.datasets.cad.surface import read_surface
from blendclip.datasets.cad.writing import CadFiles, CadPart, open_reader, write_cad
from blendclip.datasets.formats import format_named
from blendclip.errors import UserError
from blendclip.options import parse
from tests.real import REAL

SMALL = {"views": 3, "image_px": 64, "points": 2000}


def files_in(folder, part=0):
    names = {"views": "views", "rejects": "rejects", "triplets": "triplets", "captions": "captions"}
    return CadFiles(**{key: folder / name / f"part-{part:05d}.parquet" for key, name in names.items()})


def write(root, folder, *, split="train", part=0, parts=1, max_fault_fraction=0.0, **options):
    """Write a folder of meshes; return triplets, views, captions and rejects as lists of rows."""
    chosen = parse(format_named("meshes", "cad").options_class(), SMALL | options)
    files = files_in(folder, part)
    reader = open_reader("meshes", root, chosen)
    write_cad(reader, CadPart("things", split, part, parts), files, chosen, max_fault_fraction)
    return [pq.read_table(path).to_pylist() for path in (files.triplets, files.views, files.captions, files.rejects)]


def table(root, rows):
    root.mkdir(exist_ok=True)
    (root / "objects.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def rod(long_axis, size=2.0):
    """A box that is four times as long along one axis."""
    extents = np.full(3, size / 4)
    extents["xyz".index(long_axis)] = size
    return trimesh.creation.box(extents)


@pytest.mark.parametrize(
    ("up", "front", "long_axis", "expected"),
    [
        ("y", None, "y", 2),
        ("z", None, "z", 2),
        ("x", None, "x", 2),
        ("y", None, "z", 0),
        ("z", "-y", "y", 0),
        ("y", "x", "z", 1),
    ],
)
def test_axes(tmp_path, up, front, long_axis, expected):
    table(tmp_path / "in", [{"path": "rod.ply", "name": "rod", "up": up, "front": front}])
    rod(long_axis).export(tmp_path / "in" / "rod.ply")
    (row,), *_ = write(tmp_path / "in", tmp_path / "out")
    assert row["size_lwh_m"] == pytest.approx([2.0 if axis == expected else 0.5 for axis in range(3)])
    points = np.array(row["points"])
    assert np.abs(points[:, expected]).max() == pytest.approx(1.0, abs=0.01)
    assert np.abs(points).max(axis=0).argmax() == expected


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_the_turn_is_a_rotation_not_a_mirror(up):
    for front in (None, *(sign + axis for axis in "xyz" if axis != up for sign in ("", "-"))):
        turn = box_R_source(up, front)
        assert np.linalg.det(turn) == pytest.approx(1)
        assert turn @ np.eye(3)["xyz".index(up)] == pytest.approx([0, 0, 1])


def test_gltf_looks_along_z_with_its_left_on_x(tmp_path):
    assert box_R_source("y") @ [0, 0, 1] == pytest.approx([1, 0, 0])
    assert box_R_source("y") @ [1, 0, 0] == pytest.approx([0, 1, 0])


def test_scale_and_centre(tmp_path):
    shifted = rod("z").apply_translation([10, 20, 30])
    table(tmp_path / "in", [{"path": "rod.stl", "name": "rod"}])
    shifted.export(tmp_path / "in" / "rod.stl")
    (row,), *_ = write(tmp_path / "in", tmp_path / "out", up="z", unit_m=0.01)
    assert row["size_lwh_m"] == pytest.approx([0.005, 0.005, 0.02])
    assert np.array(row["points"]).mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-3)


def test_points_are_uniform_over_the_area_and_coloured_by_their_face(tmp_path):
    mesh = trimesh.creation.box([1, 1, 3])
    rgb = np.array([[250, 10, 20, 255], [10, 250, 30, 255]], np.uint8)
    mesh.visual = trimesh.visual.ColorVisuals(
        mesh, face_colors=rgb[(np.abs(mesh.face_normals[:, 2]) > 0.5).astype(int)]
    )
    table(tmp_path / "in", [{"path": "box.ply", "name": "box", "up": "z"}])
    mesh.export(tmp_path / "in" / "box.ply")
    (row,), *_ = write(tmp_path / "in", tmp_path / "out", points=20000)
    ends = np.abs(np.array(row["points"])[:, 2]) > 1.5 - 1e-6
    assert ends.mean() == pytest.approx(2 / 14, abs=0.01), "two of fourteen squares"
    assert (np.array(row["rgb"]) == np.where(ends[:, None], rgb[1, :3], rgb[0, :3])).all()
    assert row["num_points"] == len(row["points"]) == len(row["rgb"]) == 20000


def test_vertex_colours_are_interpolated(tmp_path):
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1]], float)
    mesh = trimesh.Trimesh(corners, [[0, 1, 2]], vertex_colors=[[0, 0, 0], [250, 0, 0], [0, 250, 0]], process=False)
    mesh.export(tmp_path / "triangle.ply")
    points, rgb, _ = read_surface(tmp_path / "triangle.ply").sample(500, np.random.default_rng(1))
    assert np.abs(rgb[:, :2] - 250 * points[:, [0, 2]]).max() < 0.51


def test_material_factors_are_light_not_srgb(tmp_path):
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=[128, 128, 128, 255])
    box = trimesh.creation.box()
    box.visual = trimesh.visual.TextureVisuals(uv=np.zeros((8, 2)), material=material)
    box.export(tmp_path / "box.glb")
    _, rgb, _ = read_surface(tmp_path / "box.glb").sample(10, np.random.default_rng(1))
    assert (rgb == 188).all(), "half the light is 188 of 255 in sRGB"


def test_columns_and_metadata(tmp_path):
    texts = {"names": ["rod", "bar"], "captions": ["A grey rod.", "A bar of metal."]}
    table(tmp_path / "in", [{"path": "rod.ply", "category": "bars", "up": "z"} | texts])
    rod("x").export(tmp_path / "in" / "rod.ply")
    (row,), views, captions, rejects = write(tmp_path / "in", tmp_path / "out")
    assert row["triplet_id"] == "things/rod" and row["instance_token"] == row["annotation_token"] == "rod"
    assert row["category"] == row["class_name"] == "bars" and row["evaluated"] is False
    assert (row["caption"], row["caption_model"], row["channel"]) == ("A grey rod.", "table", "view_00")
    nulls = (
        "scene sample_token intensity time_lag_s num_lidar_pts velocity_mps distance_m visibility caption_prompt_sha"
    )
    assert all(row[name] is None for name in nulls.split())
    assert row["translation"] == [0, 0, 0] and row["rotation_wxyz"] == [1, 0, 0, 0] and row["view_time_gap_us"] == 0
    assert [view["view_id"] for view in views] == [f"things/rod/view_{k:02d}" for k in range(3)]
    assert views[0]["image"] == row["image"] and not rejects
    assert [text["caption"] for text in captions] == ["A grey rod.", "A bar of metal.", "A grey rod."]
    assert {view["view_id"] for view in views} == {text["view_id"] for text in captions}
    schema = pq.read_schema(files_in(tmp_path / "out").triplets)
    assert schema.equals(schemas.TRIPLETS) and b"huggingface" in schema.metadata


def test_views_go_around_and_show_the_object(tmp_path):
    table(tmp_path / "in", [{"path": "rod.ply", "name": "rod", "up": "z"}])
    rod("z").export(tmp_path / "in" / "rod.ply")
    _, views, *_ = write(tmp_path / "in", tmp_path / "out", views=4)
    turns = np.diff([view["camera_azimuth_rad"] for view in views]) % (2 * np.pi)
    assert turns == pytest.approx(np.pi / 2, abs=0.3)
    for view in views:
        image = np.asarray(Image.open(io.BytesIO(view["image"]["bytes"])).convert("L")).astype(int)
        seen = image < 225
        assert image.shape == (64, 64) and 0.1 < seen.mean() < 0.6
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        assert np.ptp(rows) > 50 and np.ptp(rows) > np.ptp(columns), "a rod that stands, and fills the picture"


def test_a_csv_table_and_names_alone(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "objects.csv").write_text("path,names,split,up\nrod.off,egg|oval thing,test,z\n")
    rod("z").export(tmp_path / "in" / "rod.off")
    (row,), _, captions, _ = write(tmp_path / "in", tmp_path / "out", split="test")
    assert (row["caption"], row["caption_model"], row["category"]) == ("An egg.", "names", "egg")
    assert [text["caption"] for text in captions] == ["An egg.", "An oval thing.", "An egg."]


def broken_meshes(root):
    """A table of one good and several broken objects, and the rule that each of these breaks."""
    good = trimesh.creation.box()
    good.export(root / "good.ply")
    (root / "text.glb").write_text("this is no mesh")
    flat = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False)
    flat.export(root / "flat.ply")
    holed = np.where(good.vertices > 0.4, np.nan, good.vertices)
    trimesh.Trimesh(holed, good.faces, process=False).export(root / "nan.ply")
    (root / "points.ply").write_bytes(trimesh.PointCloud(good.vertices).export(file_type="ply"))
    (root / "empty.obj").write_text("# nothing\n")
    good.export(root / "unnamed.ply")
    return {
        "missing.ply": "missing_mesh",
        "text.glb": "unreadable_mesh",
        "flat.ply": "zero_area",
        "nan.ply": "not_finite",
        "points.ply": "empty_mesh",
        "empty.obj": ("unreadable_mesh", "empty_mesh"),
        "unnamed.ply": "no_caption",
    }


def test_broken_objects_become_rejects_with_a_reason(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    rules = broken_meshes(root)
    named = [{"path": path, "name": "thing", "up": "z"} for path in ("good.ply", *rules) if path != "unnamed.ply"]
    table(root, [*named, {"path": "unnamed.ply", "up": "z"}])
    triplets, views, _, rejects = write(root, tmp_path / "out", max_fault_fraction=1.0)
    assert [row["annotation_token"] for row in triplets] == ["good"] and len(views) == 3
    found = {row["path"]: row["rule"] for row in rejects}
    assert found.keys() == rules.keys()
    assert all(found[path] == rule or found[path] in rule for path, rule in rules.items()), found
    assert all(row["kind"] == "fault" and row["stage"] == "cad" and row["reason"] for row in rejects)


def test_too_many_broken_objects_stop_the_job_and_leave_nothing(tmp_path):
    table(tmp_path / "in", [{"path": "missing.ply", "name": "thing", "up": "z"}])
    with pytest.raises(UserError, match="1 of 1 objects are broken.*missing.ply: there is no such file"):
        write(tmp_path / "in", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"path": "rod.ply", "name": "rod"}], "nothing says which axis of rod.ply points up"),
        (
            [{"path": "rod.ply", "name": "rod", "up": "z"}, {"path": "b.ply", "captions": ["a", 5]}],
            "row 2 .* 5 for capt",
        ),
        ([{"path": "rod.ply", "category": {}}], "row 1 of .* has {} for category: write a text"),
        (["rod.ply"], "row 1 of .* is no object"),
        ([{"path": "rod.ply", "colour": "red"}], "has a column 'colour'"),
        ([{"name": "rod"}], "row 1 .* has no path"),
        ([{"path": "rod.ply", "split": "test"}], "no object in split 'train', but in test"),
        ([{"path": "rod.ply", "id": "a", "up": "z"}, {"path": "b.ply", "id": "a"}], "two objects 'a'"),
        ([{"path": "rod.ply", "name": "rod", "up": "z", "front": "z"}], "both along z"),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path, rows, sentence):
    table(tmp_path / "in", rows)
    rod("x").export(tmp_path / "in" / "rod.ply")
    with pytest.raises(UserError, match=sentence):
        write(tmp_path / "in", tmp_path / "out")


def test_no_table_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="has none of objects.jsonl"):
        write(tmp_path, tmp_path / "out")


def test_the_bytes_depend_on_the_object_alone(tmp_path):
    table(tmp_path / "in", [{"path": f"{axis}.ply", "name": axis, "up": "z"} for axis in "xyz"])
    for axis in "xyz":
        rod(axis).export(tmp_path / "in" / f"{axis}.ply")
    whole, *_ = write(tmp_path / "in", tmp_path / "whole")
    again = files_in(tmp_path / "again")
    write(tmp_path / "in", tmp_path / "again")
    first = files_in(tmp_path / "whole")
    for one, other in ((first.triplets, again.triplets), (first.views, again.views), (first.rejects, again.rejects)):
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()
    parts = {part: write(tmp_path / "in", tmp_path / "parts", part=part, parts=2)[0] for part in (1, 0)}
    assert [parts[0][0], parts[1][0], parts[0][1]] == whole


def real_folder(name):
    if not (REAL / name).is_dir():
        pytest.skip(f"the real meshes {name} are not on this machine")
    return REAL / name


def test_real_glb_colours_are_those_of_the_texture():
    path = real_folder("kenney_meshes") / "models" / "vehicle-truck-red.glb"
    points, rgb, _ = read_surface(path).sample(400, np.random.default_rng(0))
    scene = trimesh.load_scene(path)
    merged = scene.to_geometry()
    closest, _, face = trimesh.proximity.closest_point_naive(merged, points.astype(float))
    assert np.abs(closest - points).max() < 1e-5
    weights = trimesh.triangles.points_to_barycentric(merged.triangles[face], closest)
    uv = (merged.visual.uv[merged.faces[face]] * weights[..., None]).sum(axis=1)
    expected = trimesh.visual.color.uv_to_color(uv, merged.visual.material.baseColorTexture)[:, :3]
    assert (np.abs(rgb.astype(int) - expected).max(axis=1) <= 2).mean() > 0.97  # edges of two faces have two colours


def test_real_meshes_stand_upright_and_look_ahead(tmp_path):
    models = real_folder("kenney_meshes") / "models"
    table(tmp_path / "in", [{"path": path.name, "name": path.stem} for path in sorted(models.glob("*.glb"))])
    shutil.copytree(models, tmp_path / "in", dirs_exist_ok=True)
    triplets, *_ = write(tmp_path / "in", tmp_path / "out")
    assert len(triplets) == 5
    for row in triplets:
        length, width, height = row["size_lwh_m"]
        assert length > 1.4 * width and length > 1.4 * height, row["triplet_id"]
        points, rgb = np.array(row["points"]), np.array(row["rgb"])
        low = points[:, 2] < -0.35 * height
        assert rgb[low].mean() < rgb[~low].mean(), "tyres are dark, and below"


def test_a_mesh_without_its_texture_is_rejected(tmp_path):
    shutil.copy(real_folder("kenney_meshes") / "models" / "vehicle-truck-red.glb", tmp_path)
    with pytest.raises(BrokenObjectError, match="it wants Textures/colormap.png, which is not beside it"):
        read_surface(tmp_path / "vehicle-truck-red.glb")


def test_real_off_meshes(tmp_path):
    folder = real_folder("modelnet40_off")
    rows = [
        {"path": path.name, "name": path.stem.rsplit("_", 1)[0], "up": "z"} for path in sorted(folder.glob("*.off"))
    ]
    table(tmp_path / "in", rows)
    for row in rows:
        (tmp_path / "in" / row["path"]).symlink_to(folder / row["path"])
    triplets, *_ = write(tmp_path / "in", tmp_path / "out", unit_m=0.01)
    assert [row["category"] for row in triplets] == ["airplane"] + 3 * ["bathtub"] + 3 * ["bed"]
    for row in triplets:
        name = Path(row["triplet_id"]).name
        corners = trimesh.load(folder / f"{name}.off", process=False).triangles.reshape(-1, 3)
        assert row["size_lwh_m"] == pytest.approx(np.ptp(corners, axis=0) * 0.01)


def test_unreadable_meshes_say_so(tmp_path):
    (tmp_path / "broken.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 one 0\n3 0 1 2\n")
    with pytest.raises(BrokenObjectError) as caught:
        read_surface(tmp_path / "broken.off")
    assert caught.value.rule.name == "unreadable_mesh"
