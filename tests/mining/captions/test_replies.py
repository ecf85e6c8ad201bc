"""What servers send is bounded and typed before it is used or kept, and what is kept is checked when it is used."""

import json
import sqlite3
import time
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from blendclip.errors import UserError
from blendclip.mining.captions.replies import ReplyError, completion_in, is_same_model, pause_s, said
from tests.mining.captions.conftest import QUICK, caption, part, rows_of, view
from tests.mining.captions.stub import Behaviour, answered, records, running

PATIENT = replace(QUICK, timeout_s=20)


def completion(**changes):
    """A chat completion, some of whose keys are others; as text, so that they may be what no encoder writes."""
    message = {"content": changes.pop("content", "A red car."), "refusal": changes.pop("refusal", None)}
    keys = {"choices": [{"message": message, "finish_reason": changes.pop("finish_reason", "stop")}], **changes}
    return json.dumps(keys).encode()


def parsed(content):
    return completion_in(content, 5.0, 1.0)


def test_a_completion_is_read_field_by_field():
    reply = parsed(completion(model="m", usage={"prompt_tokens": 300, "completion_tokens": 7, "details": {"x": 1}}))
    assert (reply.answer.text, reply.answer.finish_reason, reply.answer.refusal) == ("A red car.", "stop", "")
    assert (reply.answer.prompt_tokens, reply.answer.completion_tokens) == (300, 7)
    assert (reply.answer.asked_at_s, reply.answer.seconds, reply.model, reply.counts_tokens) == (5.0, 1.0, "m", True)
    assert parsed(b'{"choices":[{"message":{}}]}').answer.text == ""


NO_COMPLETIONS = {
    "text": b"A red car.",
    "nothing": b"",
    "null": b"null",
    "list": b"[]",
    "no choices": b"{}",
    "empty choices": b'{"choices": []}',
    "choices as text": b'{"choices": "A red car."}',
    "choice as text": b'{"choices": ["A red car."]}',
    "no message": b'{"choices": [{}]}',
    "content as number": completion(content=5),
    "content as list": completion(content=[{"type": "text", "text": "A red car."}]),
    "refusal as flag": completion(refusal=True),
    "finish reason as number": completion(finish_reason=0),
    "model as number": completion(model=4),
    "lone surrogate": completion(content="A \ud800 car."),
    "broken UTF-8": completion().replace(b"red", b"r\xffd"),
    "infinity": completion(usage={"prompt_tokens": float("inf")}),
    "nan": completion(x=float("nan")),
    "deep list": b'{"choices": ' + b"[" * 100_000,
    "deep and whole": completion().replace(b'"choices"', b'"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "choices"'),
    "deep usage": completion().replace(b'"choices"', b'"usage": ' + b'{"a":' * 100_000 + b', "choices"'),
    "long text": completion(content="car " * 20_000),
}


@pytest.mark.parametrize("content", NO_COMPLETIONS.values(), ids=NO_COMPLETIONS)
def test_what_is_no_completion_is_one_error_that_shows_its_beginning(content):
    with pytest.raises(ReplyError, match="^the answer is no chat completion: ") as caught:
        parsed(content)
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (None, True),
        ({}, True),
        ({"completion_tokens": None}, True),
        ("many", False),
        ([1], False),
        ({"completion_tokens": "7"}, False),
        ({"completion_tokens": 7.5}, False),
        ({"completion_tokens": -1}, False),
        ({"completion_tokens": 2**31}, False),
        ({"completion_tokens": 10**30}, False),
        ({"completion_tokens": True}, False),
    ],
)
def test_token_counts_that_are_none_cost_the_counts_and_not_the_caption(usage, counts):
    reply = parsed(completion(usage=usage))
    assert (reply.answer.text, reply.answer.completion_tokens, reply.counts_tokens) == ("A red car.", None, counts)
    assert parsed(completion(usage={"completion_tokens": 2**31 - 1})).answer.completion_tokens == 2**31 - 1


