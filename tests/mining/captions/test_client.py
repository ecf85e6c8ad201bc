"""The client against a server that fails in every way."""

import json
import shutil
import sqlite3
import time
from collections import Counter
from dataclasses import replace

import pytest

from blendclip.errors import UserError
from blendclip.mining.captions.servers import EndpointServer
from tests.mining.captions.conftest import QUICK, caption, part, rows_of, view
from tests.mining.captions.stub import Behaviour, answered, records, running, sentence


def test_with_a_fifth_of_the_requests_failing_every_view_gets_its_own_caption_once(two_parts, tmp_path):
    record = tmp_path / "record"
    with running(Behaviour(record=str(record), fault_share=0.2)) as url:
        assert caption(two_parts, url, tmp_path / "cache.sqlite") == 190
    faults = Counter(row["fault"] for row in records(record) if "fault" in row)
    assert set(faults) == {"500", "429", "hang", "cut", "cut_within"} and sum(faults.values()) > 30
    asked = Counter(answered(record))
    assert len(asked) == 180 and set(asked.values()) == {1}
    import base64

    for files in two_parts:
        crops = {row["view_id"]: row["image"]["bytes"] for row in rows_of(files.views)}
        captions = {row["view_id"]: row["caption"] for row in rows_of(files.captions)}
        assert captions == {
            key: sentence("data:image/jpeg;base64," + base64.b64encode(crop).decode()) for key, crop in crops.items()
        }
        assert rows_of(files.rejects) == []


def test_the_bytes_are_the_same_whatever_the_order_of_answers_and_the_faults(two_parts, tmp_path):
    written = []
    for number, (behaviour, client) in enumerate(
        [
            (Behaviour(), replace(QUICK, max_in_flight=1)),
            (Behaviour(latency_s=0.01, slots=7, fault_share=0.2), QUICK),
        ]
    ):
        with running(behaviour) as url:
            caption(two_parts, url, tmp_path / f"cache{number}.sqlite", client, max_views_per_instance=20)
        written.append([path.read_bytes() for files in two_parts for path in (files.captions, files.rejects)])
    assert written[0] == written[1]


def test_what_was_answered_is_not_asked_again(two_parts, tmp_path):
    record, cache = tmp_path / "record", tmp_path / "cache.sqlite"
    with running(Behaviour(record=str(record))) as url:
        caption(two_parts[:1], url, cache)
        assert len(answered(record)) == 150
        caption(two_parts, url, cache)  # the second part repeats ten pictures of the first
        assert len(answered(record)) == 180
        before = [files.captions.read_bytes() for files in two_parts]
    caption(two_parts, url, cache)  # and now without a server
    assert before == [files.captions.read_bytes() for files in two_parts]
    # Another split of the same views into parts asks nothing either.
    rows = [row for files in two_parts for row in rows_of(files.views)]
    other = [part(tmp_path / "other", number, rows[number::3]) for number in range(3)]
    assert caption(other, url, cache) == 190


def test_another_prompt_or_model_is_asked_anew(two_parts, tmp_path):
    from tests.mining.captions.conftest import PROMPT

    record, cache = tmp_path / "record", tmp_path / "cache.sqlite"
    reworded, commented, colder = (tmp_path / name for name in ("reworded.yaml", "commented.yaml", "colder.yaml"))
    reworded.write_text(PROMPT.read_text().replace("Describe the one object", "Describe the object"))
    commented.write_text("# another comment\n" + PROMPT.read_text())
    colder.write_text(PROMPT.read_text().replace("temperature: 0", "temperature: 0.5"))
    counts = []
    with running(Behaviour(record=str(record), models=("stub", "stub2"))) as url:
        for options in ({}, {"prompt": commented}, {"prompt": reworded}, {"prompt": colder}, {"model": "stub2"}):
            caption(two_parts[1:], url, cache, **options)
            counts.append(len(answered(record)))
    assert counts == [40, 40, 80, 120, 160]
    assert {row["caption_model"] for row in rows_of(two_parts[1].captions)} == {"stub2"}


def test_never_more_requests_are_under_way_than_allowed(two_parts, tmp_path):
    # 180 requests of 20 ms, 10 at a time: 0.36 s at least, though the server would take a thousand at once.
    with running(Behaviour(latency_s=0.02)) as url:
        start = time.monotonic()
        caption(two_parts, url, tmp_path / "cache.sqlite", replace(QUICK, max_in_flight=10))
    assert time.monotonic() - start >= 180 / 10 * 0.02


