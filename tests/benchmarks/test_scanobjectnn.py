"""ScanObjectNN's files, made here to the letter of the release, to a benchmark.

Label numbers are those that its authors confirm (github.com/hkust-vgd/scanobjectnn, issue 4): bag 0 ... toilet 14.
"""

import h5py
import numpy as np
import pytest

from blendclip.errors import UserError
from tests.benchmarks.writing import classes_of, write

CLASSES = classes_of("scanobjectnn")
NUMBERS = "bag bin box cabinet chair desk display door shelf table bed pillow sink sofa toilet".split()


def h5(path, labels=(0, 9, 10, 14), **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.parts))
    data = (rng.uniform(-1, 1, (len(labels), 2048, 3)) * [0.2, 0.9, 0.4]).astype(np.float32)
    arrays = {"data": data, "label": np.array(labels, np.int32), "mask": np.full((len(labels), 2048), -1, np.int32)}
    with h5py.File(path, "w") as file:
        for name, array in (arrays | changes).items():
            file[name] = array
    return data


def run(tmp_path, path, classes=CLASSES, **given):
    return write(tmp_path / "out.parquet", "scanobjectnn", classes, path=path, **given)


def test_classes_of_prompts_are_in_the_order_of_the_labels():
    assert CLASSES == NUMBERS


@pytest.mark.parametrize(
    "variant, place",
    [
        ("obj_only", "main_split_nobg/test_objectdataset.h5"),
        ("obj_bg", "main_split/test_objectdataset.h5"),
        ("pb_t50_rs", "main_split/test_objectdataset_augmentedrot_scale75.h5"),
    ],
)
def test_variants(tmp_path, variant, place):
    data = h5(tmp_path / "in" / place)
    for other in ("main_split_nobg/test_objectdataset.h5", "main_split/test_objectdataset_augmentedrot_scale75.h5"):
        if other != place:
            h5(tmp_path / "in" / other, labels=(3,))
    rows, options = run(tmp_path, tmp_path / "in", variant=variant)
    assert [row["class_name"] for row in rows] == ["bag", "table", "bed", "toilet"]
    assert [row["label"] for row in rows] == [0, 9, 10, 14] and options["options"]["variant"] == variant
    for row, cloud in zip(rows, data, strict=True):
        np.testing.assert_allclose(row["points"], cloud[:, [2, 0, 1]])  # y up; z, x, y keeps the handedness
    again, _ = run(tmp_path, tmp_path / "in" / place)
    assert again == rows


def test_variant_must_be_told(tmp_path):
    h5(tmp_path / "in" / "main_split" / "test_objectdataset.h5")
    assert len(run(tmp_path, tmp_path / "in")[0]) == 4, "only one is there"
    h5(tmp_path / "in" / "main_split_nobg" / "test_objectdataset.h5")
    with pytest.raises(UserError, match="holds obj_only, obj_bg: set `variant`"):
        run(tmp_path, tmp_path / "in")
    with pytest.raises(UserError, match='`variant` is "hardest": take one of obj_only, obj_bg'):
        run(tmp_path, tmp_path / "in", variant="hardest")
    with pytest.raises(UserError, match="there is no file .*scale75"):
        run(tmp_path, tmp_path / "in", variant="pb_t50_rs")
    with pytest.raises(UserError, match="is not variant pb_t50_rs"):
        run(tmp_path, tmp_path / "in" / "main_split" / "test_objectdataset.h5", variant="pb_t50_rs")


def test_other_order_of_classes_moves_the_labels(tmp_path):
    h5(tmp_path / "t.h5")
    rows, _ = run(tmp_path, tmp_path / "t.h5", classes=sorted(NUMBERS))
    assert [(row["class_name"], row["label"]) for row in rows] == [
        ("bag", 0),
        ("table", 13),
        ("bed", 1),
        ("toilet", 14),
    ]


def test_files_with_other_labels(tmp_path):
    h5(tmp_path / "t.h5", labels=(0, 15))
    with pytest.raises(UserError, match="the label 15, where the dataset has 0 to 14"):
        run(tmp_path, tmp_path / "t.h5")
    h5(tmp_path / "t.h5", label=np.array([0, 1, 2.5, 3]))
    with pytest.raises(UserError, match="no whole numbers"):
        run(tmp_path, tmp_path / "t.h5")
    h5(tmp_path / "t.h5", label=np.zeros(3, np.int32))
    with pytest.raises(UserError, match=r"labels of shape \(3,\) for 4 clouds"):
        run(tmp_path, tmp_path / "t.h5")
    h5(tmp_path / "t.h5")
    (tmp_path / "shape_names.txt").write_text("\n".join(sorted(NUMBERS)))
    with pytest.raises(UserError, match="calls label 1 'bed', where the dataset has 'bin'"):
        run(tmp_path, tmp_path / "t.h5")


def test_broken_files(tmp_path):
    h5(tmp_path / "t.h5")
    (tmp_path / "t.h5").write_bytes((tmp_path / "t.h5").read_bytes()[:9000])
    with pytest.raises(UserError, match="no readable HDF5"):
        run(tmp_path, tmp_path / "t.h5")
    h5(tmp_path / "t.h5", data=np.zeros((4, 2048, 4), np.float32))
    with pytest.raises(UserError, match=r"data of shape \(4, 2048, 4\)"):
        run(tmp_path, tmp_path / "t.h5")


def openshape(path, labels, **more):
    clouds = np.empty(len(labels), object)
    for number in range(len(labels)):
        clouds[number] = np.random.default_rng(number).normal(size=(50 + number, 3)).astype(np.float32)
    np.save(path, {"xyz": clouds, "label": np.array(labels)} | more, allow_pickle=True)
    return clouds


def test_openshape(tmp_path):
    clouds = openshape(tmp_path / "xyz_label.npy", (10, 4))
    for path in (tmp_path, tmp_path / "xyz_label.npy"):
        rows, _ = run(tmp_path, path)
        assert [(row["class_name"], row["num_points"], row["rgb"]) for row in rows] == [
            ("bed", 50, None),
            ("chair", 51, None),
        ]
        np.testing.assert_allclose(rows[1]["points"], clouds[1][:, [2, 0, 1]])


def test_openshape_with_colours(tmp_path):
    openshape(tmp_path / "xyz_label.npy", (1,), rgb=[np.full((50, 3), 0.4)])
    assert run(tmp_path, tmp_path)[0][0]["rgb"] == [[102, 102, 102]] * 50
    openshape(tmp_path / "xyz_label.npy", (1,), rgb=[np.full((50, 3), 102.0)])
    with pytest.raises(UserError, match="colours outside of 0 to 1"):
        run(tmp_path, tmp_path)


def test_openshape_that_is_something_else(tmp_path):
    np.save(tmp_path / "xyz_label.npy", {"xyz": []}, allow_pickle=True)
    with pytest.raises(UserError, match="has no label"):
        run(tmp_path, tmp_path)
    np.save(tmp_path / "xyz_label.npy", np.zeros((3, 3)))
    with pytest.raises(UserError, match="cannot be used"):
        run(tmp_path, tmp_path)
