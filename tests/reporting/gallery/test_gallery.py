from __future__ import annotations

import base64
import html
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from blendclip.errors import UserError
from blendclip.reporting.gallery.titles import Titles
from blendclip.reporting.gallery.write_gallery import write_gallery
from tests.reporting.gallery.toy import CLASSES, SCRIPT, TITLES, make_results, write_benchmark, write_evaluation


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    clouds = make_results(folder / "results")
    fragment = write_gallery(folder / "results", ["first", "second"], ["city"], folder / "report")
    return folder, {cloud["cloud_id"]: cloud for cloud in clouds}, fragment


class _Tree(HTMLParser):
    """HTML as an ElementTree."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._builder = ElementTree.TreeBuilder()
        self._builder.start("root", {})
        self.feed(text)
        self._builder.end("root")
        self.root = self._builder.close()

    def handle_starttag(self, tag, attrs):
        self._builder.start(tag, {name: value or "" for name, value in attrs})
        if tag in ("img", "input", "link", "br"):
            self._builder.end(tag)

    def handle_endtag(self, tag):
        self._builder.end(tag)

    def handle_data(self, data):
        self._builder.data(data)


def words(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def of_class(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [one for one in element.iter() if name in one.get("class", "").split()]


def tree(fragment: str) -> ElementTree.Element:
    return _Tree(fragment).root


def predictions(folder: Path, run: str) -> dict[str, dict]:
    path = folder / "results" / "evaluation" / "runs" / run / "city" / "predictions.parquet"
    return {row["cloud_id"]: row for row in pq.read_table(path).to_pylist()}


def triplets(folder: Path) -> dict[str, dict]:
    rows = [
        row for path in folder.glob("results/triplets/city/val/*.parquet") for row in pq.read_table(path).to_pylist()
    ]
    return {row["annotation_token"]: row for row in rows}


def shown_points(folder: Path, card: ElementTree.Element) -> tuple[np.ndarray, float]:
    """The points of a card's canvas, as the viewer reads them, and half a step of their quantisation."""
    canvas = next(card.iter("canvas"))
    script = (folder / f"report/gallery/clouds/{canvas.get('data-script')}.js").read_text()
    head, _, listed = script.partition("] = ")
    assert head.endswith(f'["{canvas.get("data-script")}"')
    cloud = json.loads(listed.rstrip().removesuffix(";"))[int(canvas.get("data-cloud"))]
    steps = np.frombuffer(base64.b64decode(cloud["points"]), "<i2").reshape(-1, 3)
    return np.array(cloud["centre"]) + cloud["scale"] * steps / 32767, cloud["scale"] / 32767 / 2


@pytest.mark.parametrize("run", ["first", "second"])
@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_predictions_are_those_of_the_run(toy, run, kind):
    folder, clouds, fragment = toy
    said = predictions(folder, run)
    [panel] = [
        one
        for one in of_class(tree(fragment), "gallery-panel")
        if (one.get("data-run"), one.get("data-kind")) == (run, kind)
    ]
    cards = of_class(panel, "gallery-card")
    of_kind = [row for row in said.values() if (row["rank"] == 0) == (kind == "right")]
    assert len(cards) == min(8, len({row["instance_token"] for row in of_kind}))
    assert f"{len(cards)} of {len(of_kind)} {kind} predictions" in words(panel)
    assert len({clouds[card.get("data-cloud-id")]["instance_token"] for card in cards}) == len(cards)
    for card in cards:
        row = said[card.get("data-cloud-id")]
        assert (row["rank"] == 0) == (kind == "right")
        lines = list(card.iter("li"))
        names = [words(of_class(line, "gallery-name")[0]).removesuffix(" ✓") for line in lines]
        assert names == [TITLES[CLASSES[number]] for number in row["top5"]]
        assert [words(of_class(line, "gallery-cosine")[0]) for line in lines] == [
            f"{x:.2f}" for x in row["top5_scores"]
        ]
        marked = [name for line, name in zip(lines, names, strict=True) if "gallery-right" in line.get("class", "")]
        assert marked == [TITLES[row["class_name"]]] * (row["rank"] < 5)
        assert ("The right class comes at place 6." in words(card)) == (row["rank"] == 5)
        assert words(next(card.iter("h5"))).startswith(TITLES[row["class_name"]])
        assert words(of_class(card, "gallery-about")[-1]).startswith(f"{row['num_points']:,} point")


def test_predictions_are_spread_over_classes_and_the_surest_mistake_is_shown(toy):
    folder, clouds, fragment = toy
    said = predictions(folder, "first")
    for panel in of_class(tree(fragment), "gallery-panel"):
        if panel.get("data-run") == "first":
            ids = [card.get("data-cloud-id") for card in of_class(panel, "gallery-card")]
            of_kind = [row for row in said.values() if (row["rank"] == 0) == (panel.get("data-kind") == "right")]
            if panel.get("data-kind") == "right":
                assert {clouds[name]["class_name"] for name in ids} == {row["class_name"] for row in of_kind}
            else:
                surest = max(of_kind, key=lambda row: row["top5_scores"][0] - row["top5_scores"][1])
                sure = [
                    card.get("data-cloud-id")
                    for card in of_class(panel, "gallery-card")
                    if of_class(card, "gallery-sure")
                ]
                assert sure[0] == surest["cloud_id"] and len(sure) == 4
                assert len({clouds[name]["class_name"] for name in sure}) == 4


