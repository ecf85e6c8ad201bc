"""Every path and name is spelt out here once more, by hand."""

import ast
import inspect
import re
import shlex
from pathlib import Path

import pytest

import blendclip
from blendclip.errors import UserError
from blendclip.plain_names import inside
from blendclip.results import STAGES, Commands, Results, part_number, split_of

FILES = Results("out")
PLACES = {
    "datasets": (("city",), "datasets/city"),
    "index": (("city", "val"), "index/city/val.parquet"),
    "part": (("clouds", "city", "val", 7), "clouds/city/val/part-00007.parquet"),
    "rejects": (("views", "city", "val", 7), "rejects/city/val/part-00007.views.parquet"),
    "caption_statistics": (("city", "val", 7), "summaries/captions/city/val/part-00007.json"),
    "summary": (("city", "val"), "summaries/triplets/city/val.json"),
    "inspection": (("city", "val"), "inspection/city/val"),
    "embeddings": (("tiny", "city", "val", 7), "embeddings/tiny/city/val/part-00007.parquet"),
    "class_weights": (("tiny", "city", "plain"), "embeddings/tiny/classes/city.plain.parquet"),
    "packed_clouds": (("city", "val", 7), "packed/city/val/part-00007.arrow"),
    "packed_features": (("tiny", "city", "val", 7), "packed/tiny/city/val/part-00007.arrow"),
    "run": (("curriculum",), "runs/curriculum"),
    "recipe": (("curriculum",), "runs/curriculum/recipe.json"),
    "model_weights": (("curriculum",), "runs/curriculum/model.safetensors"),
    "model_about": (("curriculum",), "runs/curriculum/model.json"),
    "metrics_log": (("curriculum",), "runs/curriculum/log.jsonl"),
    "model": (("curriculum",), "models/curriculum"),
    "benchmark": (("street",), "evaluation/benchmarks/street.parquet"),
    "evaluation": (("curriculum", "street"), "evaluation/runs/curriculum/street"),
    "metrics": (("curriculum", "street"), "evaluation/runs/curriculum/street/metrics.json"),
    "predictions": (("curriculum", "street"), "evaluation/runs/curriculum/street/predictions.parquet"),
    "report": ((), "report"),
    "tables": ((), "tables"),
    "caches": ((), "caches"),
    "caption_cache": (("city", "val", 64, 7), "caches/captions/city/val/of-64/part-00007.sqlite"),
    "shared_caption_cache": ((), "caches/captions.sqlite"),
    "embedding_cache": (("tiny", "city", "val", 16), "caches/embeddings/tiny/city/val/part-00016"),
    "logs": ((), "logs"),
    "timings": ((), "timings"),
}
FOLDERS = {place.split("/")[0] for _, place in PLACES.values()}
PACKAGE = Path(blendclip.__file__).parent
SPELT = {
    "results.py": {*FOLDERS, "part-"},
    "reporting/gallery/assets.py": {"clouds"},  # in the gallery's own folder
}
LISTINGS = {"parts", "embedding_parts", "packed_parts", "every_part", "summaries", "count_parts", "check_parts"}
LISTINGS |= {"caption_caches", "indices", "mined_parts", "rejects_parts"}


@pytest.mark.parametrize(("name", "names", "place"), [(name, *rest) for name, rest in PLACES.items()], ids=PLACES)
def test_where_things_lie(name, names, place):
    assert getattr(FILES, name)(*names) == Path("out") / place


@pytest.mark.parametrize("name", ["../../x", "..", "", "a/b", "/etc", "x\0y", "x\ny"])
def test_no_name_leads_out_of_its_place(name):
    assert inside(Path("out"), "a", "b c.é") == Path("out/a/b c.é")
    with pytest.raises(UserError, match="cannot name a dataset, split, scene or sensor"):
        inside(Path("out"), "index", name)
    for method, (names, _) in PLACES.items():
        for number, old in enumerate(names):
            if isinstance(old, str) and old not in STAGES:
                others = [*names[:number], name, *names[number + 1 :]]
                with pytest.raises(UserError, match="cannot name"):
                    getattr(FILES, method)(*others)


