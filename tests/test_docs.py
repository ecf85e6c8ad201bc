"""What README and docs/ show works, and what they say came out did."""

import ast
import contextlib
import doctest
import importlib.util
import io
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from nbclient import NotebookClient
from PIL import Image

from blendclip.errors import UserError
from tests.models import small_model

REPOSITORY = Path(__file__).parents[1]
NOTEBOOK, PICTURE = REPOSITORY / "docs" / "use.ipynb", REPOSITORY / "docs" / "images" / "names.png"


def kinds(notebook):
    """Of each cell of code what came out of it: printed, shown, an error ..."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[output.get("name", output.output_type) for output in cell.outputs] for cell in cells]


@pytest.mark.slow
def test_the_notebook_runs_and_shows_as_much_as_the_committed_one(city_root, tmp_path, monkeypatch):
    shutil.copytree(city_root, tmp_path / "drive")  # the drive that the notebook would generate
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    committed, fresh = (nbformat.read(NOTEBOOK, as_version=4) for _ in range(2))
    client = NotebookClient(fresh, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert kinds(committed) == kinds(fresh)
    assert (tmp_path / "drive" / "city.json").stat().st_mtime == (city_root / "city.json").stat().st_mtime


def test_the_committed_notebook_was_run_from_top_to_bottom():
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert NOTEBOOK.stat().st_size < 400_000


def test_the_lines_of_use_in_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_model().save("results/runs/curriculum")
    write_triplets(tmp_path / "results/triplets/city/mini_val/part-00000.parquet", [("car", 10, 10)] * 541)
    examples = doctest.DocTestParser().get_examples((REPOSITORY / "README.md").read_text())
    assert len(examples) == 5
    scope = {}
    for example in examples:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(example.source, "README.md", "single"), scope)
        assert shape(printed.getvalue()) == shape(example.want), example.source


def shape(printed):
    """What stays of printed lists when names are others: their length."""
    return len(ast.literal_eval(printed)) if printed else None


def write_triplets(path, crops):
    """Triplets of (class_name, width, height of the crop), their clouds 60 random points."""
    path.parent.mkdir(parents=True, exist_ok=True)
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(jpeg, "JPEG")
    points = np.random.default_rng(0).normal(size=(60, 3)).tolist()
    rows = [
        {
            "triplet_id": f"{path.stem}-{number}",
            "class_name": name,
            "image": {"bytes": jpeg.getvalue(), "path": "crop.jpg"},
            "crop_xyxy_px": [5.0, 7.0, 5.0 + width, 7.0 + height],
            "points": points,
        }
        for number, (name, width, height) in enumerate(crops)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture(scope="module")
def make_picture():
    spec = importlib.util.spec_from_file_location("make_picture", REPOSITORY / "docs" / "make_picture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def parts(tmp_path):
    """Two parts: the largest crop of a car is the first of the second, of a bus the only one."""
    crops = [("car", 10, 10), ("car", 30, 5), ("bus", 2, 2)], [("car", 9, 20), ("truck", 50, 50), ("car", 1, 100)]
    paths = [tmp_path / f"part-{number:05d}.parquet" for number in range(2)]
    for path, rows in zip(paths, crops, strict=True):
        write_triplets(path, rows)
    return paths


def test_the_picture_shows_the_largest_crop_of_each_class(make_picture, parts):
    chosen = make_picture.largest_crops(parts, ["bus", "car"])
    assert [row["triplet_id"] for row in chosen] == ["part-00000-2", "part-00001-0"]
    with pytest.raises(UserError, match="no triplet is of class tram: choose others with --show"):
        make_picture.largest_crops(parts, ["tram"])


def test_the_picture_is_the_same_every_time(make_picture, parts, tmp_path):
    chosen, model = make_picture.largest_crops(parts, ["bus", "car"]), small_model()
    predictions = model.classify([row["points"] for row in chosen], ["car", "bus", "tram"], top=make_picture.TOP)
    for name in ("one.png", "two.png"):
        make_picture.draw(chosen, predictions, "about", tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert image.size == (600, 350)  # two columns
        assert np.asarray(image.convert("RGB")).reshape(-1, 3).tolist().count([254, 0, 0]) > 2000, "the crops"


def test_the_eye_of_the_picture_is_ahead_to_the_left_and_above(make_picture):
    right, up, nearness = make_picture._seen(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]], float))
    assert nearness[3] < 0 < nearness[:3].min()
    assert np.abs([right[2], up[2] ** 2 + nearness[2] ** 2 - 1]).max() < 1e-12 and up[2] > 0.9


def test_the_committed_picture_is_small_and_wide():
    assert PICTURE.stat().st_size < 200_000
    with Image.open(PICTURE) as image:
        assert image.width == 1200
