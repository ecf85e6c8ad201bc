import hashlib
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blendclip.cli.main import main
from blendclip.errors import UserError
from blendclip.training.data.packed import PackedSplit
from blendclip.training.data.packing import pack_clouds
from blendclip.training.data.packing_features import FeatureSources, pack_features
from tests.datasets.cad import test_openshape as openshape
from tests.training.tables import STAGES, WIDTH, Tables, path_of


def packed_path(results, dataset, part=0, clip=""):
    return results / "packed" / clip / dataset / "train" / f"part-{part:05d}.arrow"


def mined(seed=0, prefix=""):
    """Two objects of a drive: one with three views and four triplets, one with one; a third without any cloud."""
    tables = Tables("drive", seed)
    car, bus = f"{prefix}car", f"{prefix}bus"
    tables.view("walker", "FRONT", 5, caption="someone walking")
    tables.view(car, "FRONT", 90, caption="a red car")
    tables.view(bus, "LEFT", 100, caption="a long bus")
    tables.view(car, "BACK", 90)
    tables.view(f"{car}", "LEFT", 400, caption="the car from its left")
    tables.triplet(f"{prefix}1", car, "FRONT", "a red car", 4, 100, -10, distance_m=7.5, visibility=4, scene="s")
    tables.triplet(f"{prefix}2", bus, "LEFT", "a long bus", 1, 100, colors=False)
    tables.triplet(f"{prefix}3", car, "LEFT", "the car from its left", 9, 380, 20, category="car", evaluated=True)
    tables.triplet(f"{prefix}4", car, "FRONT", "a red car", 7, 200, -110)
    views = tables.rows["views"]
    for view, name in zip(views, ("w/F", "c/F", "b/L", "c/B", "c/L"), strict=True):
        rename = f"drive/{prefix}{name}"
        for stage in ("captions", "embeddings"):
            for row in tables.rows[stage]:
                row["view_id"] = rename if row["view_id"] == view["view_id"] else row["view_id"]
        view["view_id"] = rename
    return tables


def ready():
    """Two objects whose features came with them, as OpenShape's do: texts name triplets, not views."""
    tables = Tables("cad", 7)
    for name, caption, texts in (("x", "a chair", ["junk", " a chair ", "seat"]), ("y", "a cup", ["mug", "beaker"])):
        for view in ("view_00", "view_01", "thumbnail"):
            tables.view(name, view, image=False)
            tables.embedding("image", triplet_id=f"cad/{name}", view_id=f"cad/{name}/{view}")
        for text in texts:
            tables.embedding("text", triplet_id=f"cad/{name}", text=text)
        tables.triplet(name, name, "view_00", caption, 20, lidar=False)
    return tables


def sources_of(results, dataset, part=0):
    return FeatureSources(*(path_of(results, stage, dataset, part) for stage in STAGES))


def pack(results, dataset, part=0, points=4_000_000, features=100_000):
    pack_clouds(path_of(results, "triplets", dataset, part), packed_path(results, dataset, part), points)
    pack_features(sources_of(results, dataset, part), packed_path(results, dataset, part, "tiny"), features)


def pack_drive(results, **batches):
    """Two parts of mined data."""
    for part, prefix in enumerate(("", "second-")):
        mined(part, prefix).write(results, part)
        pack(results, "drive", part, **batches)
    return PackedSplit.open(results, "tiny", "drive", "train", parts=2)


def rows_of(results, stage, dataset, parts=2):
    return [row for part in range(parts) for row in pq.read_table(path_of(results, stage, dataset, part)).to_pylist()]


def unit(row):
    vector = np.array(row["embedding"], np.float32)
    return (vector / np.sqrt((vector**2).sum())).astype(np.float16)


