"""Servers that live and are not well: noticed early, said in a sentence, and worth asking again once mended."""

import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from blendclip.errors import UserError
from blendclip.mining.captions.cache import Answer, AnswerCache, request_key
from blendclip.mining.captions.client import ClientOptions
from blendclip.mining.captions.endpoints import Patience
from blendclip.mining.captions.prompts import ChatPrompt
from tests.mining.captions.conftest import PROMPT, QUICK, caption, part, rows_of, view
from tests.mining.captions.stub import Behaviour, answered, records, running

HASTY = replace(QUICK, patience=Patience(seconds=0.3, health_every_s=0.05))


@pytest.fixture
def many(tmp_path):
    """300 views of different crops."""
    return [part(tmp_path, 0, [view(number) for number in range(300)])]


def running_all(stack, folder, *behaviours):
    """Stubs, each with a record of its own; their URLs and records."""
    files = [folder / f"record{number}" for number in range(len(behaviours))]
    urls = [
        stack.enter_context(running(replace(behaviour, record=str(file))))
        for behaviour, file in zip(behaviours, files, strict=True)
    ]
    return urls, files


@pytest.mark.parametrize(
    ("sick", "sentence"),
    [
        ({"status": 500}, r"has failed at \d+ requests in a row, for \d+ s \(status 500: I do not like it\)"),
        ({"finish_reason": "abort"}, r"has failed at \d+ requests in a row, .*finish_reason abort\)"),
        ({"finish_reason": "error"}, r"has failed at \d+ requests in a row, .*finish_reason error\)"),
        ({"text": " "}, r"is sick, 20 answers in a row are no captions \(the model answered without a word\)"),
        ({"text": "<pad>" * 60}, r"is sick, 20 answers in a row are no captions \(the answer holds special tokens"),
        (
            {"status": 503, "health": 503, "latency_s": 0.05},
            r"is not well \(GET http://[0-9.:]+/health answers 503\)",
        ),
    ],
    ids=["dead engine", "abort", "error", "nan", "pad", "health"],
)
def test_a_server_that_falls_sick_stops_the_job_and_is_asked_for_the_rest_once_mended(many, tmp_path, sick, sentence):
    record, cache = tmp_path / "record", tmp_path / "cache.sqlite"
    start = time.monotonic()
    with (
        running(Behaviour(well_for=60, **sick, record=str(record))) as url,
        pytest.raises(UserError, match=f"^the server {url} .*{sentence}: .* run again; answers so far are kept$"),
    ):
        caption(many, url, cache, HASTY)
    assert time.monotonic() - start < 20
    requests = sum("request" in row for row in records(record))
    assert 60 < requests < 300 + 60
    assert not many[0].captions.exists()
    record.unlink()
    with running(Behaviour(record=str(record))) as url:
        assert caption(many, url, cache) == 300
    assert 300 - 60 - QUICK.max_in_flight <= len(answered(record)) <= 300 - 60 + QUICK.max_in_flight
    assert {row["caption"][:16] for row in rows_of(many[0].captions)} == {"A thing of kind "}


@pytest.mark.slow
@pytest.mark.parametrize("sick", [{"status": 500}, {"text": " "}], ids=["dead engine", "nan"])
def test_the_usual_options_stop_within_a_minute(many, tmp_path, sick):
    start = time.monotonic()
    with running(Behaviour(**sick)) as url, pytest.raises(UserError, match="in a row"):
        caption(many, url, tmp_path / "cache.sqlite", ClientOptions())
    assert ClientOptions().max_in_flight == 256 and time.monotonic() - start < 60


def test_a_server_that_is_not_well_from_the_start_is_asked_nothing(many, tmp_path):
    record = tmp_path / "record"
    with running(Behaviour(health=500, record=str(record))) as url, pytest.raises(UserError, match="is not well"):
        caption(many, url, tmp_path / "cache.sqlite", HASTY)
    assert records(record) == []


def test_a_server_without_a_page_of_health_is_used(many, tmp_path):
    with running(Behaviour(health=404)) as url:
        assert caption(many, url, tmp_path / "cache.sqlite", HASTY) == 300