def test_clouds_are_those_of_the_benchmark_and_of_the_triplets(toy):
    folder, clouds, fragment = toy
    cards = of_class(tree(fragment), "gallery-card")
    assert len(cards) > 30
    of_triplet = {f"city/{token}": row for token, row in triplets(folder).items()}
    for card in cards:
        truth = clouds.get(card.get("data-cloud-id")) or of_triplet[card.get("data-triplet")]
        points, half_step = shown_points(folder, card)
        if truth["num_points"] <= 4096:
            np.testing.assert_allclose(points, truth["points"], rtol=0, atol=half_step + 2e-6)
        else:
            assert len(points) == 4096 and "(4,096 drawn)" in words(card)


def test_crops_and_captions_are_those_of_the_same_annotation(toy):
    folder, _, fragment = toy
    known = triplets(folder)
    with_crop = without = 0
    for card in of_class(tree(fragment), "gallery-card"):
        token = card.get("data-cloud-id") or card.get("data-triplet").removeprefix("city/")
        if token in known:
            [image] = card.iter("img")
            assert (folder / "report" / image.get("src")).read_bytes() == known[token]["image"]["bytes"]
            assert words(of_class(card, "gallery-caption")[0]) == f"“{known[token]['caption']}”"
            with_crop += 1
        else:
            assert not list(card.iter("img")) and "this cloud has no triplet" in words(card)
            assert not of_class(card, "gallery-caption")
            without += 1
    assert with_crop and without


def test_triplets_are_spread_over_classes_and_objects(toy):
    folder, _, fragment = toy
    known = {f"city/{token}": row for token, row in triplets(folder).items()}
    [split] = [one for one in tree(fragment).iter() if one.get("data-split") == "city/val"]
    rows = [known[card.get("data-triplet")] for card in of_class(split, "gallery-card")]
    assert len(rows) == 12 == len({row["instance_token"] for row in rows})
    assert {row["class_name"] for row in rows} == {*CLASSES, None}
    distances = [row["distance_m"] for row in rows]
    assert min(distances) < 20 and max(distances) > 40


def test_cards_name_categories_and_classes_in_plain_words(tmp_path):
    make_results(tmp_path, count=4, runs=("first",))
    titles = Titles(tmp_path, "first", ["city"])
    assert titles.of("movable_object.pushable_pullable") == "cart"
    assert titles.of("static_object.traffic_sign") == "traffic sign", "of MAN TruckScenes"
    assert titles.of("traffic_cone") == "traffic cone", "by the words of the benchmark"
    assert titles.of("furniture.side_table") == "side table", "by nobody's words"


def test_text_is_escaped(tmp_path):
    make_results(tmp_path / "results", count=2, runs=("<b>run",))  # the second cloud alone has a triplet
    fragment = write_gallery(tmp_path / "results", ["<b>run"], ["city"], tmp_path / "report")
    assert html.escape(SCRIPT, quote=False).replace("'", "&#39;") in fragment
    assert "<script>alert" not in fragment and "<b>run" not in fragment


def test_same_input_gives_the_same_bytes(toy, tmp_path):
    folder, _, fragment = toy
    (tmp_path / "gallery/crops").mkdir(parents=True)
    (tmp_path / "gallery/crops/old.jpg").write_bytes(b"of an earlier gallery")
    assert write_gallery(folder / "results", ["first", "second"], ["city"], tmp_path) == fragment

    def files(root: Path) -> dict[Path, bytes]:
        return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    assert files(tmp_path / "gallery") == files(folder / "report/gallery")
    assert not re.search(rb"https?://", b"".join(files(tmp_path).values()) + fragment.encode())
    assert str(folder) not in fragment


@pytest.mark.parametrize("linked", ["triplets", "triplets/city", "evaluation", "."])
def test_links_among_the_results_change_no_byte(tmp_path, linked):
    def files():
        fragment = write_gallery(results, ["first"], ["city"], tmp_path / "report")
        assert fragment.count("<img") > 3
        folder = tmp_path / "report"
        written = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return fragment, written

    results = tmp_path / "results"
    make_results(results, count=8, runs=("first",))
    plain = files()
    (results / linked).rename(tmp_path / "elsewhere")
    (results / linked).symlink_to(tmp_path / "elsewhere")
    assert (results / linked).is_symlink() and files() == plain


def test_a_benchmark_from_elsewhere_has_no_triplets(tmp_path):
    clouds = make_results(tmp_path / "results", runs=())
    foreign = [cloud | {"cloud_id": f"file/{cloud['cloud_id']}", "scene": None, "distance_m": None} for cloud in clouds]
    write_benchmark(tmp_path / "results", "foreign", foreign)
    write_evaluation(tmp_path / "results", "run", "foreign", foreign, np.random.default_rng(0))
    fragment = write_gallery(tmp_path / "results", ["run"], ["foreign"], tmp_path / "report")
    assert "No cloud of these benchmarks has a triplet" in fragment and "<img" not in fragment
    assert "m away" not in fragment and not (tmp_path / "report/gallery/crops").exists()


@pytest.mark.parametrize(
    "missing",
    [
        "evaluation/benchmarks/city.parquet",
        "evaluation/runs/first/city/predictions.parquet",
        "evaluation/runs/first/city/metrics.json",
    ],
)
def test_a_missing_file_is_told_in_a_sentence(tmp_path, missing):
    make_results(tmp_path / "results", count=4, runs=("first",))
    (tmp_path / "results" / missing).unlink()
    with pytest.raises(UserError, match=f"{missing} is missing: run the stage that writes it first"):
        write_gallery(tmp_path / "results", ["first"], ["city"], tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_predictions_of_another_benchmark_are_refused(tmp_path):
    clouds = make_results(tmp_path / "results", count=8, runs=("first",))
    write_benchmark(tmp_path / "results", "city", clouds[:-1])
    with pytest.raises(UserError, match="other clouds than benchmark city now holds: evaluate first on it again"):
        write_gallery(tmp_path / "results", ["first"], ["city"], tmp_path / "report")
