import pytest

from blendclip.mining.captions.cache import Answer
from blendclip.mining.captions.judge import Caption, NoCaption, judge

REFUSALS = ("I'm sorry", "As an AI")


def answer(text, finish_reason="stop", refusal=""):
    return Answer(text, finish_reason, refusal, 300, 12, 0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "finish_reason", "caption"),
    [
        ("A red car.", "stop", "A red car."),
        ("  A red\n\n car. ", "stop", "A red car."),
        ('"A red car."', "stop", "A red car."),
        ('A "red" car', "stop", 'A "red" car'),
        ('"A" and "B"', "stop", '"A" and "B"'),
        ("A red car without a stop", "stop", "A red car without a stop"),
        ("A car, 4.5 m long. It is red. It has a", "length", "A car, 4.5 m long. It is red."),
        ("A red car.", "length", "A red car."),
        ("Is it a car? Yes! And it", "length", "Is it a car? Yes!"),
        ("A sign says “Stop.” It is", "length", "A sign says “Stop.”"),
        ("A car that is not sorry. I'm sorry.", "stop", "A car that is not sorry. I'm sorry."),
    ],
)
def test_captions(text, finish_reason, caption):
    assert judge(answer(text, finish_reason), REFUSALS) == Caption(caption, 12)


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        (answer(""), "empty"),
        (answer(" \n"), "empty"),
        (answer("..."), "empty"),
        (answer("", "length"), "empty"),
        (answer("i’m SORRY, no."), "refused"),
        (answer("A car.", refusal="no"), "refused"),
        (answer("A car.", "content_filter"), "refused"),
        (answer("A car of 4.5 m with", "length"), "over_long"),
    ],
)
def test_no_captions(said, rule):
    found = judge(said, REFUSALS)
    assert isinstance(found, NoCaption) and found.rule.name == rule and found.reason