def test_no_place_is_left_out_above():
    methods = {name for name, _ in inspect.getmembers(Results, inspect.isfunction) if not name.startswith("_")}
    assert methods == {*PLACES, *LISTINGS, "relative"}


def folders_spelt_in(source):
    """The names of folders of results that a module joins to a path, and names of parts that it makes."""
    joined = [node.right for node in ast.walk(ast.parse(source)) if isinstance(node, ast.BinOp)]
    texts = {node.value for node in joined if isinstance(node, ast.Constant)}
    parts = {"part-"} if re.search(r"\bf?['\"]part-", source) else set()
    return {text for text in texts if text in FOLDERS} | parts


def test_no_other_module_spells_a_place():
    assert folders_spelt_in('place = results / "runs" / run / f"part-{part:05d}.parquet"') == {"runs", "part-"}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        assert folders_spelt_in(path.read_text()) <= SPELT.get(name, set()), f"{name}: take places from results.py"


def test_wildcards_stand_where_names_do():
    files, split = Results("<results>"), ("{dataset}", "{split}")
    assert str(files.part("triplets", *split, "{part}")) == "<results>/triplets/{dataset}/{split}/part-{part}.parquet"
    assert str(files.rejects("cad", "shapes", *split[1:], "{part}")).endswith("/shapes/{split}/part-{part}.cad.parquet")
    weights = files.class_weights("tiny", "{classes}", "{templates}")
    assert str(weights) == "<results>/embeddings/tiny/classes/{classes}.{templates}.parquet"
    assert str(files.metrics("{run}", "{benchmark}")) == "<results>/evaluation/runs/{run}/{benchmark}/metrics.json"
    assert str(files.caption_statistics(*split, "{part}")).endswith("captions/{dataset}/{split}/part-{part}.json")


def test_another_report_has_tables_of_its_own():
    assert FILES.report("sweep_ratios") == Path("out/sweep_ratios")
    assert FILES.tables("sweep_ratios") == Path("out/sweep_ratios_tables")


def touch(root, *places):
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).touch()


def test_parts_are_listed_by_number_and_nothing_else_is(tmp_path):
    folder = "clouds/city/val"
    parts = [f"{folder}/part-{number}.parquet" for number in ("00002", "00010", "100000")]
    touch(tmp_path, *reversed(parts), f"{folder}/part-00003.csv", f"{folder}/.part-00004.parquet.tmp")
    touch(tmp_path, f"{folder}/part-00005.views.parquet", "clouds/city/train/part-00000.parquet")
    found = Results(tmp_path).parts("clouds", "city", "val")
    assert found == [tmp_path / part for part in parts]
    assert [part_number(path) for path in found] == [2, 10, 100000]
    with pytest.raises(UserError, match="views/city/val holds no part-.*: run the stage that writes it first"):
        Results(tmp_path).parts("views", "city", "val")


def test_indices_and_rejects_are_listed_where_there_are_any(tmp_path):
    files = Results(tmp_path)
    assert files.indices() == files.rejects_parts("city", "val") == files.mined_parts("views", "city", "val") == []
    touch(tmp_path, "index/town/val.parquet", "index/city/val.parquet", "index/city/train.parquet")
    touch(tmp_path, "rejects/city/val/part-00001.clouds.parquet", "rejects/city/val/part-00000.views.parquet")
    touch(tmp_path, "views/city/val/part-00000.parquet")
    assert files.indices() == [files.index(*place) for place in (("city", "train"), ("city", "val"), ("town", "val"))]
    assert files.indices("city") == files.indices()[:2] and files.indices(split="train") == files.indices()[:1]
    assert [path.name[5:10] for path in files.rejects_parts("city", "val")] == ["00000", "00001"]
    assert files.mined_parts("views", "city", "val") == [files.part("views", "city", "val", 0)]