def test_messages_of_errors_are_one_short_line_whatever_they_hold():
    assert said(b'{"error": {"message": "no\\n room"}}') == "no room"
    assert said(b'{"message": "no room"}') == said(b'"no room"') == said(b"no room") == "no room"
    assert said(b"") == said(b'""') == "no message"
    assert said(b"a\x1b[2Jb\xff") == "a\ufffd[2Jb\ufffd"
    assert said(b"[" * 100_000) == "[" * 200 + "..."
    assert said(b'{"error": ' + b"[" * 400 + b"]" * 400 + b"}") == "[" * 200 + "..."


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("120", 120), ("²", 0), ("٣", 0), ("-1", 0), ("1e9", 0), ("nan", 0), ("9" * 5000, 0), ("", 0)],
)
def test_only_plain_seconds_are_a_pause(header, seconds):
    assert pause_s(header) == seconds


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("google/gemma-3-4b-it", "google/gemma-3-4b-it", True),
        ("google/gemma-3-4b-it", "Google/Gemma-3-4B-it", True),
        ("google/gemma-3-4b-it", "gemma-3-4b-it", True),
        ("gemma-3-4b-it", "models/gemma-3-4b-it", True),
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", True),
        ("openai/gpt-4o", "gpt-4o-2024-08-06", True),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022", True),
        ("gemini-2.0-flash", "gemini-2.0-flash-001", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gemma-3", "gemma-3-27b-it", False),
        ("gemma", "gemma-3", False),
        ("google/gemma-3-4b-it", "unsloth/gemma-3-4b-it", False),
        ("google/gemma-3-4b-it", "google/gemma-3-4b-it-qat", False),
    ],
)
def test_a_version_of_the_model_is_the_model_and_a_relative_is_not(asked, answered, same):
    assert is_same_model(asked, answered) is same


HOSTILE = {
    "surrogate": (Behaviour(text="A \ud800 car."), "is no chat completion"),
    "infinity": (Behaviour(answer={"usage": {"prompt_tokens": float("inf")}}), "is no chat completion"),
    "deep": (Behaviour(body="[", body_times=500_000), "is no chat completion"),
    "ten megabytes": (Behaviour(body="A red car. ", body_times=1_000_000), "has more than 1,048,576 bytes"),
    "bomb": (Behaviour(body="A red car. ", body_times=20_000_000, compressed=True), r"is compressed (gzip)"),
    "odd pause": (Behaviour(status=503, headers="Retry-After: ²"), "status 503"),
}


