"""The generated CAD dataset."""

import hashlib
import json

import numpy as np
import pytest

from blendclip.datasets.cad.writing import CadFiles, CadPart, open_reader, write_cad
from blendclip.datasets.formats import format_named
from blendclip.errors import UserError
from blendclip.options import parse
from blendclip.reporting.triplet_sheet import draw_sheet
from blendclip.synthetic.shapes.captions import captions_of, main_colors
from blendclip.synthetic.shapes.classes import CLASSES
from blendclip.synthetic.shapes.generate import generate_shapes


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("shapes")
    generate_shapes(root, train=2, test=1)
    return root


def digests(root):
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*.*")}


def rows_of(root):
    return [json.loads(line) for line in (root / "objects.jsonl").read_text().splitlines()]


def test_classes_splits_and_captions(shapes):
    rows = rows_of(shapes)
    assert len(CLASSES) >= 40 and len(rows) == 3 * len(CLASSES)
    assert {row["category"] for row in rows if row["split"] == "test"} == set(CLASSES)
    for row in rows:
        assert len(set(row["captions"])) == 6
        assert all(any(noun in text for noun in CLASSES[row["category"]].nouns) for text in row["captions"])
        assert not any(" a a" in f" {text}" or text.startswith(("A o", "A a")) for text in row["captions"])


def test_no_variant_is_in_both_splits(shapes):
    digest = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (shapes / "meshes").iterdir()}
    assert len(set(digest.values())) == len(digest)


def test_the_number_of_workers_does_not_change_a_byte(shapes, tmp_path):
    generate_shapes(tmp_path, train=2, test=1, workers=2)
    assert digests(tmp_path) == digests(shapes)


def test_another_seed_makes_other_shapes(shapes, tmp_path):
    generate_shapes(tmp_path, train=1, test=0, seed=1)
    other = digests(tmp_path)
    assert not {other[name] for name in other if name.endswith(".ply")} & set(digests(shapes).values())


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_a_sound_mesh_of_a_believable_size(name):
    mesh = CLASSES[name].builders[0](np.random.default_rng(0))
    assert np.isfinite(mesh.vertices_m).all() and 12 <= len(mesh.triangles) < 20000
    assert mesh.vertices_m.max(axis=0) == pytest.approx(-mesh.vertices_m.min(axis=0), abs=1e-4)
    assert 0.05 < mesh.size_lwh_m.max() < 140


def test_captions_name_colors_that_are_there():
    rng = np.random.default_rng(4)
    mesh = CLASSES["duck"].builders[0](rng)
    first, _ = main_colors(mesh)
    assert sum(first in text for text in captions_of(CLASSES["duck"], mesh, 9, rng)) >= 4


def test_no_object_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="0 train and 0 test"):
        generate_shapes(tmp_path, train=0, test=0)


def test_shapes_become_triplets_and_a_sheet(shapes, tmp_path):
    options = parse(format_named("meshes", "cad").options_class(), {"views": 2, "image_px": 48, "points": 500})
    files = CadFiles(*(tmp_path / f"{name}.parquet" for name in ("views", "rejects", "triplets")))
    count = write_cad(open_reader("meshes", shapes, options), CadPart("shapes", "test"), files, options, 0.0)
    assert count == len(CLASSES)
    assert draw_sheet([files.triplets], 6, tmp_path / "sheet.png") == 6
    assert draw_sheet([files.triplets], 99, tmp_path / "sheet.png", per_category=1) == len(CLASSES)
