"""OpenShape's files, made here to the letter of its description, to triplets and embeddings."""

import io
import json
import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest

from blendclip import schemas
from blendclip.datasets.cad import openshape
from blendclip.datasets.cad.objects import BrokenObjectError
from blendclip.datasets.cad.openshape import read_shape
from blendclip.datasets.cad.writing import CadFiles, CadPart, open_reader, write_cad
from blendclip.datasets.formats import format_named
from blendclip.errors import UserError
from blendclip.options import parse

DIM = 1280


def text_feature(seed):
    """What the release holds for a text: its feature, and the mean over prompt templates."""
    rng = np.random.default_rng(seed)
    return {
        "original": rng.normal(size=(1, DIM)).astype(np.float32),
        "prompt_avg": rng.normal(size=(1, DIM)).astype(np.float32),
    }


def shape(source="Objaverse", uid="0a1b", **changes):
    """A shape as released: y-up, within a unit ball, colours 0-1. Tall along y, red on top."""
    rng = np.random.default_rng(5)
    xyz = (rng.uniform(-1, 1, (10000, 3)) * [0.2, 0.9, 0.4]).astype(np.float32)
    rgb = np.where(xyz[:, 1:2] > 0, [1.0, 0.0, 0.2], [0.0, 0.0, 0.4])
    return {
        "dataset": source,
        "group": "000-000",
        "id": uid,
        "xyz": xyz,
        "rgb": rgb,
        "image_feat": rng.normal(size=(12, DIM)).astype(np.float32),
        "thumbnail_feat": rng.normal(size=(1, DIM)).astype(np.float32),
        "text": ["untitled_3"],
        "text_feat": [text_feature(1)],
        "blip_caption": "a tall red box",
        "blip_caption_feat": text_feature(2),
        "msft_caption": "",
        "msft_caption_feat": None,
        "retrieval_text": ["red tower", "box model"],
        "retrieval_text_feat": [{"original": text_feature(3)["original"]}, {"original": text_feature(4)["original"]}],
    } | changes


def release(root, *shapes):
    """A folder as the archives unpack to; lists name the folder of their makers."""
    listed = []
    for one in shapes:
        folder = root / one["dataset"] / one["group"]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{one['id']}.npy", one, allow_pickle=True)
        path = f"/mnt/made/for/training/{one['dataset']}/{one['group']}/{one['id']}.npy"
        listed.append({"id": one["id"], "dataset": one["dataset"], "group": one["group"], "data_path": path})
    (root / "meta_data" / "split").mkdir(parents=True, exist_ok=True)
    (root / "meta_data" / "split" / "train_all.json").write_text(json.dumps(listed))
    return root


def write(root, folder, max_fault_fraction=0.0, split="train_all", **given):
    options = parse(format_named("openshape", "cad").options_class(), given)
    names = ("views", "rejects", "triplets", "captions", "embeddings")
    files = CadFiles(**{name: folder / f"{name}.parquet" for name in names})
    write_cad(open_reader("openshape", root, options), CadPart("os", split), files, options, max_fault_fraction)
    return {name: pq.read_table(folder / f"{name}.parquet").to_pylist() for name in names}


def test_round_trip(tmp_path):
    made = shape()
    found = write(release(tmp_path / "in", made), tmp_path / "out")
    (row,) = found["triplets"]
    x, y, z = made["xyz"].T
    points = np.array(row["points"])
    assert row["num_points"] == 10000 and not found["rejects"]
    assert np.ptp(points, axis=0) == pytest.approx([np.ptp(z), np.ptp(x), np.ptp(y)], abs=1e-5), "z, x, y of the source"
    assert np.corrcoef(points[:, 2], y)[0, 1] == pytest.approx(1)
    assert points.max(axis=0) == pytest.approx(-points.min(axis=0), abs=1e-6)
    assert (np.array(row["rgb"])[y > 0] == [255, 0, 51]).all() and (np.array(row["rgb"])[y < 0] == [0, 0, 102]).all()
    assert (row["caption"], row["caption_model"]) == ("a tall red box", "openshape/blip_caption")
    assert row["triplet_id"] == "os/Objaverse/0a1b" and row["image"] is None
    assert [view["channel"] for view in found["views"]] == [*(f"view_{k:02d}" for k in range(12)), "thumbnail"]