@pytest.mark.parametrize(
    ("behaviour", "rule", "reason", "asked"),
    [
        (Behaviour(text="I'm sorry, but I can't tell."), "refused", "I'm sorry", 3),  # what the model means is paid for
        (Behaviour(refusal="Not this."), "refused", "Not this.", 3),
        (Behaviour(finish_reason="content_filter"), "refused", "content_filter", 3),
        (Behaviour(text="A car with a", finish_reason="length"), "over_long", "no sentence ends", 3),
        (Behaviour(text=" \n "), "empty", "without a word", 6),  # what a sick server says is asked for again
        (Behaviour(text="<pad>" * 60, finish_reason="length"), "special_tokens", "<pad><pad>", 6),
        (Behaviour(text="A red car, " * 12, finish_reason="length"), "loop", "A red car, A red", 6),
        (Behaviour(text="<think>Red?</think> A car."), "reasoning", "<think>Red?", 6),
        (Behaviour(text="一辆红色的汽车。"), "other_script", "written in CJK", 6),
    ],
)
def test_an_unusable_answer_is_a_reject_and_no_caption(tmp_path, behaviour, rule, reason, asked):
    files = part(tmp_path, 0, [view(number) for number in range(3)])
    record = tmp_path / "record"
    with running(replace(behaviour, record=str(record))) as url:
        with pytest.raises(UserError, match=r"3 of 3 views are broken, more than max_fault_fraction 0.5 allows"):
            caption([files], url, tmp_path / "cache.sqlite", max_fault_fraction=0.5)
        assert not files.captions.exists()
        assert caption([files], url, tmp_path / "cache.sqlite", max_fault_fraction=1.0) == 0
    assert len(answered(record)) == asked
    assert rows_of(files.captions) == []
    rejects = rows_of(files.rejects)
    assert [(row["stage"], row["kind"], row["rule"]) for row in rejects] == [("captions", "fault", rule)] * 3
    assert all(reason in row["reason"] for row in rejects)
    assert [row["path"] for row in rejects] == [row["image"]["path"] for row in rows_of(files.views)]


def test_a_request_that_the_server_calls_wrong_is_not_repeated(tmp_path):
    files = part(tmp_path, 0, [view(number) for number in range(3)])
    record = tmp_path / "record"
    with running(Behaviour(status=400, record=str(record))) as url:
        caption([files], url, tmp_path / "cache.sqlite", max_fault_fraction=1.0)
    assert sum("request" in row for row in records(record)) == 3
    assert {row["reason"] for row in rows_of(files.rejects)} == {"status 400: I do not like it"}


def test_a_crop_at_which_the_server_always_fails_is_a_reject(tmp_path):
    files = part(tmp_path, 0, [view(number) for number in range(3)])
    with running(Behaviour(status=500)) as url:
        caption([files], url, tmp_path / "cache.sqlite", max_fault_fraction=1.0)
    assert {row["rule"] for row in rows_of(files.rejects)} == {"server_error"}
    assert "failed 10 times: status 500" in rows_of(files.rejects)[0]["reason"]


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        (Behaviour(models=("other", "another")), "has no model 'stub'; it has other, another"),
        (Behaviour(key="secret"), "answers 401: wrong key; set the environment variable"),
        (Behaviour(status=404), "look at caption.model and caption.base_url"),
        (Behaviour(status=400), "refuses every request: status 400: I do not like it"),
        (Behaviour(status=429), "lower caption.max_in_flight"),
    ],
)
def test_a_server_that_cannot_serve_is_one_clear_sentence(two_parts, tmp_path, behaviour, sentence):
    with running(behaviour) as url, pytest.raises(UserError, match=sentence):
        caption(two_parts, url, tmp_path / "cache.sqlite")


def test_a_wrong_base_url_is_one_clear_sentence(two_parts, tmp_path):
    cache = tmp_path / "cache.sqlite"
    with pytest.raises(UserError, match="there is no server at base_url http://127.0.0.1:9/v1"):
        caption(two_parts, "http://127.0.0.1:9/v1", cache)
    with running(Behaviour()) as url, pytest.raises(UserError, match="is no OpenAI-compatible API .*it ends in /v1"):
        caption(two_parts, url.removesuffix("/v1"), cache)
    with pytest.raises(UserError, match="is no URL such as"):
        caption(two_parts, "localhost:8000", cache)


