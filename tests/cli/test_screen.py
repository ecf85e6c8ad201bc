"""Which records of Snakemake's log reach the screen."""

import io
import logging
from types import SimpleNamespace

import pytest
from snakemake.logging import LogEvent

from blendclip.cli.screen import Screen, clear_screen

QUIET = SimpleNamespace(dryrun=False, printshellcmds=False, verbose=False)


@pytest.fixture
def screen(tmp_path):
    """A logger with a terminal and a file, as Snakemake sets them up, and functions that say what each shows."""

    def with_settings(asked=QUIET):
        terminal = io.StringIO()
        log = logging.Logger("snakemake")
        log.addHandler(logging.StreamHandler(terminal))
        log.addHandler(logging.FileHandler(tmp_path / "snakemake.log"))
        clear_screen(log.handlers, asked)
        return log, lambda: terminal.getvalue().splitlines(), (tmp_path / "snakemake.log").read_text

    return with_settings


def progress(log, done, total):
    log.info(f"{done} of {total}", extra={"event": LogEvent.PROGRESS, "done": done, "total": total})


def test_progress_is_said_at_every_tenth_and_not_at_the_end(screen):
    log, terminal, file = screen()
    for done in range(1, 41):
        progress(log, done, 40)
    assert terminal() == [f"{done} of 40" for done in (1, 4, 8, 12, 16, 20, 24, 28, 32, 36)]
    assert len(file().splitlines()) == 40


def test_a_long_silence_is_broken():
    now_s = iter([0.0, 1.0, 599.0, 602.0, 603.0])
    screen = Screen(lambda: next(now_s))
    said = [{"event": LogEvent.PROGRESS, "done": done, "total": 1000} for done in range(1, 5)]
    passed = [screen.filter(logging.makeLogRecord({"levelno": logging.INFO} | one)) for one in said]
    assert passed == [True, False, True, False]


def test_jobs_are_left_out_and_all_that_goes_wrong_is_shown(screen):
    log, terminal, file = screen()
    said = [
        ("Building DAG of jobs...", logging.INFO, None, False),
        ("Nothing to be done (all requested files are present and up to date).", logging.INFO, None, True),
        ("Terminating processes on user request, this might take some time.", logging.INFO, None, True),
        ("Job stats:", logging.INFO, LogEvent.RUN_INFO, False),
        ("rule cut_views:", logging.INFO, LogEvent.JOB_INFO, False),
        ("Shell command: blendclip views", logging.INFO, LogEvent.SHELLCMD, False),
        ("Finished jobid: 3", logging.INFO, LogEvent.JOB_FINISHED, False),
        ("Complete log(s): here", logging.INFO, None, False),
        ("the disk is nearly full", logging.WARNING, None, True),
        ("Elapsed time: 3 s", logging.INFO, None, False),
        ("Error in rule cut_views:", logging.ERROR, LogEvent.JOB_ERROR, True),
        ("Complete log(s): there", logging.INFO, None, True),
        ("rule join_triplets:", logging.INFO, LogEvent.JOB_INFO, False),
    ]
    for text, level, event, _ in said:
        log.log(level, text, extra={} if event is None else {"event": event})
    assert terminal() == [text for text, *_, shown in said if shown]
    assert file().splitlines() == [text for text, *_ in said]


@pytest.mark.parametrize("asked", ["dryrun", "printshellcmds", "verbose"])
def test_who_asks_for_plan_or_commands_sees_all(screen, asked):
    log, terminal, _ = screen(SimpleNamespace(**vars(QUIET) | {asked: True}))
    log.info("rule cut_views:", extra={"event": LogEvent.JOB_INFO})
    assert terminal() == ["rule cut_views:"]
