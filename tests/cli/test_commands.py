"""Every command that the product prints is one that it takes."""

import argparse
import ast
import inspect
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

import pytest

import blendclip
from blendclip.cli.main import main
from blendclip.reporting.report.origins import Origins
from blendclip.reporting.report.write_report import write_report
from blendclip.results import Commands, Results
from tests.reporting.report import toy

PACKAGE = Path(blendclip.__file__).parent
REPOSITORY = PACKAGE.parent
BUILDS_COMMANDS = PACKAGE / "results.py"
RUNS, BENCHMARKS = ["late", "real alone"], ["city", "shapes"]
ARGUMENTS = {
    "summary": ("city", "val"),
    "train": ("a run",),
    "evaluate": ("a run", "street", "city", "plain", "city/val"),
    "report": (RUNS, BENCHMARKS, ["city"], ["street"], ["city/val"], "report", "tables"),
    "evaluate_clip": ("local-dir:FOLDER", ["city/val"], ["city.yaml"], ["plain.yaml"]),
    "vllm_env": (".venv-vllm",),
}


def parse(arguments):
    """Have `main` parse arguments and do nothing with them; the only thing here that knows how it parses."""
    plain = argparse.ArgumentParser.parse_args

    def parsed(self, *given):
        args = plain(self, *given)
        args.execute = lambda args: None
        return args

    with mock.patch.object(argparse.ArgumentParser, "parse_args", parsed):
        assert main(arguments) == 0


def check(command):
    """Fail unless the parser takes a command line; of a command without arguments, unless it exists."""
    program, name, *arguments = shlex.split(command, comments=True)
    assert program == "blendclip"
    if not arguments:
        check_name(name)
        return
    try:
        parse([name, *arguments])
    except SystemExit as stopped:
        pytest.fail(f"{command}: the parser does not take it (exit status {stopped.code})")


def check_name(name):
    with pytest.raises(SystemExit) as stopped:
        parse([name, "--help"])
    assert stopped.value.code == 0, f"there is no command {name}"


class Code(HTMLParser):
    """The lines of what a page shows as code."""

    def __init__(self, text):
        super().__init__()
        self.lines, self._is_code = [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._is_code = self._is_code or tag == "code"

    def handle_endtag(self, tag):
        self._is_code = self._is_code and tag != "code"

    def handle_data(self, data):
        self.lines += data.splitlines() * self._is_code


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder of two runs with a report, under a name that a shell would take apart."""
    folder = tmp_path_factory.mktemp("page") / "my results"
    toy.write_run(folder, RUNS[0])
    toy.write_run(folder, RUNS[1], schedule="constant", ratio=1.0, synthetic=())
    toy.write_results(folder, dict.fromkeys(RUNS, (0.7, 0.5)), BENCHMARKS)
    toy.write_summaries(folder)
    toy.write_cad_summary(folder)
    write_report(folder, RUNS, BENCHMARKS, folder / "report", folder / "tables", Origins(("city",)))
    return folder


def printed_by(results):
    lines = Code((results / "report" / "index.html").read_text()).lines
    return {line for line in lines if line.startswith("blendclip ")}


def test_the_report_prints_commands_that_work(results):
    commands = printed_by(results)
    names = [shlex.split(command)[1] for command in commands]
    assert {name: names.count(name) for name in names} == {"evaluate": 4, "train": 2, "summary": 3, "report": 1}
    for command in commands:
        check(command)


def test_tables_name_no_command(results):
    for path in (results / "tables").iterdir():
        assert "blendclip " not in path.read_text(), "or collect it in the test above"


def test_the_command_on_the_page_writes_that_page(results, monkeypatch):
    monkeypatch.setattr("blendclip.reporting.gallery.write_gallery.write_gallery", lambda *asked: "")
    (command,) = [line for line in printed_by(results) if line.startswith("blendclip report ")]
    written = {path: path.read_bytes() for folder in ("report", "tables") for path in (results / folder).rglob("*.*")}
    monkeypatch.chdir(results.parent)
    for path in written:
        path.unlink()
    assert main(shlex.split(command)[1:]) == 0
    assert {path: path.read_bytes() for path in written} == written


def test_command_lines_that_are_built_are_taken():
    methods = {name for name, _ in inspect.getmembers(Commands, inspect.isfunction) if not name.startswith("_")}
    assert methods == ARGUMENTS.keys(), "give arguments for a new one"
    for name, arguments in ARGUMENTS.items():
        check(getattr(Results("my results").commands, name)(*arguments))


class Texts(ast.NodeVisitor):
    """The texts of a module, with a 1 for whatever an f-string fills in; docstrings apart."""

    def __init__(self, path):
        self.texts, self.docstrings = [], []
        tree = ast.parse(path.read_text())
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        owners = [node for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
        self._docstrings = {id(node.body[0].value) for node in owners}
        self.visit(tree)

    def visit_Constant(self, node):  # noqa: N802 - as ast calls it
        if isinstance(node.value, str):
            (self.docstrings if id(node) in self._docstrings else self.texts).append(node.value)

    def visit_JoinedStr(self, node):  # noqa: N802
        self.texts.append("".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part)


def commands_in(text):
    """What stands in backticks as a command, or is nothing but one; COMMAND stands for any of them."""
    if re.fullmatch(r"blendclip [a-z][a-z0-9-]*( .*)?", text):
        return [text]
    found = (" ".join(one.split()) for one in re.findall(r"`(blendclip [^`]+)`", text))
    return [command for command in found if command.split()[1] != "COMMAND"]


MODULES = sorted(PACKAGE.rglob("*.py"))


def test_sentences_name_commands_that_there_are():
    found = [
        command
        for path in MODULES
        for text in [*Texts(path).texts, *Texts(path).docstrings]
        for command in commands_in(text)
    ]
    assert {"blendclip evaluate", "blendclip recipe", "blendclip index", "blendclip pack-clouds"} <= set(found)
    for command in set(found):
        check(command)


def test_command_lines_with_arguments_are_built_in_one_place():
    for path in MODULES:
        lines = [command for text in Texts(path).texts for command in commands_in(text) if len(command.split()) > 2]
        assert not lines or path == BUILDS_COMMANDS, f"{path} spells {lines}: build it in {BUILDS_COMMANDS.name}"


def test_the_scan_reads_f_strings_and_finds_what_is_wrong(tmp_path):
    path = tmp_path / "module.py"
    raising = 'raise E(f"no {x}: run `blendclip summary --split {y}`" f" or `blendclip {z}`")'
    path.write_text(f'"""Runs `blendclip index`."""\n{raising}')
    found = Texts(path)
    assert [commands_in(text) for text in found.docstrings] == [["blendclip index"]]
    assert [commands_in(text) for text in found.texts] == [["blendclip summary --split 1", "blendclip 1"]]
    for wrong in ("blendclip summary --split 1", "blendclip 1", "blendclip summery", "blendclip index --ruut x"):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            check(wrong)


def test_the_shipped_clip_tells_a_command_that_works():
    check(json.loads((PACKAGE / "encoders" / "tiny_clip" / "recipe.json").read_text())["test"]["command"])


PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_pages_are_taken(page):
    """Lines of code as they stand; amid a sentence a command may be cut short, and need only exist."""
    text = page.read_text().replace("\\\n", " ")
    for line in re.findall(r"^    (blendclip [^\n]*)$", text, re.MULTILINE):
        check(line)
    for name in re.findall(r"`blendclip\s+([a-z-]+)[^`]*`", text):
        check_name(name)
