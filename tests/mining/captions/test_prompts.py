import base64
import io
import json

import pytest
from PIL import Image

from blendclip.cli.main import main
from blendclip.errors import UserError
from blendclip.mining.captions.backends import CaptionFiles, captioner_for
from blendclip.mining.captions.prompts import ChatPrompt, ImageRules, read_prompt
from blendclip.mining.options import CaptionOptions, ServerOptions
from tests.mining.captions.conftest import PROMPT, jpeg, part, view
from tests.mining.captions.stub import Behaviour, records, running
from tests.mining.pipeline import PROMPT as TEMPLATE


def size(data):
    return Image.open(io.BytesIO(data)).size


@pytest.mark.parametrize(
    ("rules", "before", "after"),
    [
        (ImageRules(0, 896), (64, 48), (64, 48)),
        (ImageRules(0, 32), (64, 48), (32, 24)),
        (ImageRules(96, 896), (64, 48), (128, 96)),
        (ImageRules(96, 100), (64, 48), (100, 75)),  # max_side_px wins
        (ImageRules(48, 64), (64, 48), (64, 48)),
        (ImageRules(0, 10), (100, 2), (10, 1)),
    ],
)
def test_pictures_are_sent_within_limits(rules, before, after):
    picture = jpeg(1, before)
    sent = rules.apply(picture)
    assert size(sent) == after
    assert (sent == picture) == (before == after)
    assert sent == rules.apply(picture)


def test_a_request_is_what_the_file_says():
    prompt = ChatPrompt.read(PROMPT)
    body = json.loads(prompt.body("some/model", jpeg(1)))
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("some/model", 0, 77)
    system, user = body["messages"]
    assert system == {"role": "system", "content": prompt.system}
    assert user["content"][1] == {"type": "text", "text": prompt.user}
    assert base64.b64decode(user["content"][0]["image_url"]["url"].split(",")[1]) == jpeg(1)
    assert not prompt.user.endswith("\n") and "  " not in prompt.user


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text.replace("user:", "use:"), "look at use, user"),
        (
            lambda text: text.replace("kind: chat", "kind: chatty"),
            "of kind chatty, this backend needs one of kind chat",
        ),
        (lambda text: text.replace("max_tokens: 77", "top_p: 1"), "must name max_tokens"),
        (lambda text: text.replace("max_side_px", "max_px"), "`image` takes min_side_px, max_side_px"),
        (lambda text: text.replace("system: >-", "system: 3\nother: >-"), "look at other"),
        (lambda text: "kind: [", "is no readable YAML"),
        (lambda text: "", "of kind None"),
    ],
)
def test_a_wrong_prompt_is_one_clear_sentence(tmp_path, change, sentence):
    path = tmp_path / "prompt.yaml"
    path.write_text(change(PROMPT.read_text()))
    with pytest.raises(UserError, match=sentence):
        ChatPrompt.read(path)


def test_backend_and_prompt_must_fit(tmp_path):
    with pytest.raises(UserError, match="no caption prompt"):
        read_prompt(tmp_path / "nothing.yaml", "chat")
    for backend, prompt, sentence in [
        ("vllm", TEMPLATE, "of kind template, this backend needs one of kind chat"),
        ("template", PROMPT, "of kind chat, this backend needs one of kind template"),
        ("gpt", PROMPT, '`backend` is "gpt": take one of template, vllm, endpoint'),
    ]:
        with pytest.raises(UserError, match=sentence):
            captioner_for(CaptionOptions(backend), ServerOptions(), CaptionFiles(prompt, tmp_path / "cache.sqlite"))


def test_the_preview_shows_crops_with_captions_that_need_not_be_paid_for_again(tmp_path, capsys):
    files = [part(tmp_path, n, [view(100 * n + m) for m in range(20)]) for n in range(2)]
    record, sheet = tmp_path / "record", tmp_path / "sheet.png"
    command = ["caption", "--backend", "endpoint", "--model", "stub", "--prompt", str(PROMPT)]
    command += ["--cache", str(tmp_path / "cache.sqlite"), "--views", *(str(part.views) for part in files)]
    with running(Behaviour(record=str(record))) as url:
        assert main([*command, "--base-url", url, "--preview", "6", "--output", str(sheet)]) == 0
        assert sum("request" in row for row in records(record)) == 6
        folders = ["--output", str(tmp_path / "captions"), "--rejects", str(tmp_path / "rejects")]
        assert main([*command, "--base-url", url, *folders]) == 0
        assert sum("request" in row for row in records(record)) == 40
        assert main([*command, "--base-url", url, "--output", str(tmp_path / "captions")]) == 1
        assert "--rejects is needed" in capsys.readouterr().err
    picture = Image.open(sheet)
    assert picture.size == (4 * 312 + 12, 2 * 482 + 12)  # six crops in rows of four
    for number in range(8):
        left, upper = 12 + number % 4 * 312, 12 + number // 4 * 482
        crop = picture.crop((left, upper + 80, left + 300, upper + 300))
        text = picture.crop((left, upper + 325, left + 300, upper + 460)).convert("L")
        assert (len(crop.getcolors(2**17)) > 100) == (number < 6)
        assert (text.getextrema()[0] < 50) == (number < 6)