@pytest.mark.parametrize(("behaviour", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_answers_are_rejects_and_no_caption(tmp_path, behaviour, reason):
    files = part(tmp_path, 0, [view(0)])
    with running(behaviour) as url:
        caption([files], url, tmp_path / "cache.sqlite", replace(PATIENT, max_attempts=2), max_fault_fraction=1.0)
    (row,) = rows_of(files.rejects)
    assert row["rule"] == "server_error" and row["reason"].startswith("failed 2 times: ") and reason in row["reason"]
    with sqlite3.connect(tmp_path / "cache.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (0,)


@pytest.mark.parametrize("usage", ["many", {"prompt_tokens": 2**31, "completion_tokens": 2**31}])
def test_captions_with_odd_token_counts_are_kept_without_them_which_is_said_once(two_parts, tmp_path, caplog, usage):
    with running(Behaviour(answer={"usage": usage})) as url:
        assert caption(two_parts, url, tmp_path / "cache.sqlite") == 190
    assert caplog.text.count("sends token counts that are none") == 1
    assert pq.read_table(two_parts[0].captions)["caption_tokens"].null_count == 150
    assert json.loads(two_parts[0].statistics.read_text())["completion_tokens"] == 0


def test_answers_of_another_model_are_no_captions_of_this_one(two_parts, tmp_path):
    record, cache = tmp_path / "record", tmp_path / "cache.sqlite"
    sentence = r"20 answers in a row are no captions \(the model other/big answered, stub was asked\)"
    with running(Behaviour(answer={"model": "other/big"})) as url, pytest.raises(UserError, match=sentence):
        caption(two_parts, url, cache)
    assert not two_parts[0].captions.exists()
    with running(Behaviour(answer={"model": "owner/stub"}, record=str(record))) as url:
        assert caption(two_parts, url, cache) == 190
    assert len(answered(record)) == 180


def test_an_endpoint_with_another_model_is_left_out(two_parts, tmp_path, caplog):
    with running(Behaviour(answer={"model": "other"})) as wrong, running(Behaviour(answer={"model": "stub"})) as right:
        assert caption(two_parts, [wrong, right], tmp_path / "cache.sqlite") == 190
    assert f"the server {wrong} is sick" in caplog.text and "other answered, stub was asked" in caplog.text


DAMAGES = {
    "text": ("CAST(X'41ff42' AS TEXT)", "text: Expected `str`, got `bytes`"),
    "seconds": ("9e999", "seconds: Expected `float` <= 1000000000000.0"),
    "completion_tokens": ("'seven'", "completion_tokens: Expected `int | null`, got `str`"),
    "prompt_tokens": ("2147483648", "prompt_tokens: Expected `int` <= 2147483647"),
    "finish_reason": ("NULL", "finish_reason: Expected `str`, got `null`"),
    "refusal": ("X'00'", "refusal: Expected `str`, got `bytes`"),
}


@pytest.mark.parametrize(("column", "value", "complaint"), [(key, *said) for key, said in DAMAGES.items()], ids=DAMAGES)
def test_a_damaged_row_of_the_cache_is_named_and_asked_again(two_parts, tmp_path, caplog, column, value, complaint):
    record, cache = tmp_path / "record", tmp_path / "cache.sqlite"
    with running(Behaviour()) as url:
        caption(two_parts, url, cache)
    before = [files.captions.read_bytes() for files in two_parts]
    with sqlite3.connect(cache) as connection:
        (key,) = connection.execute("SELECT key FROM answers LIMIT 1").fetchone()
        connection.execute(f"UPDATE answers SET {column} = {value} WHERE key = ?", (key,))
    connection.close()
    with running(Behaviour(record=str(record))) as url:
        assert caption(two_parts, url, cache) == 190
    assert len(answered(record)) == 1
    assert f"{cache} has 1 damaged rows" in caplog.text and f"key X'{key.hex()}': {complaint}" in caplog.text
    assert [files.captions.read_bytes() for files in two_parts] == before


def test_a_fatal_error_waits_for_the_answers_under_way(tmp_path):
    record, cache = tmp_path / "record", tmp_path / "cache.sqlite"
    files = part(tmp_path, 0, [view(number) for number in range(300)])
    client = replace(PATIENT, max_in_flight=256)
    with (
        running(Behaviour(latency_s=1.5, refused_at=256, record=str(record))) as url,
        pytest.raises(UserError, match="answers 401: the key has expired"),
    ):
        caption([files], url, cache, client)
    assert sum("request" in row for row in records(record)) == 256  # nothing is sent any more
    with sqlite3.connect(cache) as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (255,)
    record.unlink()
    with running(Behaviour(record=str(record))) as url:
        assert caption([files], url, cache, client) == 300
    assert len(answered(record)) == 45


def test_a_fatal_error_waits_for_no_pause_and_repeats_nothing(tmp_path):
    files = part(tmp_path, 0, [view(number) for number in range(60)])
    slow = replace(PATIENT, first_pause_s=60, longest_pause_s=60, max_in_flight=30)
    start = time.monotonic()
    with (
        running(Behaviour(fault_share=0.5, refused_at=60, latency_s=0.2)) as url,
        pytest.raises(UserError, match="answers 401"),
    ):
        caption([files], url, tmp_path / "cache.sqlite", replace(slow, timeout_s=2))
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("moved", ["/v1/models", "/v1/chat/completions"])
def test_nothing_is_sent_on_after_a_redirect(two_parts, tmp_path, moved):
    record = tmp_path / "record"
    with running(Behaviour(record=str(record))) as other:
        origin = other.removesuffix("/v1")
        with (
            running(Behaviour(moved=moved, moved_to=origin)) as url,
            pytest.raises(UserError) as caught,
        ):
            caption(two_parts, url, tmp_path / "cache.sqlite")
    assert str(caught.value) == (
        f"the server {url} answers 307, a redirect to {origin}{moved}: crops are not sent on; "
        "set caption.base_url to where it is"
    )
    assert records(record) == []
