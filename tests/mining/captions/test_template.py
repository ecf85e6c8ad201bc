import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blendclip.errors import UserError
from blendclip.mining.captions.color import color_name
from blendclip.mining.captions.template import TemplateCaptioner

PROMPT = Path(__file__).parents[3] / "prompts" / "caption" / "template.yaml"
PAINTS = {
    "red": (190, 25, 30), "green": (40, 130, 60), "blue": (30, 70, 170), "yellow": (235, 205, 40),
    "white": (235, 235, 232),
    "black": (22, 22, 25), "grey": (120, 122, 125), "orange": (240, 120, 20), "brown": (105, 65, 35),
}  # fmt: skip


def picture(paint, ground=(95, 95, 100)):
    """A painted object with dark windows and wheels, on a road."""
    pixels = np.full((80, 120, 3), ground, np.uint8)
    pixels[15:70, 12:108] = paint
    pixels[20:32, 30:90] = (40, 48, 55)
    pixels[60:70, 20:35] = pixels[60:70, 85:100] = (20, 20, 20)
    return Image.fromarray(pixels)


def jpeg(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def view(number=0, **changes):
    return {
        "view_id": f"city/token{number}/CAM_FRONT",
        "image": {"bytes": jpeg(picture(PAINTS["red"]))},
        "category": "vehicle.car",
        "attributes": ["vehicle.parked"],
        "size_lwh_m": [4.52, 1.9, 1.6],
        "camera_azimuth_rad": np.pi - 0.1,
        "camera_distance_m": 23.0,
        "covered_fraction": 0.0,
    } | changes


@pytest.mark.parametrize("name", PAINTS)
def test_names_the_paint(name):
    assert color_name(picture(PAINTS[name])) == name


def test_captions_say_what_is_measured_and_vary():
    captioner = TemplateCaptioner(PROMPT)
    captions = list(captioner.captions(view(n) for n in range(300)))
    assert all("red" in caption for caption in captions)
    assert all(any(noun in caption for noun in ("car", "automobile")) for caption in captions)
    assert sum("parked" in caption for caption in captions) > 100
    assert sum(any(words in caption.lower() for words in ("behind", "rear")) for caption in captions) > 100
    assert sum("4.5 m long" in caption for caption in captions) > 100
    assert sum("about 25 m away" in caption for caption in captions) > 20
    assert len(set(captions)) > 40
    assert not any("hidden" in caption or "in front of it" in caption for caption in captions)


def test_captions_read_as_sentences():
    captioner = TemplateCaptioner(PROMPT)
    for category in (
        "vehicle.car",
        "animal",
        "human.pedestrian.adult",
        "vehicle.bus.bendy",
        "movable_object.trafficcone",
    ):
        for n in range(200):
            caption = next(captioner.captions([view(n, category=category, covered_fraction=0.5)]))
            assert caption[0].isupper() and caption.endswith(".")
            assert "  " not in caption and "{" not in caption and "None" not in caption
            words = caption.lower().replace(",", "").split()
            for article, word in zip(words, words[1:], strict=False):
                assert not (article == "a" and word[0] in "aeiou"), caption
                assert not (article == "an" and word[0] not in "aeiou"), caption


def test_the_same_view_gets_the_same_caption_whatever_comes_before():
    captioner = TemplateCaptioner(PROMPT)
    alone = list(captioner.captions([view(5)]))
    assert alone == list(captioner.captions([view(1), view(5)]))[1:]


@pytest.mark.parametrize("category", ["adult", "child", "construction_worker", "police_officer"])
def test_the_colour_is_that_of_peoples_clothes_not_of_people(category):
    captioner = TemplateCaptioner(PROMPT)
    views = [view(n, category=f"human.pedestrian.{category}", attributes=["pedestrian.moving"]) for n in range(200)]
    for caption in captioner.captions(views):
        assert re.search(r"(in|wearing|dressed in|clothes) red\b", caption), caption


@pytest.mark.parametrize("category", ["movable_object.trafficcone", "static_object.bicycle_rack"])
def test_things_without_a_front_are_not_seen_from_a_side(category):
    for caption in TemplateCaptioner(PROMPT).captions(view(n, category=category) for n in range(200)):
        assert not re.search(r"seen from|view|side\b|behind", caption.replace("at the roadside", "")), caption


def test_a_category_without_a_noun_is_called_by_its_own_name():
    assert "ego trailer" in next(TemplateCaptioner(PROMPT).captions([view(category="vehicle.ego_trailer")]))


def test_a_missing_prompt_is_one_clear_sentence(tmp_path):
    with pytest.raises(UserError, match="no caption prompt .*nothing.yaml"):
        TemplateCaptioner(tmp_path / "nothing.yaml")
    (tmp_path / "poor.yaml").write_text("kind: template\npatterns: []\n")
    with pytest.raises(UserError, match="lacks covered, kinds, motion, nouns"):
        TemplateCaptioner(tmp_path / "poor.yaml")