@pytest.mark.parametrize("batches", [{}, {"points": 6, "features": 3}, {"points": 1, "features": 1}])
def test_every_point_and_its_values_come_back(tmp_path, monkeypatch, batches):
    monkeypatch.setattr("blendclip.training.data.packing._ROWS_AT_ONCE", 2)
    split, rows = pack_drive(tmp_path, **batches), rows_of(tmp_path, "triplets", "drive")
    assert len(split) == len(rows) == 8
    for number, row in enumerate(rows):
        assert split.points(number).dtype == np.float32
        np.testing.assert_array_equal(split.points(number), np.array(row["points"], np.float32))
        if row["rgb"] is None:
            assert split.rgb(number) is None
        else:
            assert split.rgb(number).dtype == np.uint8
            assert split.rgb(number).tolist() == [colour or [102, 102, 102] for colour in row["rgb"]]
        np.testing.assert_array_equal(split.intensity(number), np.array(row["intensity"], np.float32))
        np.testing.assert_array_equal(split.time_lag_s(number), np.array(row["time_lag_s"], np.float32))
    assert split.num_points.tolist() == [4, 1, 9, 7] * 2
    assert [split.rgb(number) is None for number in range(8)] == [False, True, False, False] * 2


def test_a_batch_ends_once_it_has_enough(tmp_path, monkeypatch):
    monkeypatch.setattr("blendclip.training.data.packing._ROWS_AT_ONCE", 1)
    mined().write(tmp_path)
    pack(tmp_path, "drive", points=5, features=5)
    clouds = pa.ipc.open_file(packed_path(tmp_path, "drive"))
    assert [clouds.get_batch(n).num_rows for n in range(clouds.num_record_batches)] == [2, 1, 1], "4 + 1, 9, 7 points"


def test_columns_tell_what_triplets_do(tmp_path):
    split, rows = pack_drive(tmp_path, points=6), rows_of(tmp_path, "triplets", "drive")
    for name in ("triplet_id", "instance_token", "category", "class_name", "caption", "scene", "dataset", "split"):
        assert split.column(name) == [row[name] for row in rows]
    assert split.column("evaluated").tolist() == [row["evaluated"] for row in rows]
    assert split.column("num_points").tolist() == [4, 1, 9, 7] * 2
    assert split.column("visibility").tolist() == [4, 0, 0, 0] * 2
    np.testing.assert_array_equal(split.column("distance_m"), np.array([7.5, np.nan, np.nan, np.nan] * 2, np.float32))


@pytest.mark.parametrize("features", [100_000, 3, 1])
def test_features_of_all_views_of_an_instance_its_own_first(tmp_path, features):
    split = pack_drive(tmp_path, features=features)
    embeddings = rows_of(tmp_path, "embeddings", "drive")
    of = {(row["kind"], row["view_id"].removeprefix("drive/")): unit(row) for row in embeddings}
    assert split.width == WIDTH
    for start, prefix in ((0, ""), (4, "second-")):
        own_first = {0: ("c/F", "c/B", "c/L"), 1: ("b/L",), 2: ("c/L", "c/F", "c/B"), 3: ("c/F", "c/B", "c/L")}
        for number, views in own_first.items():
            images = np.stack([of["image", prefix + view] for view in views])
            texts = np.stack([of["text", prefix + view] for view in views if view != "c/B"])
            np.testing.assert_array_equal(split.images(start + number), images)
            np.testing.assert_array_equal(split.texts(start + number), texts)
            np.testing.assert_array_equal(split.image(start + number), images[0])
            np.testing.assert_array_equal(split.text(start + number), texts[0])
            assert split.text(start + number).dtype == np.float16
    assert split.instances.tolist() == [0, 1, 0, 0, 4, 5, 4, 4]
    assert split.num_images.tolist() == [3, 1, 3, 3] * 2
    assert split.num_texts.tolist() == [2, 1, 2, 2] * 2


