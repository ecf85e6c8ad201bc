import pytest

from blendclip.mining.captions.cache import Answer
from blendclip.mining.captions.judge import UNUSABLE, Caption, NoCaption, judge

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
        (answer("...", "length"), "empty"),
    ],
)
def test_no_captions(said, rule):
    found = judge(said, REFUSALS)
    assert isinstance(found, NoCaption) and found.rule.name == rule and found.reason


ENGLISH = "Describe the one object that this picture is about."
LOOPED = {
    "a phrase": "A red car, a red car, a red car, a red car, a red",
    "a sentence": "The car is red and parked. The car is red and parked. The car is red and parked. The",
    "a word": "the the the the the the the the",
    "within": "A white van. It has a black roof and a black roof and a black roof and a black roof",
    "letters": "carcarcarcarcarcarcarcarcarcarcar",
    "one letter": "A caaaaaaaaaaaaaaaaaaaaaaaaaaaar.",
    "Chinese": "一辆红色的车一辆红色的车一辆红色的车一辆红色的车一辆红色的车一辆红色的车一辆红色的车一辆红色的车",
}


@pytest.mark.parametrize(
    "text",
    [
        "A long, long, long truck with a red cab.",
        "A white van, its front wheels black, its rear wheels black, its roof black.",
        "A man in a black jacket and black trousers beside a man in a black jacket and black trousers.",
        "A bus with 2 of 3 doors < 1 m wide, and a sign that says [STOP].",
        "A van with the letters 交通 on its side, seen from the front.",
        "A café's naïve sign, 4 µm thick.",
        "A blue-and-white tram 1111 of line 22.",
    ],
)
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_sentences_that_look_odd_are_captions(text, finish_reason):
    assert judge(answer(text, finish_reason), REFUSALS, ENGLISH) == Caption(text, 12)


@pytest.mark.parametrize("text", LOOPED.values(), ids=LOOPED)
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_loops_are_no_captions(text, finish_reason):
    found = judge(answer(text, finish_reason), REFUSALS)
    assert isinstance(found, NoCaption) and found.rule.name == "loop" and found.rule in UNUSABLE


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        (answer("<pad>" * 60, "length"), "special_tokens"),
        (answer("A red car.<end_of_turn>"), "special_tokens"),
        (answer("A red car.<|im_end|>"), "special_tokens"),
        (answer("[PAD] [PAD]"), "special_tokens"),
        (answer("<unused12><0x0A>"), "special_tokens"),
        (answer("A r\ufffd car."), "special_tokens"),
        (answer("<think>It is red.</think> A red car."), "reasoning"),
        (answer("It must be a car.\n</think>\nA red car."), "reasoning"),
        (answer("<|channel|>analysis<|message|>We need a caption", "length"), "reasoning"),
        (answer("A red car.", "abort"), "unfinished"),
        (answer("A red car.", "error"), "unfinished"),
        (answer("A red car.", ""), "unfinished"),
        (answer("一辆红色的汽车。"), "other_script"),
        (answer("Красная машина."), "other_script"),
        (answer("A red 汽车 汽车 汽车."), "other_script"),
    ],
)
def test_what_a_sick_server_says_is_no_caption(said, rule):
    found = judge(said, REFUSALS, ENGLISH)
    assert isinstance(found, NoCaption) and found.rule.name == rule and found.rule in UNUSABLE
    assert found.reason and "{" not in found.reason


def test_a_caption_is_in_a_script_of_the_prompt():
    chinese, mixed = "请描述图中的物体。", "用 English 描述图中的物体。"
    assert judge(answer("一辆红色的汽车。"), (), chinese) == Caption("一辆红色的汽车。", 12)
    assert judge(answer("赤いくるまとトラック。"), (), chinese) == Caption("赤いくるまとトラック。", 12)
    assert judge(answer("A red car."), (), mixed) == Caption("A red car.", 12)
    found = judge(answer("A red car."), (), chinese)
    assert isinstance(found, NoCaption) and found.reason.startswith("the answer is written in Latin, the prompt is not")
