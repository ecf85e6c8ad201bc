"""Commands name, encode and search on files and on Parquet."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import blendclip
from blendclip import storage
from blendclip.cli.main import main
from tests.evaluation.test_benchmark import clouds as labelled_clouds
from tests.evaluation.test_benchmark import write_benchmark
from tests.models import small_model

CLASSES = ["car", "excavator", "traffic cone"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model, and with clouds in files and in Parquet."""
    folder = tmp_path_factory.mktemp("naming")
    small_model().save(folder / "mine")
    (folder / "clouds" / "more").mkdir(parents=True)
    for number, points in enumerate(some_clouds()):
        np.save(folder / "clouds" / ("more" if number % 2 else "") / f"{number}.npy", points)
    (folder / "clouds" / "notes.txt").write_text("not a cloud")
    write_benchmark(folder, labelled_clouds(30), group=7)
    return folder


def some_clouds():
    return [np.random.default_rng(number).normal(size=(20 + number, 3)).astype(np.float32) for number in range(6)]


def run(place, command, *arguments, **options):
    options = {"model": place / "mine", "device": "cpu"} | options
    return main([command, *map(str, arguments), *(f"--{name.replace('_', '-')}={v}" for name, v in options.items())])


def test_files_in_folders_are_named(place, tmp_path, capsys):
    output = tmp_path / "names.parquet"
    assert run(place, "name", place / "clouds", classes=",".join(CLASSES), output=output, top=2) == 0
    rows = pq.read_table(output).to_pylist()
    paths = sorted((place / "clouds").rglob("*.npy"))
    assert [row["file"] for row in rows] == [row["cloud_id"] for row in rows] == list(map(str, paths))
    model = blendclip.load(place / "mine")
    expected = model.classify(paths, CLASSES, top=2)
    assert [row["name"] for row in rows] == expected.names
    assert [row["top_names"] for row in rows] == [[name for name, _ in best] for best in expected]
    np.testing.assert_allclose([row["score"] for row in rows], expected.scores, atol=1e-6)
    np.testing.assert_allclose([row["embedding"] for row in rows], model.encode(paths), atol=1e-6)
    printed = capsys.readouterr().out
    assert all(str(path) in printed for path in paths) and f"{output}: " in printed


def test_parquet_is_encoded_row_by_row_with_what_it_says_of_clouds(place, tmp_path):
    output, benchmark = tmp_path / "embeddings.parquet", place / "evaluation" / "benchmarks" / "made.parquet"
    assert run(place, "encode", benchmark, output=output) == 0
    table, source = pq.read_table(output), pq.read_table(benchmark)
    for name in ("cloud_id", "instance_token", "scene", "class_name", "num_points"):
        assert table[name].to_pylist() == source[name].to_pylist()
    assert table["row"].to_pylist() == list(range(30)) and set(table["file"].to_pylist()) == {str(benchmark)}
    clouds = [np.array(points, np.float32) for points in source["points"].to_pylist()]
    expected = blendclip.load(place / "mine").encode(clouds)
    np.testing.assert_allclose(table["embedding"].to_pylist(), expected, atol=1e-5)
    assert pq.ParquetFile(output).num_row_groups == pq.ParquetFile(benchmark).num_row_groups == 5
    assert storage.options_of(output)["clip"] == "tiny"


def test_a_table_of_ones_own_with_empty_clouds(place, tmp_path):
    points = [cloud.tolist() for cloud in some_clouds()]
    points[1], points[2] = [], None
    pq.write_table(pa.table({"points": points}), tmp_path / "mine.parquet")
    output = tmp_path / "names.parquet"
    assert run(place, "name", tmp_path / "mine.parquet", classes="nuscenes", output=output) == 0
    rows = pq.read_table(output).to_pylist()
    assert [row["name"] is None for row in rows] == [False, True, True, False, False, False]
    assert [row["embedding"] is None for row in rows] == [row["name"] is None for row in rows]
    assert [row["num_points"] for row in rows] == [20, 0, 0, 23, 24, 25]
    assert rows[5]["cloud_id"] == f"{tmp_path / 'mine.parquet'}:5"


def test_colors_of_parquet_are_grey_where_it_has_none(tmp_path):
    model = small_model(colors=True)
    model.save(tmp_path / "colored")
    shades = [[255, 0, 0], None, [0, 0, 51]]
    points = some_clouds()[0][:3]
    table = pa.table({"points": [points.tolist()] * 2, "rgb": [shades, None]})
    pq.write_table(table, tmp_path / "mine.parquet")
    output = tmp_path / "embeddings.parquet"
    assert run(tmp_path, "encode", tmp_path / "mine.parquet", output=output, model=tmp_path / "colored") == 0
    seen = np.array([[1, 0, 0], [0.4, 0.4, 0.4], [0, 0, 0.2]])
    expected = model.encode([np.concatenate([points, rgb], axis=1) for rgb in (seen, np.full((3, 3), 0.4))])
    np.testing.assert_allclose(pq.read_table(output)["embedding"].to_pylist(), expected, atol=1e-6)


