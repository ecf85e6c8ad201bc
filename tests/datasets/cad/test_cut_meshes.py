"""Meshes cut anywhere: a fault, or the whole mesh where only the end of the last line was cut."""

import json
import os
import shutil
import struct
import zlib

import numpy as np
import pytest
import trimesh
from PIL import Image

from blendclip.datasets.cad.objects import BrokenObjectError
from blendclip.datasets.cad.surface import read_surface
from tests.real import REAL

CUT_RULES = {"truncated_mesh", "unreadable_mesh", "empty_mesh", "zero_area"}


def triangles(path):
    """The triangles that a file holds, in the order of their coordinates."""
    corners = read_surface(path).corners.reshape(-1, 9)
    return corners[np.lexsort(corners.T)]


def places(content, count=40):
    """Where to cut: evenly, at the ends of lines near the end, and at each of the last bytes."""
    spread = np.linspace(0, len(content), count, endpoint=False).astype(int).tolist()
    lines = [place for place in range(len(content) - 400, len(content)) if content[place : place + 1] == b"\n"]
    near = [place + step for place in lines for step in (0, 1, 2)]
    return sorted({place for place in [*spread, *near, *range(len(content) - 30, len(content))] if place >= 0})


def in_last_number(content, place):
    """Whether a text is cut between the digits of its last number, which nothing can tell."""
    end = len(content.rstrip())
    return content.isascii() and end - len(content.split()[-1]) < place < end


def check_cuts(tmp_path, content, suffix, also=frozenset()):
    """Each cut is a fault or gives the whole mesh; return how many were faults."""
    path = tmp_path / f"mesh{suffix}"
    path.write_bytes(content)
    whole, faults = triangles(path), 0
    for place in places(content):
        path.write_bytes(content[:place])
        try:
            found = triangles(path)
        except BrokenObjectError as error:
            assert error.rule.name in CUT_RULES | also, (place, error)
            faults += 1
            continue
        if not in_last_number(content, place):
            np.testing.assert_array_equal(found, whole, err_msg=f"cut at {place} of {len(content)}")
    return faults


def ball_and_box():
    """A mesh of two pieces."""
    return trimesh.util.concatenate(
        [trimesh.creation.icosphere(subdivisions=2), trimesh.creation.box().apply_translation([3, 0, 0])]
    )


def ascii_stl(mesh):
    return trimesh.exchange.stl.export_stl_ascii(mesh).encode()


