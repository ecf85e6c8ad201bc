"""ModelNet40's three layouts, made here to the letter of their releases, to a benchmark.

The 40 names and their order are those of modelnet40_ply_hdf5_2048/shape_names.txt, which is that of the alphabet.
"""

import json
import shutil

import h5py
import numpy as np
import pytest

from blendclip.benchmarks.modelnet40 import NAMES
from blendclip.errors import UserError
from tests.benchmarks.writing import classes_of, write
from tests.real import REAL

CLASSES = classes_of("modelnet40")
STOOL, TV_STAND = 32, 36


def tower(points=2048, seed=0, up="y"):
    """A cloud much taller than wide, whose top is where `up` is large, and which no mirror image equals."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0, 1, points)
    x, y = rng.uniform(-0.1, 0.1, points) * (1 - z), rng.uniform(0, 0.1, points) * (1 - z)
    y[x > 0] *= 0.1
    return np.column_stack({"z": (x, y, z), "y": (y, z, x)}[up]).astype(np.float32)


def hdf5(root, labels=(STOOL, TV_STAND, 0), names=NAMES, files=None):
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / "ply_data_test0.h5", "w") as file:
        file["data"] = np.stack([tower(seed=number) for number in range(len(labels))])
        file["label"] = np.array(labels, np.uint8)[:, None]
        file["faceId"] = np.zeros((len(labels), 2048), np.int32)
        file["normal"] = np.zeros((len(labels), 2048, 3), np.float32)
    (root / "shape_names.txt").write_text("\n".join(names) + "\n")
    if files:
        (root / "ply_data_test_0_id2file.json").write_text(json.dumps(files))
    return root


def openshape(
    root, shapes=(("stool_0091", "stool"), ("tv_stand_0268", "tv stand"), ("night_stand_0201", "night stand"))
):
    root.mkdir(parents=True, exist_ok=True)
    split = [{"name": name, "category": category} for name, category in shapes]
    (root / "test_split.json").write_text(json.dumps(split))
    clouds = np.empty(len(shapes), object)
    for number in range(len(shapes)):
        xyz = tower(100, seed=number)
        clouds[number] = {"xyz": xyz, "rgb": np.full(xyz.shape, 100, np.uint8)}
    np.save(root / "test_pc.npy", clouds, allow_pickle=True)
    return root


def off(root, *names, text=None):
    for name in names:
        path = root / name.rpartition("_")[0] / "test" / f"{name}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or "OFF\n4 2 0\n0 0 0\n2 0 0\n2 1 5\n0 1 5\n3 0 1 2\n3 0 2 3\n")
    return root


def run(tmp_path, root, classes=CLASSES, **given):
    return write(tmp_path / "out.parquet", "modelnet40", classes, path=root, **given)


def test_the_classes_of_prompts_are_the_40():
    assert CLASSES == list(NAMES) == sorted(NAMES) and len(NAMES) == 40


def test_hdf5(tmp_path):
    rows, _ = run(tmp_path, hdf5(tmp_path / "in"))
    assert [row["class_name"] for row in rows] == ["stool", "tv_stand", "airplane"]
    assert [row["label"] for row in rows] == [STOOL, TV_STAND, 0]
    for number, row in enumerate(rows):
        np.testing.assert_allclose(row["points"], tower(seed=number, up="z"), atol=1e-6)
        assert row["rgb"] is None and row["num_points"] == 2048
    assert rows[1]["cloud_id"] == "ply_data_test0/1"


def test_hdf5_axis_may_be_set(tmp_path):
    rows, options = run(tmp_path, hdf5(tmp_path / "in"), up="z")
    np.testing.assert_array_equal(rows[0]["points"], tower(seed=0))
    assert options["options"]["up"] == "z"


def test_hdf5_names_its_meshes(tmp_path):
    files = ["stool/stool_0091.ply", "tv_stand/tv_stand_0268.ply", "airplane/airplane_0627.ply"]
    rows, _ = run(tmp_path, hdf5(tmp_path / "in", files=files))
    assert [row["cloud_id"] for row in rows] == ["stool_0091", "tv_stand_0268", "airplane_0627"]
    with pytest.raises(UserError, match="labels tv_stand/tv_stand_0268.ply as stool"):
        run(tmp_path, hdf5(tmp_path / "in", files=[files[1], files[0], files[2]]))
    with pytest.raises(UserError, match="no list of the 3 clouds"):
        run(tmp_path, hdf5(tmp_path / "in", files=files[:2]))


def test_hdf5_names_in_another_order(tmp_path):
    swapped = list(NAMES)
    swapped[3], swapped[4] = swapped[4], swapped[3]
    with pytest.raises(UserError, match="calls label 3 'bookshelf', where the dataset has 'bench'"):
        run(tmp_path, hdf5(tmp_path / "in", names=swapped))
    with pytest.raises(UserError, match="has 39 names"):
        run(tmp_path, hdf5(tmp_path / "in", names=NAMES[:39]))
    (tmp_path / "in" / "shape_names.txt").unlink()
    with pytest.raises(UserError, match="says what the labels mean"):
        run(tmp_path, tmp_path / "in")


def test_hdf5_label_out_of_range(tmp_path):
    with pytest.raises(UserError, match="has the label 40"):
        run(tmp_path, hdf5(tmp_path / "in", labels=(0, 40)))


def test_hdf5_that_is_cut_off(tmp_path):
    path = hdf5(tmp_path / "in") / "ply_data_test0.h5"
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(UserError, match="no readable HDF5"):
        run(tmp_path, tmp_path / "in")


def linked(file):
    del file["data"]
    file["data"] = h5py.SoftLink("/data")


def elsewhere(file):
    del file["data"]
    file["data"] = h5py.ExternalLink("other.h5", "/data")


def vast(file):
    del file["data"]
    file.create_dataset("data", (3, 10**12, 3), np.float32)


@pytest.mark.parametrize("change", [linked, elsewhere, vast])
def test_hdf5_that_links_elsewhere_or_holds_more_than_there_is_memory(tmp_path, change):
    with h5py.File(hdf5(tmp_path / "in") / "ply_data_test0.h5", "r+") as file:
        change(file)
    with pytest.raises(UserError, match="no readable HDF5"):
        run(tmp_path, tmp_path / "in")


def test_off_that_is_cut(tmp_path):
    root = off(tmp_path / "in", "stool_0091")
    path = root / "stool" / "test" / "stool_0091.off"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="stool_0091.off cannot be used .it should have 2 faces and has 1"):
        run(tmp_path, root)


def test_a_class_of_the_source_that_prompts_lack(tmp_path):
    with pytest.raises(UserError, match="has the class night_stand"):
        run(tmp_path, hdf5(tmp_path / "in"), classes=[name for name in CLASSES if name != "night_stand"])


def test_openshape(tmp_path):
    rows, _ = run(tmp_path, openshape(tmp_path / "in"))
    assert [(row["cloud_id"], row["class_name"]) for row in rows] == [
        ("stool_0091", "stool"),
        ("tv_stand_0268", "tv_stand"),
        ("night_stand_0201", "night_stand"),
    ]
    assert [NAMES[row["label"]] for row in rows] == [row["class_name"] for row in rows]
    np.testing.assert_allclose(rows[2]["points"], tower(100, seed=2, up="z"), atol=1e-6)
    assert rows[0]["rgb"] == [[100, 100, 100]] * 100


def test_openshape_category_and_name_disagree(tmp_path):
    with pytest.raises(UserError, match="tv_stand_0268 is a stool"):
        run(tmp_path, openshape(tmp_path / "in", (("tv_stand_0268", "stool"),)))
    with pytest.raises(UserError, match="has the class rocket"):
        run(tmp_path, openshape(tmp_path / "in", (("rocket_1", "rocket"),)))


def test_openshape_lists_of_unequal_length(tmp_path):
    root = openshape(tmp_path / "in")
    (root / "test_split.json").write_text(json.dumps([{"name": "stool_0091", "category": "stool"}]))
    with pytest.raises(UserError, match="3 clouds for the 1"):
        run(tmp_path, root)
    (root / "test_split.json").unlink()
    with pytest.raises(UserError, match="there is no file .*test_split.json"):
        run(tmp_path, root)


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_openshape_pickle_that_would_run_code(tmp_path):
    root = openshape(tmp_path / "in")
    np.save(root / "test_pc.npy", np.array([Evil()], object), allow_pickle=True)
    with pytest.raises(UserError, match="unpickled safely"):
        run(tmp_path, root)


def test_off(tmp_path):
    rows, _ = run(tmp_path, off(tmp_path / "in", "stool_0091", "night_stand_0201"))
    assert [(row["cloud_id"], row["class_name"]) for row in rows] == [
        ("night_stand_0201", "night_stand"),
        ("stool_0091", "stool"),
    ]
    first, second = (np.array(row["points"]) for row in rows)
    assert first.shape == (10000, 3) and not (first == second).all(), "seeded by the name"
    np.testing.assert_allclose(first[:, 2], 5 * first[:, 1], atol=1e-5)
    np.testing.assert_allclose(first.mean(axis=0), [1, 0.5, 2.5], atol=0.05)


def test_off_whose_counts_stand_on_the_first_line(tmp_path):
    """So do many files of the release."""
    text = "OFF4 2 0\n0 0 0\n2 0 0\n2 1 5\n0 1 5\n3 0 1 2\n3 0 2 3\n"
    rows, _ = run(tmp_path, off(tmp_path / "in", "stool_0091", text=text))
    assert np.ptp(np.array(rows[0]["points"]), axis=0) == pytest.approx([2, 1, 5], abs=0.05)


def test_off_that_is_broken_or_misplaced(tmp_path):
    with pytest.raises(UserError, match=r"stool_0091.off cannot be used"):
        run(tmp_path, off(tmp_path / "in", "stool_0091", text="OFF\n4 2 0\n0 0"))
    root = off(tmp_path / "other", "stool_0091")
    shutil.move(root / "stool", root / "sofa")
    with pytest.raises(UserError, match="stool_0091 is a sofa"):
        run(tmp_path, root)
    shutil.move(root / "sofa", root / "rockets")
    with pytest.raises(UserError, match="has the class rockets"):
        run(tmp_path, root)


def test_off_real(tmp_path):
    if not (REAL / "modelnet40_off").is_dir():
        pytest.skip("the real meshes are not on this machine")
    for path in sorted((REAL / "modelnet40_off").glob("*.off")):
        folder = tmp_path / "in" / path.stem.rpartition("_")[0] / "test"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    rows, _ = run(tmp_path, tmp_path / "in")
    assert [row["cloud_id"] for row in rows][:2] == ["airplane_0003", "bathtub_0001"] and len(rows) == 7
    size = {row["cloud_id"]: np.ptp(np.array(row["points"]), axis=0) for row in rows}
    assert size["airplane_0003"].argmin() == 2, "an airplane is flat"
    assert size["bed_0002"] == pytest.approx([78, 82, 22], rel=0.02), "as the file's own vertices say"


def test_folder_of_no_or_two_layouts(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="none of"):
        run(tmp_path, tmp_path / "in")
    off(hdf5(tmp_path / "in"), "stool_0091")
    with pytest.raises(UserError, match="one layout"):
        run(tmp_path, tmp_path / "in")
