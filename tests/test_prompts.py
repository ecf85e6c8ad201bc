"""Class names and templates are data that zero-shot classification rests on."""

import re
from pathlib import Path

import pytest
import yaml

from blendclip.evaluation.prompts import read_classes, read_rare, read_templates

PROMPTS = Path(__file__).parents[1] / "prompts"
COUNTS = {
    "nuscenes": 10,
    "truckscenes": 12,
    "modelnet40": 40,
    "scanobjectnn": 15,
    "city": 10,
    "shapes": 56,
    "argoverse2": 26,
    "nuscenes_categories": 23,
    "truckscenes_categories": 27,
}
PUBLISHED = ("nuscenes", "truckscenes", "modelnet40")


@pytest.mark.parametrize("path", sorted((PROMPTS / "classes").iterdir()), ids=lambda path: path.stem)
def test_class_names_are_texts_without_duplicates(path):
    classes = read_classes(path)
    assert len(classes) == COUNTS[path.stem.removesuffix("_published")]
    words = [word for group in classes.values() for word in group]
    assert all(isinstance(word, str) and word == word.strip() and word for word in [*classes, *words])
    assert len(words) == len(set(words)), "a word for two classes cannot tell them apart"
    assert all(classes.values())


@pytest.mark.parametrize("path", sorted((PROMPTS / "templates").iterdir()), ids=lambda path: path.stem)
def test_templates_hold_one_place_for_the_class(path):
    templates = read_templates(path)
    assert len(templates) == len(set(templates)) and templates
    assert all(template.count("{}") == 1 and template.format("car").count("car") == 1 for template in templates)


def test_driving_classes_are_those_of_the_benchmarks():
    from nuscenes.eval.detection.constants import DETECTION_NAMES as NUSCENES
    from truckscenes.eval.detection.constants import DETECTION_NAMES as TRUCKSCENES

    for name, official in (("nuscenes", NUSCENES), ("truckscenes", TRUCKSCENES), ("city", NUSCENES)):
        assert list(read_classes(PROMPTS / "classes" / f"{name}.yaml")) == list(official)


def test_categories_are_those_that_the_devkits_know():
    from nuscenes.utils.color_map import get_colormap as of_nuscenes
    from truckscenes.utils.colormap import get_colormap as of_truckscenes

    surfaces = ("noise", "flat.", "static.", "vehicle.ego")  # of lidarseg, which are no boxes
    for name, colors in (("nuscenes", of_nuscenes()), ("truckscenes", of_truckscenes())):
        annotated = [one for one in colors if not one.startswith(surfaces) or one == "vehicle.ego_trailer"]
        path = PROMPTS / "classes" / f"{name}_categories.yaml"
        assert sorted(read_classes(path)) == sorted(annotated)
        frequent = set(read_classes(path)) - set(read_rare(path))
        assert {"vehicle.car", "human.pedestrian.adult", "movable_object.barrier"} < frequent


def test_rare_categories_are_those_below_half_a_percent_by_the_counts_beside_them():
    """The eleven counts of the file's comment, in all 1,166,187: the next category has 9161."""
    path = PROMPTS / "classes" / "nuscenes_categories.yaml"
    comment = " ".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    counts = [int(number) for number in re.findall(r"[a-z] (\d{2,})[,.]", comment)]
    assert len(counts) == len(read_rare(path)) and max(counts) < 0.005 * 1_166_187 < 9161
    assert set(read_rare(path)) < set(read_rare(path.with_stem("truckscenes_categories")))


def test_the_generated_shapes_have_these_classes():
    from blendclip.synthetic.shapes.classes import CLASSES

    assert list(read_classes(PROMPTS / "classes" / "shapes.yaml")) == list(CLASSES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_words_are_the_names_alone_for_the_same_classes_in_the_same_order(name):
    ours, published = (read_classes(PROMPTS / "classes" / f"{file}.yaml") for file in (name, f"{name}_published"))
    assert list(published) == list(ours)
    assert published == {key: [key.replace("_", " ")] for key in ours}


def test_the_paper_s_benchmarks_take_published_words_and_its_template():
    paper = yaml.safe_load((PROMPTS.parent / "configs" / "paper.yaml").read_text())
    for name in PUBLISHED:
        assert paper["benchmarks"][name]["classes"] == f"{name}_published" and name in paper["evaluate"]
        template = read_templates(PROMPTS / "templates" / f"{paper['benchmarks'][name]['templates']}.yaml")
        assert template == ["point cloud of a {}."]
        assert paper["benchmarks"][f"{name}_words"]["classes"] == name