WRITTEN = {
    "off": (".off", lambda mesh: mesh.export(file_type="off").encode()),
    "off in one line": (".off", lambda mesh: mesh.export(file_type="off").replace("OFF\n", "OFF", 1).encode()),
    "ascii ply": (".ply", lambda mesh: mesh.export(file_type="ply", encoding="ascii")),
    "binary ply": (".ply", lambda mesh: mesh.export(file_type="ply")),
    "binary stl": (".stl", lambda mesh: mesh.export(file_type="stl")),
    "ascii stl": (".stl", ascii_stl),
    "glb": (".glb", lambda mesh: mesh.export(file_type="glb")),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_every_cut_of_a_written_mesh_is_a_fault(tmp_path, name):
    suffix, written = WRITTEN[name]
    assert check_cuts(tmp_path, written(ball_and_box()), suffix) > 30


def test_a_cut_of_an_obj_is_a_fault_but_after_a_whole_face_and_in_its_last_number(tmp_path):
    content, path = ball_and_box().export(file_type="obj").encode(), tmp_path / "mesh.obj"
    for place in range(content.index(b"\nf ") + 2, len(content), 7):
        path.write_bytes(content[:place])
        last = content[:place].splitlines()[-1].split()
        if len(last) == 4:
            assert len(triangles(path)) == content[:place].count(b"\nf ")
        else:
            with pytest.raises(BrokenObjectError, match="is incomplete"):
                read_surface(path)


@pytest.mark.parametrize("percent", [55, 65, 75, 85, 95])
@pytest.mark.parametrize("name", ["airplane_0003", "bathtub_0001", "bed_0001"])
def test_real_off_meshes_cut_short_are_faults(tmp_path, name, percent):
    source = REAL / "modelnet40_off" / f"{name}.off"
    if not source.is_file():
        pytest.skip("the real meshes are not on this machine")
    content = source.read_bytes()
    (tmp_path / "cut.off").write_bytes(content[: len(content) * percent // 100])
    with pytest.raises(BrokenObjectError) as caught:
        read_surface(tmp_path / "cut.off")
    assert caught.value.rule.name == "truncated_mesh"


@pytest.mark.parametrize("name", ["bathtub_0002", "bed_0003"])
def test_every_cut_of_a_real_off_mesh(tmp_path, name):
    source = REAL / "modelnet40_off" / f"{name}.off"
    if not source.is_file():
        pytest.skip("the real meshes are not on this machine")
    assert check_cuts(tmp_path, source.read_bytes(), ".off") > 40


def test_every_cut_of_a_real_glb(tmp_path):
    models = REAL / "kenney_meshes" / "models"
    if not models.is_dir():
        pytest.skip("the real meshes are not on this machine")
    shutil.copytree(models / "Textures", tmp_path / "Textures")
    content = (models / "vehicle-truck-red.glb").read_bytes()
    assert check_cuts(tmp_path, content, ".glb") == len(places(content)), "a GLB says its length"


SQUARE = b"4 2 0\n0 0 0\n2 0 0\n2 1 5\n0 1 5\n3 0 1 2\n3 0 2 3\n"


@pytest.mark.parametrize(
    "content",
    [
        b"OFF\n" + SQUARE,
        b"OFF" + SQUARE,
        b"# made by hand\nOFF # counts\n" + SQUARE,
        b"OFF\n4 2 0 # four\n# corners\n" + SQUARE[6:],
        (b"OFF\n" + SQUARE).replace(b"\n3 0 2 3", b"\n# the other half, OFF it is\n\n3 0 2 3 # last"),
        (b"OFF\n" + SQUARE).replace(b"\n", b"\r\n"),
        (b"OFF\n" + SQUARE).rstrip() + b"  \n\n# the end",
        b"OFF\n4 1 0\n0 0 0\n2 0 0\n2 1 5\n0 1 5\n4 0 1 2 3\n",
    ],
)
def test_comments_and_lines_of_an_off_file_change_nothing(tmp_path, content):
    (tmp_path / "a.off").write_bytes(content)
    corners = read_surface(tmp_path / "a.off").corners
    assert corners.shape == (2, 3, 3)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    assert area == pytest.approx(2 * np.hypot(1, 5))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.off", b"OFF\n4 3 0\n" + SQUARE[6:], "it should have 3 faces and has 2"),
        ("a.off", b"OFF\n9 0 0\n" + SQUARE[6:], "it should have 9 vertices and has 6"),
        ("a.off", b"OFF\n" + SQUARE.replace(b"3 0 1 2", b"4 0 1 2"), "its line 4 0 1 2 is incomplete"),
        ("a.off", b"OFF\n# nothing", "its header has no end"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "a face names vertex 4, and it has 3"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 0\n", "a face names vertex 0, and they are counted from 1"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/2\n", "names texture vertex 2, and it has 1"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1/1/1 2/1/1 3/\n", "its line f 1/1/1 2/1/1 3/ is incomplete"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nv 0 0 1\nv 1\n", "its line v 1 is incomplete"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nv 0 0 1\nv 1 1 1\n", "its last 2 vertices have no face"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 0 0 1\nv 1 1 1\nf -1 -2 -3\n", "from the last one"),
        ("a.stl", b"solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n", "ends no solid"),
        (
            "a.stl",
            b"solid a\n" + 2 * b"facet normal 0 0 1\nvertex 0 0 0\nvertex 1 0 0\nendfacet\n" + b"endsolid a",
            "its 2 facets have 4 vertices",
        ),
        ("a.stl", bytes(80) + struct.pack("<I", 3) + bytes(100), "should have 234 bytes and has 184"),
        ("a.glb", b"glTF" + struct.pack("<II", 2, 900) + bytes(500), "should have 900 bytes and has 512"),
    ],
)
def test_what_is_missing_is_said(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BrokenObjectError, match=sentence):
        read_surface(tmp_path / name)


@pytest.mark.parametrize(
    "faces",
    [
        b"f 1 2 3\nf 1 3 4\n",
        b"f 1 2 3 4",
        b"f 1/1 2/2 3/3 4/4\n",
        b"f 1//1 2//1 3//1\nf 1//1 3//1 4//1\n",
        b"f 1/1/1 2/2/1 3/3/1\nf 1/1/1 3/3/1 4/4/1\n",
        b"f 1/1/ 2/2/ 3/3/ 4/4/\n",
        b"# first\nf 1 2 3 \nf 1/1/1 3/3/1 4/4/1\r\n",
        b"f -4 -3 -2\nf -4 -2 -1\n",
        b"f 1 2 \\\n3 4\n",
        b"f 1 2 3\nf 1 3 4\nl 1 2\n",
    ],
)
def test_every_way_to_write_a_face_is_read(tmp_path, faces):
    vertices = b"v 0 0 0\nv 1 0 0 \nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvn 0 0 1\n"
    (tmp_path / "a.obj").write_bytes(vertices + faces)
    corners = read_surface(tmp_path / "a.obj").corners
    assert corners.shape == (2, 3, 3) and corners.mean() > 0


def test_another_model_of_the_folder_is_not_read_instead(tmp_path):
    trimesh.creation.box().export(tmp_path / "model.gltf")
    (tmp_path / "cut.gltf").write_bytes((tmp_path / "model.gltf").read_bytes()[:-20])
    with pytest.raises(BrokenObjectError) as caught:
        read_surface(tmp_path / "cut.gltf")
    assert caught.value.rule.name == "unreadable_mesh"


def painted(folder, suffix, image="PNG"):
    """A textured box in a folder, and the file that holds its image: itself, where the image is inside."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"paint.{image.lower()}", image)
    box = trimesh.creation.box()
    material = trimesh.visual.material.SimpleMaterial(image=Image.open(folder / f"paint.{image.lower()}"))
    box.visual = trimesh.visual.TextureVisuals(uv=np.random.default_rng(1).random((8, 2)), material=material)
    if suffix == ".obj":
        text, files = trimesh.exchange.obj.export_obj(box, return_texture=True, mtl_name="paint.mtl")
        (folder / "box.obj").write_text(text)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        texture = next(folder / name for name in files if not name.endswith(".mtl"))
        texture.write_bytes((folder / f"paint.{image.lower()}").read_bytes())
        return folder / "box.obj", texture
    box.export(folder / f"box{suffix}")
    return folder / f"box{suffix}", next((path for path in folder.glob("*.bin")), folder / f"box{suffix}")


@pytest.mark.parametrize("image", ["PNG", "JPEG", "BMP"])
def test_a_texture_that_is_cut_is_a_fault(tmp_path, image):
    path, texture = painted(tmp_path, ".obj", image)
    assert len(np.unique(read_surface(path).sample(100, np.random.default_rng(0))[1], axis=0)) > 50
    content = texture.read_bytes()
    for share in (0, 0.01, 0.3, 0.6, 0.9, 0.99):
        texture.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(BrokenObjectError, match=f"its image {texture.name} cannot be decoded") as caught:
            read_surface(path)
        assert caught.value.rule.name == "broken_texture"
    texture.write_text("no image")
    with pytest.raises(BrokenObjectError, match="UnidentifiedImageError"):
        read_surface(path)
    texture.unlink()
    with pytest.raises(BrokenObjectError, match="which is not beside it"):
        read_surface(path)
    os.mkfifo(texture)
    with pytest.raises(BrokenObjectError, match="a named pipe, not a file"):
        read_surface(path)


@pytest.mark.parametrize("image", ["PNG", "JPEG"])
def test_a_texture_with_a_damaged_byte_is_a_fault(tmp_path, image):
    path, texture = painted(tmp_path, ".obj", image)
    content = bytearray(texture.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = 40 * b"\xff\xd9"
    texture.write_bytes(bytes(content[: texture.stat().st_size]))
    with pytest.raises(BrokenObjectError, match="cannot be decoded"):
        read_surface(path)


def test_a_gltf_whose_buffer_is_cut_is_a_fault(tmp_path):
    path, _ = painted(tmp_path, ".gltf")
    for buffer in tmp_path.glob("*.bin"):
        content = buffer.read_bytes()
        buffer.write_bytes(content[:-1])
        with pytest.raises(BrokenObjectError):
            read_surface(path)
        buffer.write_bytes(content)
    read_surface(path)


def test_an_image_that_a_ply_names_must_be_decoded(tmp_path):
    corners = b"0 0 0 0 0\n1 0 0 1 0\n0 1 0 0 1\n"
    properties = b"".join(b"property float %s\n" % name for name in (b"x", b"y", b"z", b"s", b"t"))
    header = b"ply\nformat ascii 1.0\ncomment TextureFile paint.png\nelement vertex 3\n" + properties
    header += b"element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "a.ply").write_bytes(header + corners + b"3 0 1 2\n")
    Image.new("RGB", (4, 4), (200, 10, 30)).save(tmp_path / "paint.png")
    assert (read_surface(tmp_path / "a.ply").sample(9, np.random.default_rng(0))[1] == [200, 10, 30]).all()
    (tmp_path / "paint.png").write_bytes((tmp_path / "paint.png").read_bytes()[:-20])
    with pytest.raises(BrokenObjectError, match="its image paint.png cannot be decoded"):
        read_surface(tmp_path / "a.ply")


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_an_image_inside_that_cannot_be_decoded_is_a_fault(tmp_path, suffix):
    path, holder = painted(tmp_path, suffix)
    assert len(np.unique(read_surface(path).sample(100, np.random.default_rng(0))[1], axis=0)) > 50
    holders = list(tmp_path.glob("*.bin")) if suffix == ".gltf" else [holder]
    (holder,) = [one for one in holders if b"\x89PNG" in one.read_bytes()] or holders[:1]
    content = holder.read_bytes()
    start = content.index(b"\x89PNG")
    for place, damage in ((start, b"\0"), (start + 200, bytes(50))):
        holder.write_bytes(content[:place] + damage + content[place + len(damage) :])
        with pytest.raises(BrokenObjectError, match="cannot be decoded") as caught:
            read_surface(path)
        assert caught.value.rule.name == "broken_texture"


def test_an_image_of_a_format_that_is_not_read_is_a_fault_where_it_colours(tmp_path):
    """Basis Universal alone; beside a PNG it is left aside, and so is what colours nothing."""
    path, _ = painted(tmp_path, ".gltf")
    tree = json.loads(path.read_text())
    (tmp_path / "new.ktx2").write_bytes(b"\xabKTX 20\xbb")
    tree["images"].append({"uri": "new.ktx2", "mimeType": "image/ktx2"})
    tree["textures"].append({"source": len(tree["images"]) - 1})
    path.write_text(json.dumps(tree))
    read_surface(path)
    basis = {"KHR_texture_basisu": {"source": len(tree["images"]) - 1}}
    tree["textures"][0]["extensions"] = basis
    path.write_text(json.dumps(tree))
    read_surface(path)
    tree["textures"][0] = {"extensions": basis}
    path.write_text(json.dumps(tree))
    with pytest.raises(BrokenObjectError, match="its image new.ktx2 cannot be decoded"):
        read_surface(path)


def test_a_texture_beyond_all_bounds_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as the devkit of nuScenes lifts Pillow's own limit
    path, texture = painted(tmp_path, ".obj")
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    texture.write_bytes(texture.read_bytes()[:8] + chunk + texture.read_bytes()[8 + len(chunk) :])
    with pytest.raises(BrokenObjectError, match="3600000000 pixels"):
        read_surface(path)