def test_a_search_lists_and_draws_what_is_nearest(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((30, 40, 3), 200, np.uint8)).save("photo.png")
    inputs = [place / "clouds", place / "evaluation" / "benchmarks" / "made.parquet"]
    assert run(place, "encode", *inputs, output="embeddings.parquet") == 0
    capsys.readouterr()
    texts = ["a black pickup truck", "a cone"]
    arguments = ["search", "embeddings.parquet", "--text", *texts, "--image", "photo.png", "--top", "5"]
    assert main([*arguments, f"--model={place / 'mine'}", "--sheet", "hits.png", "--device=cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [*texts, "photo.png", "hits.png"]
    model, table = blendclip.load(place / "mine"), pq.read_table("embeddings.parquet")
    queries = np.concatenate([model.encode_text(texts), model.encode_image(["photo.png"])])
    cosines = queries @ np.array(table["embedding"].to_pylist()).T
    for number in range(3):
        best = np.argsort(-cosines[number])[:5]
        listed = [line.split()[:2] for line in lines[6 * number + 1 : 6 * number + 6]]
        assert listed == [[f"{cosines[number, row]:.3f}", table["cloud_id"][int(row)].as_py()] for row in best]
    drawn = np.asarray(Image.open("hits.png"))
    assert (np.ptp(drawn.reshape(-1, 3), axis=1) > 60).sum() > 100  # points have colors of height


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["name", "--classes=nuscenes", "--output=n.parquet"], "nothing to name: give files"),
        (["name", "nowhere.npy", "--classes=nuscenes", "--output=n.parquet"], "no file nowhere.npy"),
        (["name", "empty", "--classes=nuscenes", "--output=n.parquet"], "empty holds no cloud"),
        (["name", "one.npy", "--classes=nuscene", "--output=n.parquet"], "no classes named 'nuscene' ship"),
        (["name", "one.npy", "--classes=nuscenes", "--output=n.csv"], "n.csv is not named .parquet"),
        (["name", "one.npy", "--classes=car,car", "--output=n.parquet"], "the name 'car' comes twice"),
        (["name", "--boxes=b.csv", "--classes=nuscenes", "--output=n.parquet"], "needs one sweep"),
        (["name", "--boxes=b.json", "--index=i.parquet", "--classes=city", "--output=n.parquet"], "from --root"),
        (["name", "one.npy", "--boxes=b.csv", "--classes=city", "--output=n.parquet"], "no file b.csv"),
        (["name", "one.npy", "--boxes=b.txt", "--classes=city", "--output=n.parquet"], "neither .csv nor .parquet"),
        (["encode", "other.parquet", "--output=e.parquet"], "no column `points`"),
        (["encode", "notes.txt", "--output=e.parquet"], "notes.txt is of no kind that holds clouds"),
        (["search", "other.parquet", "--text", "a car"], "other.parquet holds no embeddings"),
        (["search", "nowhere.parquet", "--text", "a car"], "nowhere.parquet is missing"),
        (["search", "other.parquet"], "nothing to look for"),
    ],
)
def test_wrong_commands_are_told_in_one_sentence(place, tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    np.save("one.npy", some_clouds()[0])
    (tmp_path / "notes.txt").write_text("x")
    pq.write_table(pa.table({"a": [1]}), "other.parquet")
    assert main([*arguments, f"--model={place / 'mine'}", "--device=cpu"]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert sentence in told
    assert not (tmp_path / "n.parquet").exists() and not (tmp_path / "e.parquet").exists()


def test_embeddings_of_another_clip_are_not_searched(place, tmp_path, capsys):
    path = tmp_path / "e.parquet"
    assert run(place, "encode", place / "clouds", output=path) == 0
    table = pq.read_table(path)
    about = storage.metadata("naming", {"clip": "ViT-B-16_openai"})
    pq.write_table(table.replace_schema_metadata(about), path)
    assert run(place, "search", path, text="a car") == 1
    assert "made by a model of the CLIP ViT-B-16_openai and this one is of tiny" in capsys.readouterr().err


def test_boxes_of_a_sweep_are_named(place, tmp_path, capsys):
    rng = np.random.default_rng(0)
    sweep = rng.uniform([-10, -10, -1, 0, 0], [10, 10, 1, 255, 31], (5000, 5)).astype(np.float32)
    sweep.tofile(tmp_path / "sweep.pcd.bin")
    boxes = [[0, 0, 0, 4, 2, 2, 0.5], [5, 5, 0, 3, 3, 2, 0], [90, 0, 0, 4, 2, 2, 0], [np.nan, 0, 0, 1, 1, 1, 0]]
    with (tmp_path / "boxes.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow("x y z length width height yaw name score".split())
        writer.writerows([*box, "thing", 0.5] for box in boxes)
    output = tmp_path / "n.parquet"
    arguments = {"boxes": tmp_path / "boxes.csv", "classes": ",".join(CLASSES), "output": output}
    assert run(place, "name", tmp_path / "sweep.pcd.bin", **arguments) == 0
    rows = pq.read_table(output).to_pylist()
    expected = blendclip.load(place / "mine").classify(blendclip.crop(sweep, boxes[:3]), CLASSES)
    assert [row["name"] for row in rows] == [*expected.names, None] and rows[2]["name"] is None
    assert [row["detector_name"] for row in rows] == ["thing"] * 4 and rows[0]["detector_score"] == 0.5
    assert rows[1]["num_points"] == len(blendclip.crop(sweep, boxes[1:2])[0])
    printed = capsys.readouterr().out
    assert "2 boxes named" in printed and "1 boxes not named: no point of any sweep" in printed
    assert "1 boxes not named: not finite, of no size, or of no rotation" in printed