def test_features_and_packed_files_are_listed(tmp_path):
    files = Results(tmp_path)
    assert files.packed_parts("tiny", "city", "val") == ([], [])
    touch(tmp_path, "packed/city/val/part-00000.arrow", "packed/city/val/part-00001.arrow")
    touch(tmp_path, "packed/tiny/city/val/part-00000.arrow", "embeddings/tiny/city/val/part-00000.parquet")
    clouds, features = files.packed_parts("tiny", "city", "val")
    assert clouds == [files.packed_clouds("city", "val", part) for part in (0, 1)]
    assert features == [files.packed_features("tiny", "city", "val", 0)]
    assert files.embedding_parts("tiny", "city", "val") == [files.embeddings("tiny", "city", "val", 0)]


def test_what_there_is_of_all_splits(tmp_path):
    files = Results(tmp_path)
    assert files.every_part("triplets") == [] and files.summaries() == []
    touch(tmp_path, "triplets/town/val/part-00001.parquet", "triplets/city/val/part-00000.parquet")
    touch(tmp_path, "triplets/town/val/part-00000.parquet", "summaries/captions/city/val/part-00000.json")
    touch(tmp_path, "summaries/triplets/town/val.json", "summaries/triplets/city/val.json")
    assert [(split, path.name) for split, path in files.every_part("triplets")] == [
        ("city/val", "part-00000.parquet"),
        ("town/val", "part-00000.parquet"),
        ("town/val", "part-00001.parquet"),
    ]
    assert files.summaries() == [files.summary("city", "val"), files.summary("town", "val")]


def test_parts_are_counted_over_all_stages(tmp_path):
    files = Results(tmp_path)
    with pytest.raises(UserError, match="triplets/city/val holds no part-"):
        files.count_parts("city", "val")
    touch(tmp_path, "clouds/city/val/part-00000.parquet", "views/city/val/part-00003.parquet")
    touch(tmp_path, "captions/city/train/part-00009.parquet")
    assert files.count_parts("city", "val") == 4


@pytest.mark.parametrize(
    "left",
    [
        "triplets/city/val/part-00002.parquet",
        "rejects/city/val/part-00002.cad.parquet",
        "summaries/captions/city/val/part-00002.json",
    ],
)
def test_what_is_left_of_further_parts_is_told(tmp_path, left):
    touch(tmp_path, "triplets/city/val/part-00001.parquet", "triplets/city/train/part-00009.parquet")
    Results(tmp_path).check_parts("city", "val", 2)
    touch(tmp_path, left)
    with pytest.raises(UserError, match=f"{left} and 0 more files are left from a run with more than 2 parts: delete"):
        Results(tmp_path).check_parts("city", "val", 2)


@pytest.mark.parametrize("text", ["city", "city/", "/val", "city/val/0", ""])
def test_what_is_no_split_is_told(text):
    assert split_of("city/mini_val") == ("city", "mini_val")
    with pytest.raises(UserError, match="names no split: write dataset/split, such as city/mini_val"):
        split_of(text)


def test_links_change_no_name(tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    touch(disk, "a/city/val/part-00000.parquet")
    touch(tmp_path, "real/index/x")
    (tmp_path / "real" / "triplets").symlink_to(disk / "a")
    (tmp_path / "results").symlink_to(tmp_path / "real")
    files = Results(tmp_path / "results")
    (path,) = files.parts("triplets", "city", "val")
    assert files.relative(path) == "triplets/city/val/part-00000.parquet"
    assert files.named.root == Path("results")
    monkeypatch.chdir(tmp_path / "results")
    assert Results(".").named.root.name == Path.cwd().name
    assert Results(".").relative(Path("index/../triplets/city")) == "triplets/city"


def test_a_command_is_what_a_shell_takes():
    commands = Results("my results").commands
    line = commands.evaluate("a run", "street", "it's", "plain")
    assert line.startswith("blendclip evaluate --results 'my results' --run 'a run' ")
    assert "--triplets" not in line and "--triplets city/val" in commands.evaluate("r", "b", "c", "t", "city/val")
    assert shlex.split(line)[-3:] == ["it's", "--templates", "plain"]
    line = commands.report(["one", "two"], ["street"], [], [], [], "report", "tables")
    folders = "--output 'my results/report' --tables 'my results/tables'"
    assert line.endswith(f"--runs one two --benchmarks street --splits {folders}")
    assert "--generated" not in line and "--real" not in line
    assert Commands.vllm_env("a folder") == "blendclip vllm-env 'a folder'"