def test_ready_features_of_objects(tmp_path):
    ready().write(tmp_path)
    pack(tmp_path, "cad")
    split, rows = PackedSplit.open(tmp_path, "tiny", "cad", "train"), rows_of(tmp_path, "embeddings", "cad", 1)
    for number, name in enumerate("xy"):
        own = [row for row in rows if row["triplet_id"] == f"cad/{name}"]
        images = [unit(row) for row in own if row["kind"] == "image"]
        texts = {row["text"].strip(): unit(row) for row in own if row["kind"] == "text"}
        np.testing.assert_array_equal(split.images(number), images)
        assert len(images) == 3
        order = (
            ("a chair", "seat", "junk") if name == "x" else ("mug", "beaker")
        )  # where none is the caption, the first
        np.testing.assert_array_equal(split.texts(number), [texts[text] for text in order])
    assert split.intensity(0) is None and split.time_lag_s(1) is None


def test_ready_images_may_name_no_view(tmp_path):
    tables = ready()
    for row in tables.rows["embeddings"]:
        row["view_id"] = None
    tables.write(tmp_path)
    pack(tmp_path, "cad")
    split, rows = PackedSplit.open(tmp_path, "tiny", "cad", "train"), rows_of(tmp_path, "embeddings", "cad", 1)
    images = [unit(row) for row in rows if row["kind"] == "image"]
    np.testing.assert_array_equal(np.concatenate([split.images(0), split.images(1)]), images)


def test_what_is_read_is_the_file_itself(tmp_path):
    split = pack_drive(tmp_path)
    for read in (split.points, split.rgb, split.image, split.text, split.images):
        assert np.shares_memory(read(0), read(0)) and not read(0).flags.owndata and not read(0).flags.writeable
    assert split.points(2).flags.c_contiguous
    with packed_path(tmp_path, "drive").open("r+b") as file:  # a change of the file is seen: nothing was copied
        place = file.read().index(split.points(2).tobytes())
        file.seek(place)
        file.write(np.array([1234.5], np.float32).tobytes())
    assert split.points(2)[0, 0] == 1234.5


def digests(results):
    return {
        str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (results / "packed").rglob("*")
        if path.is_file()
    }


def test_same_tables_give_same_bytes(tmp_path):
    for name in ("one", "two"):
        pack_drive(tmp_path / name)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert sorted(digests(tmp_path / "one")) == [
        f"packed/{clip}drive/train/part-0000{part}.arrow" for clip in ("", "tiny/") for part in (0, 1)
    ]


def _sum(split):
    return float(sum(split.points(number).sum() + split.images(number).sum() for number in range(len(split))))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same(tmp_path, method):
    split = pack_drive(tmp_path)
    assert len(pickle.dumps(split)) < 2000, "paths travel, not data"
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_sum, (split,)) == _sum(split)


def test_parts_may_be_empty(tmp_path):
    mined().write(tmp_path, 0)
    Tables("drive", 0).write(tmp_path, 1)
    for part in (0, 1):
        pack(tmp_path, "drive", part)
    split = PackedSplit.open(tmp_path, "tiny", "drive", "train")
    assert len(split) == 4 and split.width == WIDTH


def without(stage, **same):
    def change(tables):
        rows = tables.rows[stage]
        rows[:] = [row for row in rows if any(row[name] != value for name, value in same.items())]

    return change


def with_value(stage, number, **values):
    return lambda tables: tables.rows[stage][number].update(values)


