"""The report: its tables against metrics made by hand, its page against the rules of HTML."""

import csv
import json
import math
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from blendclip.cli.main import main
from blendclip.errors import UserError
from blendclip.evaluation.bootstrap import Estimate
from blendclip.reporting.report import tables
from blendclip.reporting.report.evaluations import read_evaluations
from blendclip.reporting.report.label_efficiency import sweep_of, without_repeats
from blendclip.reporting.report.origins import Origins
from blendclip.reporting.report.table import Column, Row, Table, as_csv
from blendclip.reporting.report.write_report import headline_text, write_report
from tests.reporting.report import toy
from tests.reporting.report.toy import FIRST, NAMES, SECOND

VOID = {"wbr", "br", "img", "meta", "link", "hr", "input"}
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A report of four runs on two benchmarks, one of them a public one, and its folder."""
    results = tmp_path_factory.mktemp("page") / "results"
    runs = {"synthetic_only": (0.3, 0.6), "curriculum": (0.7, 0.6), "half": (0.6, 0.5), "no_bus": (0.5, 0.6)}
    for run, how in (("synthetic_only", "none"), ("half", "constant"), ("curriculum", "linear")):
        toy.write_run(results, run, schedule=how)
    toy.write_run(results, "no_bus", excluded=["bus"])
    toy.write_results(results, runs, ("city", "modelnet40"), held_out=["bus"])
    toy.write_summaries(results)
    write_report(
        results, list(runs), ["city", "modelnet40"], results / "report", results / "tables", Origins(("city",))
    )
    return results


class Page(HTMLParser):
    """Links, identifiers, and whether every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.ids, self.images, self.faults = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.links += [given[key] for key in ("href", "src") if key in given]
        self.ids += [given["id"]] if "id" in given else []
        if tag == "img":
            self.images.append(given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append((tag, self.getpos()))


def page_of(results):
    return (results / "report" / "index.html").read_text()


def test_the_best_is_bold_if_no_other_is_within_its_interval():
    columns = (Column("run"), Column("top-1", "percent", best=True))

    def marked(*values):
        rows = (*(Row(("ours", value)) for value in values), Row(("theirs", Estimate(0.9, 0.8, 1)), published=True))
        return Table("t", "T", columns, rows).marked

    assert marked(Estimate(0.1, 0.05, 0.2), Estimate(0.3, 0.2, 0.4)) == {(1, 1)}
    assert marked(Estimate(0.25, 0.05, 0.3), Estimate(0.3, 0.2, 0.4)) == set()
    assert marked(Estimate(0.25, 0.1, 0.6), Estimate(0.3, 0.28, 0.6)) == set(), "it is within the other's interval"
    assert marked(Estimate(0.3, 0.29, 0.31), Estimate(0.3, 0.29, 0.31)) == set(), "a tie"
    assert marked(0.1, Estimate(0.3, 0.2, 0.4)) == set(), "nothing to compare with"
    assert marked(Estimate(math.nan, math.nan, math.nan), Estimate(0.3, 0.2, 0.4)) == set()


def test_runs_are_compared_in_pairs_on_the_same_clouds(results):
    found = read_evaluations(results, ["first", "second"], ["street"])
    top1, mean_class = tables.differences(found, "street").rows
    assert top1.values[:5] == ("first", "second", "top-1", 12 / 20, 12 / 20)
    assert top1.values[5].value == 0 and top1.values[5].low < -0.1 and top1.values[5].high > 0.1
    assert mean_class.values[5].value == pytest.approx((1 + 2 / 4 + 0) / 3 - (8 / 10 + 1 / 4 + 3 / 6) / 3)
    assert not tables.differences(read_evaluations(results, ["first"], ["street"]), "street").rows


def test_csv_gives_the_exact_numbers_back(results):
    table = tables.per_class(read_evaluations(results, ["first", "second"], ["street"]), "street")
    rows = list(csv.DictReader(as_csv(table).splitlines()))
    assert [row["class"] for row in rows] == NAMES
    assert [float(row["first"]) for row in rows] == [8 / 10, 1 / 4, 3 / 6]
    assert [int(row["clouds"]) for row in rows] == [10, 4, 6]
    assert float(rows[0]["first low"]) == pytest.approx(0.8 - 1.96 * (0.8 * 0.2 / 10) ** 0.5)


def test_held_out_classes_of_other_runs_are_counted_from_their_confusion(results):
    toy.write_metrics(results, toy.metrics_of("second", "street", SECOND, NAMES, held_out=["bus", "cone"]))
    held_out = {"held_out": ["bus", "cone"], "excluded_from": "real"}
    toy.write_run(results, "third")
    toy.write_metrics(results, toy.metrics_of("third", "street", FIRST, NAMES, **held_out))
    toy.write_metrics(results, toy.metrics_of("bare", "street", FIRST, NAMES))
    toy.write_run(results, "bare", schedule="none")
    toy.write_metrics(results, toy.metrics_of("drives", "street", FIRST, NAMES))
    toy.write_run(results, "drives", schedule="constant", ratio=1.0, synthetic=())
    runs = ["first", "second", "third", "bare", "drives"]
    table = tables.held_out(read_evaluations(results, runs, ["street"]))
    without, cad_alone, never_driven, driven, trained = table.rows
    assert never_driven.values[2:4] == ("bare", "CAD alone") and driven.values[2:4] == ("drives", "recordings alone")
    assert without.values[2:5] == ("second", "no", 10) and without.values[5].value == 2 / 10
    assert cad_alone.values[2:5] == ("third", "CAD alone", 10) and cad_alone.values[5].value == (1 + 3) / 10
    assert trained.values[2:] == ("first", "yes", 10, (1 + 3) / 10, 10, 8 / 10)


def test_label_efficiency_takes_fixed_shares_and_their_mean(tmp_path):
    toy.write_run(tmp_path, "none", schedule="none")
    toy.write_run(tmp_path, "some", schedule="constant", ratio=0.015)
    toy.write_run(tmp_path, "some_again", schedule="constant", ratio=0.015, seed=1)
    toy.write_run(tmp_path, "real", schedule="constant", ratio=1.0, synthetic=())
    toy.write_run(tmp_path, "rising")
    toy.write_run(tmp_path, "wider", schedule="constant", ratio=0.2, encoder={"width": 9})
    late = {"schedule": "constant", "max_real_ratio": 0.015, "warmup": 0.1}  # not fixed: none at first
    toy.write_run(tmp_path, "late", mixture=late)
    runs = ["rising", "real", "some", "some_again", "none", "wider", "late"]
    for run in runs:
        confusion = SECOND if run == "some" else [[0, 10, 0], [0, 4, 0], [0, 0, 6]] if run == "some_again" else FIRST
        toy.write_metrics(tmp_path, toy.metrics_of(run, "street", confusion, NAMES))
    found = read_evaluations(tmp_path, runs, ["street"])
    sweep = sweep_of(found)
    assert sweep.by_share == {0.0: ["none"], 0.015: ["some", "some_again"], 1.0: ["real"]}
    assert sweep.others == ["wider"]
    assert sweep.mean(found, 0.015, "street") == (12 / 20 + 10 / 20) / 2
    rows = [row.values[1:3] for row in tables.label_efficiency(found).rows]  # 400 steps of 50 samples
    assert rows == [(0, "none"), (300, "some"), (300, "some_again"), (None, "mean of 2"), (20_000, "real")]
    assert without_repeats(found) == ["rising", "real", "some", "none", "wider", "late"]


def test_only_the_splits_asked_for_are_accounted_for(written):
    both, one = (read_evaluations(written, ["half"], ["city"], splits) for splits in (None, ["city/mini_val"]))
    assert [row.values[:2] for row in tables.datasets(both).rows] == [("city", "mini_train"), ("city", "mini_val")]
    assert [row.values[:2] for row in tables.datasets(one).rows] == [("city", "mini_val")]
    assert tables.datasets(one).sources == (written / "summaries" / "triplets" / "city" / "mini_val.json",)
    with pytest.raises(UserError, match="there is no .*city/test.json: `blendclip summary .*--split test` writes it"):
        read_evaluations(written, ["half"], ["city"], ["city/test"])


def test_published_numbers_stand_beside_their_benchmark_only(written):
    found = read_evaluations(written, ["curriculum"], ["city", "modelnet40"])
    (uni3d,) = [row for row in tables.headline(found, Origins(), found.benchmarks).rows if row.values[0] == "Uni3D-g"]
    assert uni3d.published
    assert uni3d.values[1:] == (None, None, None, None, 0.882, pytest.approx(0.993))
    found = read_evaluations(written, ["half"], ["city"])
    assert not any(row.published for row in tables.headline(found, Origins(), ["city"]).rows)
    rows = list(csv.DictReader((written / "tables" / "headline.csv").read_text().splitlines()))
    assert {row["run"] for row in rows if row["published"] == "no"} == {
        "synthetic_only",
        "curriculum",
        "half",
        "no_bus",
        "always the most frequent class",
    }
    assert "published, not measured here" in page_of(written)


def test_the_page_is_well_formed_and_its_links_lead_to_files(written):
    page = Page(page_of(written))
    assert not page.faults and not page.open
    assert len(set(page.ids)) == len(page.ids)
    assert len(page.images) > 5 and all(len(image["alt"]) > 20 for image in page.images)
    sources = ("https://github.com/Colin97/", "https://github.com/baaivision/", "https://github.com/salesforce/")
    assert not [link for link in page.links if link.startswith("..")], "the folder can be sent alone"
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif not link.startswith(("data:", "https://arxiv.org/abs/2510.18244", *sources)):
            assert "//" not in link and (written / "report" / unquote(link)).is_file(), link


def test_generated_benchmarks_say_so(written):
    label = "generated data, says nothing about real streets"
    text = page_of(written)
    assert f'<h2 id="benchmark-city">Benchmark city <span class="label">{label}</span></h2>' in text
    assert '<h2 id="benchmark-modelnet40">Benchmark modelnet40</h2>' in text
    assert f"city: {label}" in (written / "tables" / "headline.md").read_text()
    assert f"city: {label}" in " ".join(headline_text(written, ["half"], ["city"], Origins(("city",))).split())


def test_names_of_any_letters_break_no_figure_table_or_page(tmp_path):
    """A $ starts no formula, a | ends no cell, < opens no element, and 300 letters leave room for the axes."""
    results, names = tmp_path / "results", ["$x_{2$ and", "a | b <script>alert(1)</script>", "long " * 60]
    for run, confusion in (("first", FIRST), ("second", SECOND)):
        toy.write_metrics(results, toy.metrics_of(run, "street", confusion, names, drives=True))
        toy.write_run(results, run)
    write_report(results, ["first", "second"], ["street"], results / "report", results / "tables")
    page = Page((results / "report" / "index.html").read_text())
    assert not page.faults and "alert" not in page.ids
    assert "<script>alert" not in (results / "report" / "index.html").read_text()
    lines = (results / "tables" / "per_class_street.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "&lt;script&gt;" in "".join(rows) and "$x_{2$ and" in "".join(rows)
    plain = tmp_path / "plain"
    for run, confusion in (("first", FIRST), ("second", SECOND)):
        toy.write_metrics(plain, toy.metrics_of(run, "street", confusion, NAMES, drives=True))
        toy.write_run(plain, run)
    write_report(plain, ["first", "second"], ["street"], plain / "report", plain / "tables")
    figures = sorted((plain / "report" / "figures").glob("*_street*.png"))
    assert any(path.name.startswith("confusion") for path in figures)
    for path in figures:
        with Image.open(path) as other, Image.open(results / "report" / "figures" / path.name) as image:
            assert image.size == other.size
            assert dark_columns(image) > dark_columns(other) / 2, "the axes keep half of their width"


def dark_columns(image):
    """How many columns of a figure hold the blue of a bar or of a cell that is full."""
    blue = np.asarray(image.convert("RGB")).astype(int)
    return ((blue[..., 2] - blue[..., 0]) > 60).any(axis=0).sum()


def test_figures_are_there_as_svg_and_png(written):
    folder = written / "report" / "figures"
    stems = {path.stem for path in folder.glob("*.svg")}
    assert {"per_class_city", "slices_city", "tracks_city", "training", "dataset_city", "rejects"} <= stems
    assert {"label_efficiency", "confusion_city_curriculum"} <= stems
    assert {path.stem for path in folder.glob("*.png")} == stems
    with Image.open(folder / "training.png") as picture:
        assert picture.width > 1000


def test_the_same_bytes_twice_and_no_figure_of_before(results, tmp_path):
    def files(folder):
        write_report(results, ["first", "second"], ["street"], folder / "report", folder / "tables")
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    (tmp_path / "two" / "report" / "figures").mkdir(parents=True)
    (tmp_path / "two" / "report" / "figures" / "old.svg").write_text("")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert not any(str(tmp_path).encode() in content for content in files(tmp_path / "one").values())


def moved_behind_a_link(path, elsewhere):
    """Move a folder away and leave a link to it."""
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("linked", ["runs", "runs/first", "evaluation", "summaries", "report", "tables", "."])
def test_links_among_the_results_change_no_byte(results, tmp_path, linked):
    def files():
        write_report(results, ["first", "second"], ["street"], results / "report", results / "tables")
        paths = [path for folder in ("report", "tables") for path in (results / folder).rglob("*") if path.is_file()]
        return {path.relative_to(results): path.read_bytes() for path in paths}

    toy.write_summaries(results)
    plain = files()
    assert Path("report/files/runs/first/log.jsonl") in plain
    moved_behind_a_link(results / linked, tmp_path / "elsewhere")
    assert (results / linked).is_symlink() and files() == plain


def test_a_gallery_finds_its_place(results, tmp_path):
    def gallery(results, runs, benchmarks, output):
        return f"<p>{'+'.join(runs)} on {'+'.join(benchmarks)}</p>"

    page = write_report(
        results, ["first"], ["street"], tmp_path / "report", tmp_path / "tables", gallery=gallery
    ).read_text()
    assert "<p>first on street</p>" in page and '<a href="#gallery">' in page


def test_the_commands_print_the_page_and_the_accuracy(results, capsys, monkeypatch):
    monkeypatch.setattr(
        "blendclip.reporting.gallery.write_gallery.write_gallery", lambda *asked: f"<p>pictures of {asked[1]}</p>"
    )
    choice = ["--results", str(results), "--runs", "first", "second", "--benchmarks", "street"]
    assert main(["report", *choice]) == 0
    assert capsys.readouterr().out == f"{results / 'report' / 'index.html'}\n"
    assert "<p>pictures of ['first', 'second']</p>" in (results / "report" / "index.html").read_text()
    assert main(["show-report", *choice]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[4].split()[:2] == ["first", "51.7"] and lines[5].split()[:2] == ["second", "50.0"]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (
            lambda folder: (folder / "metrics.json").unlink(),
            "there is no .*metrics.json: `blendclip evaluate` writes it",
        ),
        (lambda folder: (folder / "metrics.json").write_text("{"), "is no JSON"),
        (lambda folder: change(folder, clouds="many"), "is not what this version writes"),
        (lambda folder: change(folder, by_points=None), "is not what this version writes"),
        (lambda folder: change(folder, confusion=[[1]]), "no square"),
        (lambda folder: change(folder, run="other"), "put it back where it belongs"),
        (lambda folder: change(folder, clouds=7), "measured on different clouds"),
        (lambda folder: (folder.parents[3] / "runs/second/log.jsonl").unlink(), "train the run"),
        (lambda folder: (folder.parents[3] / "runs/second/recipe.json").unlink(), "`blendclip recipe` writes it"),
    ],
)
def test_what_is_missing_or_wrong_is_one_sentence(results, harm, said):
    harm(results / "evaluation" / "runs" / "second" / "street")
    with pytest.raises(UserError, match=said) as caught:
        read_evaluations(results, ["first", "second"], ["street"])
    assert "\n" not in str(caught.value)


def change(folder, **keys):
    path = folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_names_given_twice_or_unknown_are_refused(results, tmp_path):
    with pytest.raises(UserError, match="each of them once"):
        read_evaluations(results, ["first", "first"], ["street"])
    with pytest.raises(UserError, match="add it to --runs"):
        write_report(results, ["first"], ["street"], tmp_path / "r", tmp_path / "t", shown=["second"])


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_a_link_sorts_a_table(written, tmp_path):
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    address = f"file://{written}/report/index.html#table-headline/2/descending"
    command = [CHROMIUM, *options.split(), f"--user-data-dir={tmp_path}", "--dump-dom", address]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
    headline = dom[dom.index('id="table-headline"') :]
    assert 'aria-sort="descending"><button type="button">top-1' in headline
    places = {run: headline.index(f">{run}</th>") for run in ("synthetic_only", "curriculum", "half", "no_bus")}
    accuracy = {run: toy_accuracy(written, run) for run in places}
    assert sorted(places, key=places.get) == sorted(accuracy, key=accuracy.get, reverse=True)


def toy_accuracy(results, run):
    path = results / "evaluation" / "runs" / run / "city" / "metrics.json"
    return json.loads(path.read_text())["top1"]["value"]
