"""ULIP-2's Objaverse triplets, made here to the letter of the release, to triplets."""

import io
import json

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