BROKEN = {
    "an image is missing": (without("embeddings", kind="image", view_id="drive/c/B"), "no feature of view drive/c/B"),
    "all images are missing": (without("embeddings", kind="image"), "no image feature of triplet drive/1"),
    "a text is missing": (without("embeddings", kind="text", view_id="drive/b/L"), "of the caption of drive/b/L as it"),
    "a text is of an older caption": (
        with_value("embeddings", 1, text="old"),
        "of the caption of drive/w/F as it is now",
    ),
    "texts and captions are missing": (
        lambda tables: (without("embeddings", kind="text")(tables), tables.rows["captions"].clear()),
        "no text feature of triplet drive/1",
    ),
    "a view is gone": (without("views", view_id="drive/w/F"), "a feature of drive/w/F, which is not in the part"),
    "a triplet's view is gone": (without("views", view_id="drive/b/L"), "lacks the view of drive/2"),
    "a triplet's caption changed": (with_value("triplets", 0, caption="new"), "another caption for drive/1"),
    "a feature is there twice": (
        lambda tables: tables.rows["embeddings"].append(tables.rows["embeddings"][0]),
        "two features of the image of drive/w/F",
    ),
    "features of another split": (with_value("embeddings", 0, split="val"), "is of split val"),
    "features of another dataset": (with_value("embeddings", 0, dataset="other"), "is of dataset other"),
    "features of two widths": (
        with_value("embeddings", 0, embedding=np.ones(4, np.float16)),
        "features of widths [4, 6]",
    ),
    "a feature is zero": (
        with_value("embeddings", 2, embedding=np.zeros(6, np.float16)),
        "image feature of drive/c/F without direction",
    ),
    "a feature is NaN": (
        with_value("embeddings", 2, embedding=np.full(6, np.nan, np.float16)),
        "image feature of drive/c/F without direction",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), BROKEN.values(), ids=BROKEN)
def test_features_that_do_not_fit_are_named(tmp_path, change, sentence):
    tables = mined()
    change(tables)
    tables.write(tmp_path)
    with pytest.raises(UserError) as raised:
        pack_features(sources_of(tmp_path, "drive"), tmp_path / "out" / "x.arrow")
    assert sentence in str(raised.value)
    assert not list((tmp_path / "out").glob("*") if (tmp_path / "out").exists() else ()), "nothing half-written is left"


@pytest.mark.parametrize("column", ["points", "rgb", "intensity", "time_lag_s"])
def test_a_cloud_with_too_few_values_is_named(tmp_path, column):
    tables = mined()
    tables.rows["triplets"][2][column].pop()
    tables.write(tmp_path)
    with pytest.raises(UserError, match=f"8 `{column}` for the 9 points of drive/3"):
        pack_clouds(path_of(tmp_path, "triplets", "drive"), tmp_path / "x.arrow")


def open_drive(results, parts=None):
    return PackedSplit.open(results, "tiny", "drive", "train", parts)


def test_files_that_do_not_fit_together_are_named(tmp_path):
    with pytest.raises(UserError, match=r"drive/train/part-00000.arrow is missing: run `blendclip pack-clouds`"):
        open_drive(tmp_path)
    pack_drive(tmp_path)
    with pytest.raises(UserError, match="part-00001.arrow is not one of 1 parts"):
        open_drive(tmp_path, parts=1)
    with pytest.raises(UserError, match="part-00002.arrow is missing"):
        open_drive(tmp_path, parts=3)
    packed_path(tmp_path, "drive", 0).rename(tmp_path / "kept")
    with pytest.raises(UserError, match=r"drive/train/part-00000.arrow is missing: run `blendclip pack-clouds`"):
        open_drive(tmp_path, parts=2)
    packed_path(tmp_path, "drive", 0).write_bytes((tmp_path / "kept").read_bytes()[:500])
    with pytest.raises(UserError, match="not a readable Arrow file"):
        open_drive(tmp_path)
    packed_path(tmp_path, "drive", 0).write_bytes(b"")
    with pytest.raises(UserError, match="not a readable Arrow file"):
        open_drive(tmp_path)
    packed_path(tmp_path, "drive", 0).write_bytes(packed_path(tmp_path, "drive", 1).read_bytes())
    with pytest.raises(UserError, match="are not of the same triplets: pack both again"):
        open_drive(tmp_path)
    packed_path(tmp_path, "drive", 0).write_bytes(packed_path(tmp_path, "drive", 1, "tiny").read_bytes())
    with pytest.raises(UserError, match="was packed by another version"):
        open_drive(tmp_path)
    (tmp_path / "kept").replace(packed_path(tmp_path, "drive", 0))
    packed_path(tmp_path, "drive", 1, "tiny").unlink()
    with pytest.raises(UserError, match=r"tiny/drive/train/part-00001.arrow is missing: run `blendclip pack-features`"):
        open_drive(tmp_path)


