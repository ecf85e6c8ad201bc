"""Caches of answers that know each other."""

import pytest

from blendclip.errors import UserError
from blendclip.mining.captions.backends import CaptionFiles
from blendclip.mining.captions.cache import Answer, AnswerCache

KEYS = [bytes([number]) * 32 for number in range(4)]


def answer(text):
    return Answer(text, "stop", "", 3, 4, 0.0, 1.0)


def filled(path, **texts):
    cache = AnswerCache(path)
    for number, text in texts.items():
        cache.put(KEYS[int(number[1:])], "model", "sha", answer(text))
    return cache


def test_a_new_cache_takes_what_others_have_and_leaves_these_as_they_are(tmp_path):
    under_way = filled(tmp_path / "old.sqlite", _0="a car", _1="a bus")  # its log is there, as after a kill
    filled(tmp_path / "older.sqlite", _1="a coach", _2="a bike")._connection.close()
    before = (tmp_path / "older.sqlite").read_bytes()
    cache = filled(tmp_path / "new" / "own.sqlite", _0="a van")
    cache.adopt(KEYS, [tmp_path / "old.sqlite", tmp_path / "older.sqlite"])
    texts = {key: found.text for key, found in cache.find(KEYS).items()}
    assert texts == {KEYS[0]: "a van", KEYS[1]: "a bus", KEYS[2]: "a bike"}
    assert set(under_way.find(KEYS)) == set(KEYS[:2]) and (tmp_path / "older.sqlite").read_bytes() == before


def test_a_known_file_that_is_none_is_named(tmp_path):
    (tmp_path / "old.sqlite").write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(UserError, match=r"the caption cache \S+old.sqlite cannot be used"):
        AnswerCache(tmp_path / "own.sqlite").adopt(KEYS, [tmp_path / "old.sqlite"])


def test_caches_of_jobs_that_may_run_now_are_not_read(tmp_path):
    for name in ("of-2/part-00000", "of-2/part-00001", "of-3/part-00002"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.sqlite").touch()
    files = CaptionFiles(tmp_path, tmp_path / "of-2/part-00000.sqlite", known=(tmp_path, tmp_path / "none.sqlite"))
    assert files.known_files() == [tmp_path / "of-3/part-00002.sqlite"]
