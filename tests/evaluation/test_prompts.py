"""Files of prompts are read strictly, and classes of several files become one set."""

import pytest

from blendclip.errors import UserError
from blendclip.evaluation.prompts import merged_classes, read_classes, read_rare, read_templates


def written(folder, text):
    path = folder / "some.yaml"
    path.write_text(text)
    return path


def test_classes_are_read_in_order(tmp_path):
    path = written(tmp_path, "classes:\n  truck: [truck, lorry]\n  car: [car]\n")
    assert list(read_classes(path).items()) == [("truck", ["truck", "lorry"]), ("car", ["car"])]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("classes:\n  car: [car]\n  car: [auto]\n", "the key car stands twice"),
        ("classes:\n  car: [car]\nclasses:\n  bus: [bus]\n", "the key classes stands twice"),
        ("classes:\n  car: [car]\n  bus: [car]\n", "the words car stand twice"),
        ("classes:\n  car: car\n", "class car needs a list of words"),
        ("classes:\n  car: []\n", "class car needs a list of words"),
        ("classes:\n  car: [' car']\n", "class car needs a list of words"),
        ("classes:\n  car: [no]\n", "class car needs a list of words"),
        ("classes:\n  no: [nothing]\n", "the class False is not text"),
        ("classes: {}\n", "must have one key, `classes`"),
        ("classes: [car]\n", "must have one key, `classes`"),
        ("templates: ['a {}']\n", "must have one key, `classes`"),
        ("classes: {car: [car]}\nmore: 1\n", "must have one key, `classes`"),
        ("rare: [car]\n", "must have one key, `classes`"),
        ("- car\n", "must have one key, `classes`"),
        ("", "must have one key, `classes`"),
        ("classes: [\n", "is no readable YAML"),
    ],
)
def test_a_wrong_file_of_classes_is_told(tmp_path, text, says):
    path = written(tmp_path, text)
    with pytest.raises(UserError) as error:
        read_classes(path)
    assert says in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_classes_may_be_called_rare(tmp_path):
    path = written(tmp_path, "classes: {car: [car], dog: [dog], cat: [cat]}\nrare: [dog]\n")
    assert read_rare(path) == ["dog"] and list(read_classes(path)) == ["car", "dog", "cat"]
    assert read_rare(written(tmp_path, "classes: {car: [car]}\n")) == []


@pytest.mark.parametrize(
    ("rare", "says"),
    [
        ("[dog, bird]", "`rare` names bird, which `classes` has not"),
        ("[dog, dog]", "`rare` names dog twice"),
        ("dog", "`rare` must be a list of class names"),
        ("[3]", "`rare` must be a list of class names"),
    ],
)
def test_a_wrong_list_of_rare_classes_is_told(tmp_path, rare, says):
    path = written(tmp_path, f"classes: {{car: [car], dog: [dog]}}\nrare: {rare}\n")
    with pytest.raises(UserError) as error:
        read_rare(path)
    assert says in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("templates: ['a {}', 'a {}']\n", "the templates a {} stand twice"),
        ("templates: ['a car']\n", "must be text that holds {} once"),
        ("templates: ['a {} or {}']\n", "must be text that holds {} once"),
        ("templates: [3]\n", "must be text that holds {} once"),
        ("templates: []\n", "must have one key, `templates`"),
    ],
)
def test_a_wrong_file_of_templates_is_told(tmp_path, text, says):
    with pytest.raises(UserError, match="some.yaml") as error:
        read_templates(written(tmp_path, text))
    assert says in str(error.value)


def test_a_missing_file_and_one_that_is_no_text_are_told(tmp_path):
    with pytest.raises(UserError, match="there is no file .*none.yaml: name a file of prompts/classes"):
        read_classes(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match="no readable YAML"):
        read_templates(tmp_path / "bytes.yaml")


def test_the_imagenet_templates_are_those_of_open_clip():
    import open_clip

    ours = read_templates("openai_imagenet")
    assert len(ours) == 80
    expected = [template("tench") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
    assert [template.replace("{}", "tench") for template in ours] == expected


def test_classes_that_share_a_word_or_a_name_become_one():
    shapes = {"car": ["car"], "excavator": ["excavator", "digger"], "person": ["person"], "saw": ["saw"]}
    city = {"pedestrian": ["pedestrian", "person"], "construction_vehicle": ["construction vehicle", "excavator"]}
    trucks = {"other_vehicle": ["train", "construction vehicle"], "car": ["automobile"]}
    merged = merged_classes([shapes, city, trucks])
    assert list(merged.words.items()) == [
        ("car", ["car", "automobile"]),
        ("excavator", ["excavator", "digger", "construction vehicle", "train"]),
        ("person", ["person", "pedestrian"]),
        ("saw", ["saw"]),
    ]
    assert merged.names == {
        "car": "car",
        "excavator": "excavator",
        "construction_vehicle": "excavator",
        "other_vehicle": "excavator",
        "person": "person",
        "pedestrian": "person",
        "saw": "saw",
    }


def test_a_class_that_touches_two_joins_them():
    merged = merged_classes([{"mug": ["mug"], "saw": ["saw"], "cup": ["cup"]}, {"drink": ["cup", "mug"]}])
    assert list(merged.words.items()) == [("mug", ["mug", "cup"]), ("saw", ["saw"])]
    assert merged.names == {"mug": "mug", "cup": "mug", "drink": "mug", "saw": "saw"}