def test_clouds_and_features_of_other_captions_do_not_fit(tmp_path):
    pack_drive(tmp_path)
    tables = mined()
    for stage, number in (("triplets", 1), ("captions", 2)):
        tables.rows[stage][number]["caption"] = "a bus"
    tables.rows["embeddings"][5]["text"] = "a bus"
    tables.write(tmp_path)
    pack_features(sources_of(tmp_path, "drive"), packed_path(tmp_path, "drive", 0, "tiny"))
    with pytest.raises(UserError, match="are not of the same triplets"):
        open_drive(tmp_path)


def test_commands_pack_and_count(tmp_path, capsys):
    mined().write(tmp_path)
    named = {stage: str(path_of(tmp_path, stage, "drive")) for stage in STAGES}
    output = str(packed_path(tmp_path, "drive"))
    assert main(["pack-clouds", "--triplets", named["triplets"], "--output", output]) == 0
    options = [text for stage in STAGES for text in (f"--{stage}", named[stage])]
    assert main(["pack-features", *options, "--output", str(packed_path(tmp_path, "drive", 0, "tiny"))]) == 0
    assert main(["show-packed", "--results", str(tmp_path), "--clip", "tiny", "drive/train:1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("drive/train: 4 triplets of 2 instances, 21 points in ")
    assert "; 4 images and 3 texts of width 6 in " in printed
    assert main(["show-packed", "--results", str(tmp_path), "--clip", "tiny", "drive/train"]) == 1
    assert "'drive/train' names no split: write dataset/split:parts" in capsys.readouterr().err


def test_packing_and_reading_start_without_torch():
    code = (
        "import sys, blendclip.training.data.packing_features, blendclip.training.data.packed, blendclip.cli.packing\n"
    )
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)


def test_packs_what_the_reader_of_openshape_writes(tmp_path):
    made = openshape.shape()
    openshape.write(openshape.release(tmp_path / "in", made), tmp_path / "out")
    files = [tmp_path / "out" / f"{stage}.parquet" for stage in STAGES]
    pack_clouds(files[0], tmp_path / "clouds.arrow")
    pack_features(FeatureSources(*files), tmp_path / "features.arrow")
    split = PackedSplit([tmp_path / "clouds.arrow"], [tmp_path / "features.arrow"])
    own = made["blip_caption_feat"]["prompt_avg"].reshape(-1)
    np.testing.assert_allclose(split.text(0), own / np.linalg.norm(own), atol=1e-3)
    images = np.concatenate([made["image_feat"], made["thumbnail_feat"]])
    np.testing.assert_allclose(split.images(0), images / np.linalg.norm(images, axis=1, keepdims=True), atol=1e-3)
    assert split.points(0).shape == (10000, 3) and split.num_texts.tolist() == [4]


@pytest.mark.parametrize(
    ("options", "in_metres"),
    [
        ([{"clouds": {"sweeps": 10}}] * 2, True),  # mined
        ([{"unit_m": 0.001}] * 2, True),
        ([{"unit_m": None}] * 2, False),  # files whose unit nobody knows
        ([{"up": "y"}] * 2, False),  # a format that has no unit
        ([{"unit_m": 1.0}, {"unit_m": None}], False),
    ],
)
def test_clouds_are_in_metres_where_their_source_is(tmp_path, options, in_metres):
    for part, given in enumerate(options):
        tables = Tables("d", part)
        tables.view(f"i{part}", "a", caption="x")
        tables.triplet(f"t{part}", f"i{part}", "a", "x", 3)
        tables.write(tmp_path, part, options=given)
        sources = [path_of(tmp_path, stage, "d", part) for stage in STAGES]
        pack_clouds(sources[0], packed_path(tmp_path, "d", part))
        pack_features(FeatureSources(*sources), packed_path(tmp_path, "d", part, "tiny"))
    assert PackedSplit.open(tmp_path, "tiny", "d", "train").in_metres is in_metres
