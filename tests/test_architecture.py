"""Who may import whom: read from the source by `ast`, whatever a run happens to load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "blendclip"

LAYERS = (
    ("errors",),
    ("ranges",),
    ("options",),
    ("geometry", "json_schema", "plausible", "randomness", "raw_points", "sampling", "schemas"),
    ("storage", "packages", "plain_files", "plain_names", "shipped"),
    ("rejects", "results", "prompts"),
    ("accounts",),
    ("datasets", "mining"),  # the scene index is all they share
    ("synthetic", "benchmarks"),
    ("encoders",),
    ("evaluation",),
    ("training",),
    ("reporting",),
    ("naming",),
    ("model",),
    ("runs",),
    ("config",),  # composed of the options of every room
    ("blendclip",),  # the public face, blendclip/__init__.py
    ("cli",),
    ("__main__",),
)
"""Rooms from the bottom up. A room imports itself and what stands in a lower line, never its neighbors in the line."""

ONLY_IMPORTED_BY = {"synthetic": {"cli"}}
NEVER = {("synthetic", "mining"), ("synthetic", "training"), ("evaluation", "training")}
NO_TORCH = ("datasets", "mining")
MOST_LINES = 400


@dataclass(frozen=True)
class Import:
    """That one module imports another."""

    importer: str
    target: str
    """A module of the package, or the name of a foreign one."""
    lazy: bool
    """Whether it happens in a function, not when the importer is imported."""


def modules_of(package: Path) -> dict[str, Path]:
    """Dotted names of all modules of a package, packages by the name of their folder."""
    names = {path: path.relative_to(package.parent).with_suffix("").parts for path in sorted(package.rglob("*.py"))}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for path, parts in names.items()}


def imports_of(package: Path) -> list[Import]:
    """All imports in a package but those for type checkers; of names in the face, `__version__` is none."""
    modules = modules_of(package)
    found = []
    for importer, path in modules.items():
        for node, lazy in _statements(ast.parse(path.read_text()), lazy=False):
            found += [Import(importer, target, lazy) for target in _targets(node, package.name, modules)]
    return [one for one in found if one.importer != one.target]


def _statements(node: ast.AST, *, lazy: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes below a node, and whether they lie in a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child, lazy
        yield from _statements(
            child, lazy=lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        )


def _targets(node: ast.AST, package: str, modules: dict[str, Path]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0 and node.module, f"a relative import: {ast.unparse(node)}"
        names = [alias.name for alias in node.names if (node.module, alias.name) != (package, "__version__")]
        return [full if (full := f"{node.module}.{name}") in modules else node.module for name in names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "import_module" and node.args:
        named = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
        return [str(named.value).rstrip(".")] if isinstance(named, ast.Constant) else []
    return []


def room_of(module: str) -> str:
    """The name in `LAYERS` of a module's file or folder below the package."""
    first, *below = module.split(".")
    return below[0] if below else first


def between_rooms(imports: list[Import], package: str) -> Iterator[tuple[str, str, Import]]:
    """Imports of the package's own modules in another room, with both rooms."""
    for one in imports:
        rooms = room_of(one.importer), room_of(one.target)
        if one.target.split(".")[0] == package and rooms[0] != rooms[1]:
            yield *rooms, one


