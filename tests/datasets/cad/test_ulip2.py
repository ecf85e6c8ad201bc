"""ULIP-2's Objaverse triplets, made here to the letter of the release, to triplets."""

import io
import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from blendclip.datasets.cad.ulip2 import CAPTIONS, CLOUDS, RENDERS, rgb_image
from blendclip.datasets.cad.writing import CadFiles, CadPart, open_reader, write_cad
from blendclip.datasets.formats import format_named
from blendclip.errors import UserError
from blendclip.options import parse

PREFIX = "/export/einstein-vision/3d_vision/objaverse/render_images_split_100"


def cloud(columns=6, scale=1.0):
    """A cloud as released: y up, colours 0-1 times `scale`; tall along y."""
    rng = np.random.default_rng(3)
    xyz = rng.uniform(-1, 1, (10000, 3)) * [0.2, 0.9, 0.4]
    rgb = np.where(xyz[:, 1:2] > 0, [1.0, 0.0, 0.2], [0.0, 0.0, 0.4]) * scale
    return np.column_stack([xyz, rgb])[:, :columns].astype(np.float32)


def render(number):
    """A picture whose grey is its number."""
    return np.full((32, 48, 3), 10 * number, np.uint8)


def add(root, uid, points, renders, captions, key="point_cloud"):
    for name in (CLOUDS, RENDERS):
        (root / name).mkdir(parents=True, exist_ok=True)
    if points is not None:
        np.savez(root / CLOUDS / f"{uid}_10000.npz", **{key: points})
    if renders is not None:
        with h5py.File(root / RENDERS / f"{uid}.hdf5", "w") as file:
            for number, image in renders.items():
                file[f"{uid}_r_{number:03d}.png"] = image
    path = root / CAPTIONS
    told = json.loads(path.read_text()) if path.is_file() else {}
    told |= {f"{PREFIX}/{uid}/{uid}_r_{number:03d}.png": texts for number, texts in captions.items()}
    path.write_text(json.dumps(told))


def write(root, folder, max_fault_fraction=0.0, split="train", **given):
    options = parse(format_named("ulip2", "cad").options_class(), given)
    names = ("views", "rejects", "triplets", "captions")
    files = CadFiles(**{name: folder / f"{name}.parquet" for name in names})
    write_cad(open_reader("ulip2", root, options), CadPart("ov", split), files, options, max_fault_fraction)
    return {name: pq.read_table(folder / f"{name}.parquet").to_pylist() for name in names}


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_round_trip(tmp_path, scale):
    made = cloud(scale=scale)
    captions = {k: [f"caption {k} best", "worse"] for k in range(12)}
    add(tmp_path / "in", "u1", made, {k: render(k) for k in range(12)}, captions)
    found = write(tmp_path / "in", tmp_path / "out")
    (row,) = found["triplets"]
    points, up = np.array(row["points"]), made[:, 1]
    assert row["size_lwh_m"] == pytest.approx(np.ptp(made[:, [2, 0, 1]].astype(float), axis=0))
    assert np.corrcoef(points[:, 2], up)[0, 1] == pytest.approx(1)
    assert (np.array(row["rgb"])[up > 0] == [255, 0, 51]).all()
    assert (row["caption"], row["caption_model"], row["channel"]) == ("caption 0 best", "ulip2", "u1_r_000")
    assert len(found["views"]) == len(found["captions"]) == 12
    texts = {text["view_id"]: text["caption"] for text in found["captions"]}
    for view in found["views"]:
        image = Image.open(io.BytesIO(view["image"]["bytes"]))
        number = int(view["channel"][-3:])
        assert image.size == (48, 32) and abs(int(np.asarray(image).mean()) - 10 * number) <= 1
        assert texts[view["view_id"]] == f"caption {number} best", "each render keeps its own caption"
        assert view["camera_azimuth_rad"] is None


def test_the_first_release_has_no_colours(tmp_path):
    add(tmp_path / "in", "u1", cloud(3), {0: render(1)}, {0: ["a box"]}, key="arr_0")
    (row,) = write(tmp_path / "in", tmp_path / "out")["triplets"]
    assert row["rgb"] is None and row["num_points"] == 10000


def test_fewer_views_are_spread_and_those_with_a_caption_come_first(tmp_path):
    add(tmp_path / "in", "u1", cloud(), {k: render(k) for k in range(12)}, {8: ["a box"]})
    found = write(tmp_path / "in", tmp_path / "out", views=3)
    assert [view["channel"] for view in found["views"]] == ["u1_r_008", "u1_r_000", "u1_r_004"]
    assert found["triplets"][0]["channel"] == "u1_r_008"