def test_features_are_kept_by_view_and_text(tmp_path):
    made = shape()
    rows = write(release(tmp_path / "in", made), tmp_path / "out")["embeddings"]
    assert pq.read_schema(tmp_path / "out" / "embeddings.parquet").equals(schemas.EMBEDDINGS)
    images = [row for row in rows if row["kind"] == "image"]
    assert [row["view_id"] for row in images][:2] == ["os/Objaverse/0a1b/view_00", "os/Objaverse/0a1b/view_01"]
    stored = np.array([row["embedding"] for row in images], np.float16)
    assert (stored == np.concatenate([made["image_feat"], made["thumbnail_feat"]]).astype(np.float16)).all()
    texts = {(row["source"], row["text"]): row["embedding"] for row in rows if row["kind"] == "text"}
    assert list(texts) == [
        ("blip_caption", "a tall red box"),
        ("text", "untitled_3"),
        ("retrieval_text", "red tower"),
        ("retrieval_text", "box model"),
    ]
    assert (
        np.float16(texts["blip_caption", "a tall red box"])
        == made["blip_caption_feat"]["prompt_avg"][0].astype(np.float16)
    ).all()
    assert {row["triplet_id"] for row in rows} == {"os/Objaverse/0a1b"}


def test_metadata_speak_first_where_they_are_clean(tmp_path):
    (row,) = write(release(tmp_path / "in", shape("ShapeNet", text=["armchair"])), tmp_path / "out")["triplets"]
    assert (row["caption"], row["caption_model"]) == ("armchair", "openshape/text")


def test_z_up_files_stay_as_they_are(tmp_path):
    (row,) = write(release(tmp_path / "in", made := shape()), tmp_path / "out", up="z")["triplets"]
    assert row["size_lwh_m"] == pytest.approx(np.ptp(made["xyz"].astype(float), axis=0))


BROKEN = {
    "not_finite": {"xyz": np.full((10000, 3), np.nan, np.float32)},
    "too_few_points": {"xyz": np.zeros((0, 3), np.float32)},
    "one_point": {"xyz": np.ones((100, 3), np.float32), "rgb": np.ones((100, 3))},
    "bad_cloud": {"xyz": np.zeros((10, 2), np.float32)},
    "bad_colours": {"rgb": np.full((10000, 3), 200.0)},
    "no_view": {"image_feat": None, "thumbnail_feat": None},
    "no_caption": dict.fromkeys(("text", "blip_caption", "retrieval_text"), ""),
    "bad_feature": {"image_feat": np.full((12, DIM), np.nan, np.float32)},
}


def test_broken_shapes_become_rejects(tmp_path):
    shapes = [shape(uid=rule, **changes) for rule, changes in BROKEN.items()]
    root = release(tmp_path / "in", shape(), *shapes, shape(uid="gone"), shape(uid="cut"))
    (root / "Objaverse/000-000/gone.npy").unlink()
    cut = root / "Objaverse/000-000/cut.npy"
    cut.write_bytes(cut.read_bytes()[:5000])
    found = write(root, tmp_path / "out", max_fault_fraction=1.0)
    rules = {row["annotation_token"].split("/")[1]: row["rule"] for row in found["rejects"]}
    assert rules == {rule: rule for rule in BROKEN} | {"gone": "missing_shape", "cut": "unreadable_shape"}
    assert len(found["triplets"]) == 1


CAPTIONLESS = {"blip_caption": None, "msft_caption": None, "retrieval_text": None, "text": None}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"blip_caption": 5.0}, "bad_caption"),
        ({"text": [7]}, "bad_caption"),
        ({"retrieval_text": ["a", b"box"]}, "bad_caption"),
        ({"blip_caption": "\ud800"}, "bad_caption"),
        (CAPTIONLESS, "no_caption"),
        (CAPTIONLESS | {"text": [None], "blip_caption": " \n"}, "no_caption"),
        ({"text_feat": [5]}, "bad_shape"),
        ({"image_feat": "many"}, "bad_shape"),
        ({"image_feat": np.full((1, 4), 1e6)}, "bad_feature"),
        ({"xyz": [[1, 2, 3], [4]]}, "bad_shape"),
        ({"xyz": None}, "bad_cloud"),
        ({"rgb": {}}, "bad_shape"),
    ],
)
def test_values_of_other_kinds_are_rejects(tmp_path, changes, rule):
    root = release(tmp_path / "in", shape(), shape(uid="odd", **changes))
    found = write(root, tmp_path / "out", max_fault_fraction=0.5)
    assert [(row["annotation_token"], row["rule"]) for row in found["rejects"]] == [("Objaverse/odd", rule)]
    assert [row["triplet_id"] for row in found["triplets"]] == ["os/Objaverse/0a1b"]