def cycle_in(imports: list[Import]) -> list[str]:
    """The modules of an import cycle; none where there is none."""
    graph: dict[str, set[str]] = {}
    for one in imports:
        graph.setdefault(one.importer, set()).add(one.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def upward(imports: list[Import], package: str) -> list[Import]:
    """The imports that do not point downwards in `LAYERS`."""
    layer_of = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
    return [one for importer, target, one in between_rooms(imports, package) if layer_of[target] >= layer_of[importer]]


def forbidden(imports: list[Import], package: str) -> list[Import]:
    """The imports that `ONLY_IMPORTED_BY` and `NEVER` exclude."""
    return [
        one
        for importer, target, one in between_rooms(imports, package)
        if (importer, target) in NEVER or importer not in ONLY_IMPORTED_BY.get(target, {importer})
    ]


def loaded_with(imports: list[Import], module: str) -> set[str]:
    """What is imported when a module is, directly or through others."""
    eager: dict[str, set[str]] = {}
    for one in imports:
        if not one.lazy:
            eager.setdefault(one.importer, set()).add(one.target)
    loaded, waiting = set(), {module}
    while waiting:
        loaded |= waiting
        waiting = set().union(*(eager.get(name, set()) for name in waiting)) - loaded
    return loaded


def logic_in(init: Path) -> list[str]:
    """The statements of an `__init__` beside docstring, imports, literals in dunder or private names, `__getattr__`."""
    return [ast.unparse(node) for node in ast.parse(init.read_text()).body if not _re_exports(node)]


def _re_exports(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(ast.unparse(target).startswith("_") for target in targets) and _is_literal(node.value)
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test) and all(map(_re_exports, [*node.body, *node.orelse]))
    if isinstance(node, ast.FunctionDef):
        return node.name in ("__getattr__", "__dir__")
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or isinstance(node, ast.Import | ast.ImportFrom)


def _is_literal(value: ast.expr | None) -> bool:
    try:
        ast.literal_eval(ast.unparse(value) if value else "None")
    except ValueError:
        return False
    return True


IMPORTS = imports_of(PACKAGE)
MODULES = modules_of(PACKAGE)


def test_no_module_imports_itself_through_others():
    assert not cycle_in([one for one in IMPORTS if one.target in MODULES])


def test_every_room_has_its_layer():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms - {"__init__"} <= {room for layer in LAYERS for room in layer}


def test_imports_point_downwards():
    assert upward(IMPORTS, PACKAGE.name) == []


def test_generators_are_imported_by_commands_alone_and_know_nothing_of_mining_or_training():
    assert forbidden(IMPORTS, PACKAGE.name) == []


@pytest.mark.parametrize("room", NO_TORCH)
def test_reading_and_mining_are_written_without_torch(room):
    for module in MODULES:
        if room_of(module) == room:
            foreign = {name.split(".")[0] for name in loaded_with(IMPORTS, module)}
            assert not {"torch", "open_clip"} & foreign, module


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("datasets", {"torch"}),
        (
            "mining",
            {"torch", "nuscenes", "truckscenes", "open3d", "snakemake", "pandas", "matplotlib", "trimesh", "h5py"},
        ),
    ],
)
def test_a_job_loads_no_library_of_another(room, never):
    modules = [module for module in [*MODULES, "blendclip.cli.main"] if room_of(module) in (room, "cli")]
    code = f"import sys, {', '.join(modules)}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert not never & set(loaded)


def test_init_files_hold_no_logic():
    for init in PACKAGE.rglob("__init__.py"):
        assert not logic_in(init), init


def test_files_stay_short():
    files = [path for folder in ("blendclip", "speed", "tests") for path in (REPOSITORY / folder).rglob("*.py")]
    assert len(files) > 100
    assert {path: lines for path in files if (lines := len(path.read_text().splitlines())) >= MOST_LINES} == {}


@pytest.fixture
def toy(tmp_path) -> Path:
    """A package that breaks every rule once."""
    files = {
        "__init__.py": '"""Toy."""\n__version__ = "1"\n',
        "errors.py": "def raised():\n    from toy import storage\n",
        "storage.py": "from typing import TYPE_CHECKING\nfrom toy import __version__, errors\n"
        "if TYPE_CHECKING:\n    from toy.cli import main\n",
        "datasets/__init__.py": "import os\nFOUND = os.listdir()\n",
        "datasets/shared.py": "import torch.nn\n",
        "mining/__init__.py": "",
        "mining/crop.py": "from toy.datasets import shared\n",
        "synthetic/__init__.py": "",
        "synthetic/city.py": "from toy import mining\n",
        "encoders/__init__.py": "",
        "encoders/clip.py": "from importlib import import_module\nfrom toy.encoders import clip\n"
        "def load(name):\n    import_module(f'toy.synthetic.{name}')\n",
    }
    for name, text in files.items():
        path = tmp_path / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "toy"


def test_what_is_broken_is_found(toy):
    imports = imports_of(toy)
    own = [one for one in imports if one.target in modules_of(toy)]
    assert set(cycle_in(own)) == {"toy.errors", "toy.storage"}
    assert {(one.importer, one.target, one.lazy) for one in upward(imports, "toy")} == {
        ("toy.errors", "toy.storage", True),
        ("toy.mining.crop", "toy.datasets.shared", False),
    }
    assert {(one.importer, one.target) for one in forbidden(imports, "toy")} == {
        ("toy.synthetic.city", "toy.mining"),
        ("toy.encoders.clip", "toy.synthetic"),
    }
    assert "torch.nn" in loaded_with(imports, "toy.mining.crop")
    assert "toy.storage" not in loaded_with(imports, "toy.errors")
    assert logic_in(toy / "datasets" / "__init__.py") == ["FOUND = os.listdir()"]
    assert logic_in(toy / "__init__.py") == []