def test_the_key_comes_from_the_environment_and_is_written_nowhere(two_parts, tmp_path, monkeypatch, caplog):
    from blendclip.mining.captions.backends import CaptionFiles, captioner_for
    from blendclip.mining.captions.stage import caption_views
    from blendclip.mining.options import CaptionOptions, ServerOptions
    from tests.mining.captions.conftest import PROMPT

    def captioner(url):
        server, files = ServerOptions(base_url=url, api_key_env="A_KEY"), CaptionFiles(PROMPT, tmp_path / "c.sqlite")
        return captioner_for(CaptionOptions("endpoint", model="stub"), server, files)

    with running(Behaviour(key="sesame")) as url:
        monkeypatch.delenv("A_KEY", raising=False)
        with pytest.raises(UserError, match="environment variable A_KEY, .* is not set"):
            caption_views(two_parts, captioner(url))
        monkeypatch.setenv("A_KEY", "sesame")
        with caplog.at_level("DEBUG"):
            assert caption_views(two_parts, captioner(url)) == 190
    assert "sesame" not in caplog.text
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"sesame" not in path.read_bytes(), path


def test_a_server_that_goes_away_for_good_is_one_clear_sentence_and_costs_nothing_twice(two_parts, tmp_path):
    record, cache = tmp_path / "record", tmp_path / "cache.sqlite"
    with running(Behaviour(record=str(record), die_after=60)) as url, pytest.raises(UserError, match="is gone .*kept"):
        caption(two_parts, url, cache)
    first = set(answered(record))
    record.unlink()
    with running(Behaviour(record=str(record))) as url:
        assert caption(two_parts, url, cache) == 190
    # Only what was on its way when the server died, its own last answers, may be asked again.
    assert len(first & set(answered(record))) <= QUICK.max_in_flight
    assert len(first | set(answered(record))) == 180


def test_a_full_disk_is_one_clear_sentence(two_parts, tmp_path):
    cache = tmp_path / "cache.sqlite"
    with running(Behaviour()) as url:
        caption(two_parts[1:], url, cache)
        with sqlite3.connect(cache) as connection:
            kept = connection.execute("SELECT count(*) FROM answers").fetchone()[0]
        original = sqlite3.connect

        def full(*args, **options):
            connection = original(*args, **options)
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 1}")  # SQLite's own way to have a full disk
            return connection

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sqlite3, "connect", full)
            with pytest.raises(UserError, match="cache.sqlite cannot be used: database or disk is full.*is kept"):
                caption(two_parts, url, cache)
    with sqlite3.connect(cache) as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone()[0] >= kept == 40
    shutil.copy(two_parts[0].views, tmp_path / "other.sqlite")
    with pytest.raises(UserError, match="other.sqlite cannot be used: file is not a database"):
        caption(two_parts, url, tmp_path / "other.sqlite")


def test_no_request_holds_the_label(two_parts, tmp_path):
    """Requests hold the prompt, the sampling and the very bytes of the crop."""
    import base64

    from tests.mining.captions.conftest import CATEGORIES

    record = tmp_path / "record"
    with running(Behaviour(record=str(record))) as url:
        caption(two_parts, url, tmp_path / "cache.sqlite")
    crops = {row["image"]["bytes"] for files in two_parts for row in rows_of(files.views)}
    seen = set()
    for row in records(record):
        if "request" not in row:
            continue
        body = json.loads(row["request"])
        picture = body["messages"][-1]["content"][0]["image_url"]
        prefix, data = picture.pop("url").split(",")
        assert prefix == "data:image/jpeg;base64"
        seen.add(base64.b64decode(data))
        rest = (json.dumps(body) + row["head"]).lower()
        for category, class_name in CATEGORIES:
            for word in {category, class_name or category, *category.replace("_", ".").split(".")} - {"object"}:
                assert word not in rest, f"{word!r} is in a request"
        for known in ("dataset0", "instance", "scene0", "cam_front", "token"):
            assert known not in rest.replace("max_tokens", "")
        assert sorted(body) == ["max_tokens", "messages", "model", "temperature"]
        assert (body["temperature"], body["max_tokens"]) == (0, 77)
    assert seen == crops


def test_headers_are_empty_without_a_key():
    assert EndpointServer("http://host:8000/v1/").headers == {}
    assert EndpointServer("http://host:8000/v1/").base_urls == ("http://host:8000/v1",)