def test_a_pause_of_a_server_is_waited_for(many, tmp_path):
    """A fifth of the requests fails, for longer than the patience, while others succeed."""
    with running(Behaviour(fault_share=0.2, latency_s=0.03)) as url:
        assert caption(many, url, tmp_path / "cache.sqlite", HASTY) == 300


def test_what_a_sick_server_said_to_an_earlier_version_is_asked_again(many, tmp_path):
    record, path = tmp_path / "record", tmp_path / "cache.sqlite"
    crops = [row["image"]["bytes"] for row in rows_of(many[0].views)]
    cache, sha = AnswerCache(path), ChatPrompt.read(PROMPT).sha
    kept = {"<pad>" * 60: "length", "A red car.": "abort", "": "stop", "A blue car.": "stop", "I'm sorry.": "stop"}
    for crop, (text, reason) in zip(crops, kept.items(), strict=False):
        cache.put(request_key(crop, "stub", sha), "stub", sha, Answer(text, reason, "", 1, 1, 0.0, 1.0))
    with running(Behaviour(record=str(record))) as url:
        assert caption(many, url, path, max_fault_fraction=0.5) == 299
    assert len(answered(record)) == 298
    assert rows_of(many[0].captions)[3]["caption"] == "A blue car."


def test_endpoints_share_the_requests(many, tmp_path):
    with ExitStack() as stack:
        urls, files = running_all(stack, tmp_path, *[Behaviour(latency_s=0.01)] * 3)
        assert caption(many, urls, tmp_path / "cache.sqlite") == 300
    asked = [answered(file) for file in files]
    assert sum(map(len, asked)) == len(set().union(*asked)) == 300
    assert min(map(len, asked)) >= 60


@pytest.mark.parametrize(
    "sick",
    [
        {"die_after": 30},
        {"status": 500, "well_for": 30},
        {"text": " ", "well_for": 30},
        {"text": " "},
        {"health": 503, "well_for": 30, "latency_s": 0.1},  # it answers well until its health is asked about twice
    ],
    ids=["dies", "dead engine", "nan", "nan from the start", "health"],
)
def test_an_endpoint_that_fails_is_left_out_and_the_others_lose_nothing(many, tmp_path, caplog, sick):
    with ExitStack() as stack:
        behaviours = (Behaviour(**{"latency_s": 0.02} | sick), Behaviour(latency_s=0.02))
        urls, files = running_all(stack, tmp_path, *behaviours)
        assert caption(many, urls, tmp_path / "cache.sqlite", HASTY) == 300
    assert f"the server {urls[0]}" in caplog.text and "left out, the others take its requests" in caplog.text
    assert len(answered(files[1])) >= 300 - 30 - 2 * QUICK.max_in_flight
    assert {row["caption"][:16] for row in rows_of(many[0].captions)} == {"A thing of kind "}


def test_an_endpoint_that_is_not_there_is_left_out(many, tmp_path, caplog):
    with running(Behaviour()) as url:
        assert caption(many, ["http://127.0.0.1:9/v1", url], tmp_path / "cache.sqlite") == 300
    assert "there is no server at base_url http://127.0.0.1:9/v1 (Connection refused)" in caplog.text


def test_all_endpoints_dead_is_one_sentence(many, tmp_path):
    with pytest.raises(
        UserError, match="no server at base_url http://127.0.0.1:10/v1.*; the others were left out before"
    ):
        caption(many, ["http://127.0.0.1:9/v1", "http://127.0.0.1:10/v1"], tmp_path / "cache.sqlite")
    with ExitStack() as stack:
        urls, _ = running_all(stack, tmp_path, Behaviour(die_after=20), Behaviour(die_after=40))
        with pytest.raises(UserError, match=r"is gone .* answers so far are kept; the others were left out before$"):
            caption(many, urls, tmp_path / "cache.sqlite", HASTY)


@pytest.mark.slow
def test_two_thousand_captions_under_a_fifth_of_faults_lose_none(tmp_path):
    parts = [part(tmp_path, 0, [view(number) for number in range(2000)])]
    with ExitStack() as stack:
        urls, files = running_all(stack, tmp_path, *[Behaviour(fault_share=0.2, latency_s=0.005)] * 2)
        assert caption(parts, urls, tmp_path / "cache.sqlite", replace(QUICK, max_in_flight=64)) == 2000
    assert len(set().union(*map(answered, files))) == 2000
