import pytest

from blendclip.errors import UserError
from blendclip.mining.captions.progress import duration, merged
from blendclip.mining.captions.quality import names_what_it_shows, price, quality, quality_as_text, read_synonyms
from tests.mining.pipeline import SYNONYMS

WORDS = {"vehicle.car": ["car", "suv"], "vehicle": ["machine"], "human": ["person", "bus"]}


def test_words_of_a_category_count_whole_in_any_case_and_number():
    cases = [
        ("A red SUV.", "vehicle.car", True),
        ("Two cars in a row", "vehicle.car.taxi", True),
        ("A cargo carrier", "vehicle.car", False),  # "car" only inside other words
        ("A carpet", "vehicle.car", False),
        ("Some machines", "vehicle.carriage", True),  # the prefix ends at a dot
        ("A car", "vehicle.truck", False),
        ("Buses", "human.adult", True),
        ("A traffic cone.", "movable_object.traffic_cone", True),  # by its own name
        ("A cone.", "movable_object.traffic_cone", False),
    ]
    captions, categories, expected = zip(*cases, strict=True)
    assert names_what_it_shows(captions, categories, WORDS) == list(expected)


def test_numbers_on_captions_by_hand():
    captions = ["A red car.", "A red car.", "A red SUV, parked.", "Something blue"]
    categories = ["vehicle.car", "vehicle.car", "vehicle.car", "human.adult"]
    found = quality(captions, [4, 4, 6, None], categories, ["car", "car", "car", "pedestrian"], WORDS)
    assert found["captions"] == 4
    assert found["words"] == {"p10": 2.3, "median": 3.0, "p90": 3.7}  # of 2, 3, 3, 4
    assert found["tokens"]["median"] == 4
    assert found["share_naming_class"] == 0.75
    assert found["share_naming_class_by_class"] == {"car": 1.0, "pedestrian": 0.0}
    assert found["openings"] == [
        {"words": "a red car", "share": 0.5},
        {"words": "a red suv", "share": 0.25},
        {"words": "something blue", "share": 0.25},
    ]
    assert found["duplicates"] == 1
    assert found["most_repeated"] == {"caption": "A red car.", "count": 2}
    text = "\n".join(quality_as_text(found | {"requests": 0}))
    assert "75% name their class" in text and "pedestrian 0%" in text and "'a red car' 50%" in text
    assert quality([], [], [], [], WORDS) == {"captions": 0}


def test_the_speed_counts_time_in_which_something_was_under_way():
    busy = merged([(10.0, 12.0), (11.0, 13.0), (100.0, 101.0), (11.5, 11.6)])
    assert busy == [[10.0, 13.0], [100.0, 101.0]]
    parts = [
        {"requests": 6, "prompt_tokens": 60, "completion_tokens": 30, "busy_s": busy},
        {"requests": 2, "prompt_tokens": 20, "completion_tokens": 10, "busy_s": [[12.0, 14.0]]},
        {"requests": 0},
    ]
    assert price(parts) == {
        "requests": 8, "prompt_tokens": 80, "completion_tokens": 40, "busy_s": 5.0, "answers_per_s": 1.6
    }  # fmt: skip
    assert price([{"requests": 0}]) == {"requests": 0}


def test_the_synonyms_of_the_project_name_what_the_template_says():
    import yaml

    from tests.mining.pipeline import PROMPT

    synonyms = read_synonyms(SYNONYMS)
    for category, nouns in yaml.safe_load(PROMPT.read_text())["nouns"].items():
        named = names_what_it_shows([f"A {noun}." for noun in nouns], [category] * len(nouns), synonyms)
        assert all(named), (category, nouns, named)


def test_a_wrong_file_of_synonyms_is_one_clear_sentence(tmp_path):
    with pytest.raises(UserError, match="no file of synonyms"):
        read_synonyms(tmp_path / "nothing")
    (tmp_path / "list").write_text("- car\n")
    with pytest.raises(UserError, match="list of words for each category"):
        read_synonyms(tmp_path / "list")


@pytest.mark.parametrize(("seconds", "words"), [(12, "12 s"), (99.4, "99 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_are_for_people(seconds, words):
    assert duration(seconds) == words