def test_splits_are_lists_of_ids(tmp_path):
    for uid in ("u1", "u2", "u3"):
        add(tmp_path / "in", uid, cloud(), {0: render(1)}, {0: [uid]})
    (tmp_path / "in" / "splits").mkdir()
    (tmp_path / "in" / "splits" / "val.txt").write_text("u3\nu1\n")
    assert [row["caption"] for row in write(tmp_path / "in", tmp_path / "out", split="val")["triplets"]] == ["u3", "u1"]
    with pytest.raises(UserError, match="splits/test.txt is missing"):
        write(tmp_path / "in", tmp_path / "out", split="test")


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4), (3, 4, 5), (4, 6, 5), (1, 4, 5)])
def test_images_of_every_layout(shape):
    image = rgb_image(np.full(shape, 100, np.uint8))
    assert image.shape[2] == 3 and image.dtype == np.uint8
    assert (
        image
        == (
            round(100 * 100 / 255 + 155)
            if 4 in (shape[0], shape[-1])
            and len(shape) == 3
            and (shape[-1] == 4 or shape[0] == 4 and shape[-1] not in (1, 3))
            else 100
        )
    ).all()


def test_broken_objects_become_rejects(tmp_path):
    root, good = tmp_path / "in", {0: render(1)}
    add(root, "good", cloud(), good, {0: ["a box"]})
    add(root, "nan", cloud() * np.nan, good, {0: ["a box"]})
    add(root, "few", cloud()[:3], good, {0: ["a box"]})
    add(root, "same", cloud()[:1].repeat(50, axis=0), good, {0: ["a box"]})
    add(root, "norender", cloud(), None, {0: ["a box"]})
    add(root, "nopicture", cloud(), {}, {0: ["a box"]})
    add(root, "notimage", cloud(), {0: np.zeros((3, 3), np.float32)}, {0: ["a box"]})
    add(root, "silent", cloud(), good, {0: ["", " "]})
    add(root, "otherkey", cloud(), good, {0: ["a box"]}, key="points")
    (root / CLOUDS / "cut_10000.npz").write_bytes(b"PK\x03\x04 no zip")
    (root / RENDERS / "badh5.hdf5").write_bytes(b"no hdf5")
    np.savez(root / CLOUDS / "badh5_10000.npz", point_cloud=cloud())
    found = write(root, tmp_path / "out", max_fault_fraction=1.0)
    assert [row["annotation_token"] for row in found["triplets"]] == ["good"]
    assert {row["annotation_token"]: row["rule"] for row in found["rejects"]} == {
        "nan": "not_finite",
        "few": "too_few_points",
        "same": "one_point",
        "norender": "missing_render",
        "nopicture": "missing_render",
        "notimage": "broken_render",
        "silent": "no_caption",
        "otherkey": "bad_cloud",
        "cut": "unreadable_cloud",
        "badh5": "broken_render",
    }


def test_broken_captions_are_one_sentence(tmp_path):
    add(tmp_path / "in", "u1", cloud(), {0: render(1)}, {0: ["a box"]})
    (tmp_path / "in" / CAPTIONS).write_text('{"a/b.png": ["x"], "cut')
    with pytest.raises(UserError, match="merged_data.json is no JSON object"):
        write(tmp_path / "in", tmp_path / "out")


