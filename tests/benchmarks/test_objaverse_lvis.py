"""Objaverse-LVIS as OpenShape and ULIP-2 released it, made here to the letter, to a benchmark."""

import json

import numpy as np
import pytest

from blendclip.benchmarks.objaverse_lvis import lvis_classes, write_lvis_classes
from blendclip.cli.main import main
from blendclip.errors import UserError
from blendclip.evaluation.prompts import read_classes
from tests.benchmarks.writing import write

OBJECTS = {"uid1": "Band_Aid", "uid2": "bow_(weapon)", "uid3": "no", "uid4": "Band_Aid"}
CLASSES = ["no", "Band_Aid", "bow_(weapon)"]


def shape(number):
    """y up; float16 as released; colours 0-1, red where it is high."""
    rng = np.random.default_rng(number)
    xyz = rng.uniform(-1, 1, (200, 3)).astype(np.float16)
    return xyz, np.where(xyz[:, 1:2] > 0, [1.0, 0, 0.2], [0, 0, 0.4]).astype(np.float16)


def save(path, number, uid=None):
    xyz, rgb = shape(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, {"xyz": xyz, "rgb": rgb} | ({"id": uid} if uid else {}), allow_pickle=True)


def openshape(root, objects=OBJECTS):
    listed = []
    for number, (uid, category) in enumerate(objects.items()):
        save(root / "Objaverse" / "000-011" / f"{uid}.npy", number, uid)
        path = f"/mnt/data/objaverse-processed/merged_for_training_final/Objaverse/000-011/{uid}.npy"
        listed.append({"uid": uid, "group": "000-011", "category": category, "data_path": path})
    (root / "meta_data" / "split").mkdir(parents=True)
    (root / "meta_data" / "split" / "lvis.json").write_text(json.dumps(listed))
    return root


def ulip2(root, objects=OBJECTS, numbers=None):
    objects = {uid: name.replace("_", " ") for uid, name in objects.items()}
    for number, uid in enumerate(objects):
        save(root / "objaverse_pc" / f"{uid}.npy", number)
    (root / "lvis.json").write_text(json.dumps({uid: f"objaverse_pc/{uid}.npy" for uid in objects}))
    names = sorted(set(objects.values()))
    numbers = numbers or {name: number for number, name in enumerate(names)}
    metadata = {"value_to_key_mapping": objects, "key_to_id": numbers, "all_keys": names}
    (root / "objaverse_lvis_metadata.json").write_text(json.dumps(metadata))
    return root


def run(tmp_path, root, classes=CLASSES, **given):
    return write(tmp_path / "out.parquet", "objaverse_lvis", classes, path=root, **given)


@pytest.mark.parametrize("release", [openshape, ulip2])
def test_round_trip(tmp_path, release):
    rows, _ = run(tmp_path, release(tmp_path / "in"))
    assert [(row["cloud_id"], row["class_name"], row["label"]) for row in rows] == [
        ("uid1", "Band_Aid", 1),
        ("uid2", "bow_(weapon)", 2),
        ("uid3", "no", 0),
        ("uid4", "Band_Aid", 1),
    ]
    for number, row in enumerate(rows):
        xyz, rgb = shape(number)
        np.testing.assert_allclose(row["points"], xyz[:, [2, 0, 1]], atol=1e-6)
        assert set(map(tuple, np.array(row["rgb"])[xyz[:, 1] > 0])) == {(255, 0, 51)}
        assert np.array(row["rgb"]).shape == rgb.shape


@pytest.mark.parametrize("release", [openshape, ulip2])
def test_classes_that_prompts_lack(tmp_path, release):
    with pytest.raises(UserError, match="has the class bow"):
        run(tmp_path, release(tmp_path / "in"), classes=["no", "Band_Aid"])


def test_missing_broken_or_wrong_object(tmp_path):
    root = openshape(tmp_path / "in")
    place = root / "Objaverse" / "000-011"
    save(place / "uid2.npy", 1, "uid9")
    with pytest.raises(UserError, match="is not the object uid2"):
        run(tmp_path, root)
    (place / "uid2.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(UserError, match="uid2.npy cannot be used"):
        run(tmp_path, root)
    (place / "uid2.npy").unlink()
    with pytest.raises(UserError, match=r"uid2.npy cannot be used \(there is no such file\)"):
        run(tmp_path, root)


def test_object_that_stands_twice(tmp_path):
    root = openshape(tmp_path / "in")
    path = root / "meta_data" / "split" / "lvis.json"
    listed = json.loads(path.read_text())
    path.write_text(json.dumps([*listed, listed[0]]))
    with pytest.raises(UserError, match="two clouds 'uid1'"):
        run(tmp_path, root)


def test_ulip2_numbers_that_do_not_stand_for_names(tmp_path):
    for case, numbers in enumerate(({"Band Aid": 0, "bow (weapon)": 0, "no": 1}, {"Band Aid": 0, "no": 1})):
        with pytest.raises(
            UserError, match="numbers its 3 categories otherwise|no category with a number for object uid2"
        ):
            run(tmp_path, ulip2(tmp_path / str(case), numbers=numbers))


def test_lists_that_are_none(tmp_path):
    with pytest.raises(UserError, match="has none of"):
        run(tmp_path, tmp_path)
    (tmp_path / "lvis.json").write_text('[{"uid": "a"}]')
    with pytest.raises(UserError, match="no list of objects"):
        run(tmp_path, tmp_path)


@pytest.mark.parametrize("source", ["openshape", "ulip2", "annotations"])
def test_classes(tmp_path, source):
    """Objaverse's own file maps categories to lists of objects."""
    if source == "annotations":
        path = tmp_path / "lvis-annotations.json"
        path.write_text(json.dumps({"bow_(weapon)": ["uid2"], "Band_Aid": ["uid1", "uid4"], "no": ["uid3"]}))
    else:
        path = {"openshape": openshape, "ulip2": ulip2}[source](tmp_path / "in")
    assert main(["lvis-classes", f"--path={path}", f"--output={tmp_path / 'lvis.yaml'}"]) == 0
    classes = read_classes(tmp_path / "lvis.yaml")
    assert list(classes.values()) == [["Band Aid"], ["bow (weapon)"], ["no"]]
    if source != "annotations":
        assert [row["label"] for row in run(tmp_path, path, list(classes))[0]] == [0, 1, 2, 0]


def test_classes_that_are_one(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"tow_truck": ["a"], "tow truck": ["b"]}))
    with pytest.raises(UserError, match="which are one"):
        lvis_classes(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UserError, match="no category"):
        write_lvis_classes(tmp_path / "a.json", tmp_path / "out.yaml")