def test_an_empty_text_keeps_its_place_among_features(tmp_path):
    made = shape(retrieval_text=["", "red tower"], retrieval_text_feat=[text_feature(7), text_feature(8)])
    rows = write(release(tmp_path / "in", made), tmp_path / "out")["embeddings"]
    (row,) = [row for row in rows if row["source"] == "retrieval_text"]
    assert (np.float16(row["embedding"]) == text_feature(8)["prompt_avg"][0].astype(np.float16)).all()


def test_an_id_that_stands_twice_is_taken_once_whatever_the_parts(tmp_path):
    root = release(tmp_path / "in", shape(), shape(uid="b"), shape(uid="c"), shape())
    found = write(root, tmp_path / "out", max_fault_fraction=1.0)
    assert [row["triplet_id"][-1] for row in found["triplets"]] == ["b", "b", "c"]
    assert [(row["annotation_token"], row["rule"]) for row in found["rejects"]] == [("Objaverse/0a1b", "duplicate_id")]
    options = parse(format_named("openshape", "cad").options_class(), {})
    files = CadFiles(tmp_path / "v", tmp_path / "r")
    counts = [
        write_cad(open_reader("openshape", root, options), CadPart("os", "train_all", part, 2), files, options, 1.0)
        for part in range(2)
    ]
    assert counts == [2, 1], "the second of them is in another part"


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("damage", [b"\xff", bytes(64), b"."])
def test_damage_anywhere_in_a_file_ends_nothing(tmp_path, share, damage):
    root = release(tmp_path / "in", shape(), shape(uid="odd"))
    path = root / "Objaverse/000-000/odd.npy"
    content = path.read_bytes()
    place = int(len(content) * share)
    path.write_bytes(content[:place] + damage + content[place + len(damage) :])
    found = write(root, tmp_path / "out", max_fault_fraction=0.5)
    assert len(found["triplets"]) + len(found["rejects"]) == 2


def test_what_nobody_foresaw_is_a_reject_that_says_where_it_happened(tmp_path, caplog, monkeypatch):
    root = release(tmp_path / "in", shape(), shape(uid="odd"))
    read = openshape.OpenShape.read

    def failing(self, entry):
        return [][1] if entry.id.endswith("odd") else read(self, entry)

    monkeypatch.setattr(openshape.OpenShape, "read", failing)
    (row,) = write(root, tmp_path / "out", max_fault_fraction=0.5)["rejects"]
    assert row["rule"] == "unforeseen"
    assert row["reason"].startswith("reading it raised IndexError at test_openshape.py:")
    assert "odd.npy is left out" in caplog.text and "in failing" in caplog.text


@pytest.mark.parametrize("error", [NameError, ImportError, AssertionError])
def test_what_no_file_can_cause_ends_the_job(tmp_path, monkeypatch, error):
    def failing(self, entry):
        raise error("of ours")

    monkeypatch.setattr(openshape.OpenShape, "read", failing)
    with pytest.raises(error, match="of ours"):
        write(release(tmp_path / "in", shape()), tmp_path / "out", max_fault_fraction=1.0)


def test_a_file_that_would_run_code_does_not(tmp_path):
    class Evil:
        def __reduce__(self):
            return eval, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    np.save(tmp_path / "evil.npy", {"xyz": Evil()}, allow_pickle=True)
    with pytest.raises(BrokenObjectError, match="it wants builtins.eval") as caught:
        read_shape(tmp_path / "evil.npy")
    assert caught.value.rule.name == "unsafe_shape" and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_every_pickle_protocol_is_read(tmp_path, protocol):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": ()})
    made = {"xyz": np.eye(3, dtype=np.float32), "id": "a", "score": np.float64(0.5), "raw": b"\x00\xff"}
    (tmp_path / "a.npy").write_bytes(buffer.getvalue() + pickle.dumps(np.array(made, object), protocol=protocol))
    found = read_shape(tmp_path / "a.npy")
    assert (found["xyz"] == np.eye(3)).all() and found["score"] == 0.5 and found["raw"] == b"\x00\xff"


def test_a_missing_split_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="train_most.json: unpack meta_data.zip"):
        write(release(tmp_path / "in", shape()), tmp_path / "out", split="train_most")
