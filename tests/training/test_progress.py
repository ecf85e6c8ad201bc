"""What a terminal and what a file show of a run."""

import io
import logging
import os
import pty
import re
import subprocess
import termios

import pytest

from blendclip.training import progress
from blendclip.training.progress import Progress
from tests.training import toy

TRAIN = {
    "loss": 2.3456,
    "text_loss": 1.0,
    "scale": 14.28571,
    "real_share": 0.15,
    "learning_rate": 9.876e-4,
    "samples_per_s": 152.25,
    "step_s": 0.4213,
    "data_wait_s": 0.01234,
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(printed):
    """The lines that a terminal shows in the end: of what returns to the start of a line, the last."""
    return [re.split(r"\r(?!$)", line)[-1].strip() for line in printed.replace("\r\n", "\n").split("\n")]


def test_a_file_gets_a_line_with_the_time_left(monkeypatch):
    clock = iter([100.0, 130.0, 130.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    file = io.StringIO()
    with Progress(20, 200, file) as bar:
        for step in range(21, 31):
            bar.advance(step)
        bar.show(30, "train", TRAIN)
        bar.show(30, "validation", {"road/val/top1": 0.51234, "road/val/clouds": 12})
    assert file.getvalue().splitlines() == [
        "step 30/200  train  loss 2.35  152 samples/s  step 0.42 s  data 0.012 s  lr 0.000988  scale 14.3  real 0.15"
        "  left 08:30",  # 10 steps in 30 s, 170 to go
        "step 30/200  validation  road/val/top1 0.512  road/val/clouds 12",
    ]


def test_a_terminal_gets_a_bar_with_the_time_left_and_whole_lines_above_it():
    terminal = Terminal()
    record = logging.getLogger("blendclip.test")
    with Progress(2, 6, terminal) as bar:
        for step in range(3, 7):
            bar.advance(step)
            bar.show(step, "train", TRAIN | {"loss": float(step)})
            if step == 4:
                bar.show(step, "validation", {"road/val/top1": 0.5})
    record.info("after")
    above, *rest = [line for line in shown(terminal.getvalue()) if line]
    assert above == "step 4/6  validation  road/val/top1 0.5"
    (last,) = rest
    assert re.match(r"100%\|.*\| 6/6 \[\d\d:\d\d<\d\d:\d\d", last), last
    assert "train" not in terminal.getvalue()


def test_a_run_that_is_done_shows_no_bar():
    terminal = Terminal()
    with Progress(6, 6, terminal) as bar:
        bar.show(6, "validation", {"road/val/top1": 0.5})
    assert terminal.getvalue() == "step 6/6  validation  road/val/top1 0.5\n"


@pytest.mark.slow
def test_on_a_terminal_checkpoints_and_measurements_stand_on_lines_of_their_own(results, tmp_path):
    recipe = toy.write_recipe(tmp_path / "recipe.json", validate_every=10)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 150))
    command = toy.command(recipe, results, tmp_path / "run")
    process = subprocess.Popen(command, env=toy.environment(), stderr=theirs)
    os.close(theirs)
    printed = b""
    while True:
        try:
            printed += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    assert process.wait() == 0, printed
    lines = [line for line in shown(printed.decode()) if line]
    checkpoints = [line for line in lines if "checkpoint" in line]
    names = [f"step-{step:09d}.safetensors" for step in (4, 8, 12, 16, 20)]
    assert checkpoints == [f"INFO blendclip.training.loop: checkpoint {name}" for name in names]
    validations = [line for line in lines if "validation" in line]
    assert [line.split("  ")[0] for line in validations] == ["step 10/20", "step 20/20"]
    (bar,) = [line for line in lines if "%|" in line]
    assert re.search(r"20/20 \[.*loss [\d.]+, [\d.e+]+ samples/s", bar)
    assert len(lines) == 5 + 2 + 1, lines