def npy(shape, data=b""):
    """The bytes of a .npy file whose header says `shape`."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + data


def zipped(path, content, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("point_cloud.npy", content)


def damaged(path):
    """A compressed cloud whose first block is of no kind that there is."""
    zipped(path, npy((10000, 6), cloud().tobytes()), compression=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    content[30 + len("point_cloud.npy")] = 0xFF
    path.write_bytes(content)


def bomb(path):
    content = npy((2**26 // 6, 6), bytes(2**26 // 6 * 24))
    zipped(path, content, compression=zipfile.ZIP_DEFLATED, compresslevel=1)


CLOUD_FILES = {
    "deflate": damaged,
    "huge": lambda path: zipped(path, npy((10**12, 6))),
    "large": lambda path: zipped(path, npy((10**10, 6))),
    "short": lambda path: zipped(path, npy((10000, 6), bytes(1000))),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not found"),
    "array": lambda path: path.write_bytes(npy((10, 6), bytes(240))),
    "objects": lambda path: np.savez(path, point_cloud=np.array([{}])),
    "names": lambda path: np.savez(path, point_cloud=np.full((50, 6), "a")),
    "bomb": bomb,
}


def test_broken_cloud_files_are_rejects(tmp_path):
    root = tmp_path / "in"
    add(root, "good", cloud(), {0: render(1)}, {0: ["a box"]})
    for name, made in CLOUD_FILES.items():
        add(root, name, None, {0: render(1)}, {0: ["a box"]})
        made(root / CLOUDS / f"{name}_10000.npz")
    found = write(root, tmp_path / "out", max_fault_fraction=1.0)
    assert [row["annotation_token"] for row in found["triplets"]] == ["good"]
    rules = {row["annotation_token"]: row["rule"] for row in found["rejects"]}
    assert rules == dict.fromkeys(CLOUD_FILES, "unreadable_cloud")
    reasons = {row["annotation_token"]: row["reason"] for row in found["rejects"]}
    assert "(error: Error -3" in reasons["deflate"] and "MemoryError" in reasons["huge"]
    assert "are the most" in reasons["bomb"] and str(tmp_path) not in str(reasons)


def hdf5(root, uid, fill):
    add(root, uid, cloud(), {}, {0: ["a box"]})
    with h5py.File(root / RENDERS / f"{uid}.hdf5", "w") as file:
        fill(file, f"{uid}_r_000.png")


def external(file, name):
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["secret"] = render(3)
    file[name] = h5py.ExternalLink("other.h5", "/secret")


def raw(file, name):
    Path(file.filename).with_name("passwords").write_bytes(bytes(300))
    file.create_dataset(name, (10, 10, 3), np.uint8, external=[("passwords", 0, 300)])


def virtual(file, name):
    layout = h5py.VirtualLayout((32, 48, 3), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "secret", (32, 48, 3))
    file.create_virtual_dataset(name, layout)


def soft(file, name):
    file["z"] = render(1)
    file[name] = h5py.SoftLink("/z")


def looping(file, name):
    file[name] = h5py.SoftLink(f"/{name}")


def overwritten(file, name):
    chunk = file.create_dataset(name, data=render(1), compression="gzip", chunks=(32, 48, 3)).id.get_chunk_info(0)
    file.flush()
    with Path(file.filename).open("r+b") as content:
        content.seek(chunk.byte_offset)
        content.write(b"\xff" * chunk.size)


def holding(value):
    def fill(file, name):
        file[name] = value

    return fill


RENDER_FILES = {
    "external": external,
    "raw": raw,
    "virtual": virtual,
    "soft": soft,
    "looping": looping,
    "group": lambda file, name: file.create_group(name),
    "cycle": lambda file, name: holding(file["/"])(file, name),
    "vast": lambda file, name: file.create_dataset(name, (60_000, 60_000, 3), np.uint8),
    "long": holding(np.zeros((1, 70_000, 3), np.uint8)),
    "words": holding("an image"),
    "records": holding(np.zeros((3, 3), [("a", "u1")])),
    "nothing": holding(h5py.Empty("u1")),
    "deflate": overwritten,
}


def test_broken_render_files_are_rejects(tmp_path):
    root = tmp_path / "in"
    add(root, "good", cloud(), {0: render(1)}, {0: ["a box"]})
    for name, fill in RENDER_FILES.items():
        hdf5(root, name, fill)
    found = write(root, tmp_path / "out", max_fault_fraction=1.0)
    assert [row["annotation_token"] for row in found["triplets"]] == ["good"]
    rules = {row["annotation_token"]: row["rule"] for row in found["rejects"]}
    assert rules == dict.fromkeys(RENDER_FILES, "broken_render")
    reasons = {row["annotation_token"]: row["reason"] for row in found["rejects"]}
    for name in ("external", "soft", "looping"):
        assert f"{name}_r_000.png is a link to elsewhere" in reasons[name]
    assert "lie in other files" in reasons["raw"] and "lie in other files" in reasons["virtual"]
    assert "10800000000 bytes" in reasons["vast"]


def test_captions_that_are_no_texts_are_rejects(tmp_path):
    root, good = tmp_path / "in", {0: render(1)}
    told = {"good": ["a box"], "late": [None, "", "a box", 5], "alone": "a box"}
    odd = {"number": [5], "float": 0.5, "true": [True], "deep": [["a"]], "object": {"a": "box"}}
    none = {"null": None, "nulls": [None], "blank": [" "], "list": []}
    for uid, captions in (told | odd | none).items():
        add(root, uid, cloud(), good, {0: captions})
    found = write(root, tmp_path / "out", max_fault_fraction=1.0)
    assert {row["annotation_token"]: row["caption"] for row in found["triplets"]} == dict.fromkeys(told, "a box")
    rules = {row["annotation_token"]: row["rule"] for row in found["rejects"]}
    assert rules == dict.fromkeys(odd, "bad_caption") | dict.fromkeys(none, "no_caption")


def test_an_id_in_two_folders_or_twice_in_a_list_is_taken_once(tmp_path):
    root = tmp_path / "in"
    add(root, "u1", cloud(), {0: render(1)}, {0: ["a box"]})
    (root / CLOUDS / "more").mkdir()
    np.savez(root / CLOUDS / "more" / "u1_10000.npz", point_cloud=cloud())
    found = write(root, tmp_path / "out", max_fault_fraction=1.0)
    assert len(found["triplets"]) == 1 and [row["rule"] for row in found["rejects"]] == ["duplicate_id"]
    (root / "splits").mkdir()
    (root / "splits" / "val.txt").write_text("u1\nu1\nu1\n")
    found = write(root, tmp_path / "out", max_fault_fraction=1.0, split="val")
    assert len(found["triplets"]) == 1 and [row["rule"] for row in found["rejects"]] == 2 * ["duplicate_id"]
