"""Random damage to the tables of a drive, of a seed, and what indexing and mining make of it.

`python -m tests.datasets.drives.mutations --count 1000` prints how many mutations ended how.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import TableOptions
from blendclip.errors import UserError
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions, ViewOptions
from blendclip.mining.views import cut_views
from tests.datasets.drives.broken import Drive

OUTCOMES = {
    "error": "one sentence stops the index or the job",
    "same": "the same clouds and views",
    "told": "other clouds or views, with rejects or a warning",
    "unknown": "a value is null where it was known",
    "another drive": "sound tables of other contents, such as a box that names another instance",
    "traceback": "any other error",
    "hang": "no end within the limit",
    "silent": "other clouds or views without a word",
}
GOOD = tuple(OUTCOMES)[:5]
LIMIT_S = 30
_SPLIT = "mini_train"
_TABLES = (
    *("scene", "sample", "sensor", "calibrated_sensor", "category", "instance", "attribute", "visibility"),
    *3 * ("sample_data", "sample_annotation", "ego_pose", "calibrated_sensor"),
)
_DEEP = "nested very deeply"
_PLACES = ("translation", "rotation", "camera_intrinsic")  # of which a zero or the opposite is as good a number
_FLAGS = ("is_key_frame", "is_valid")


@dataclass(frozen=True)
class Mutation:
    """One damaged table."""

    table: str
    name: str
    """What was done, for a person."""
    content: bytes
    sound: bool
    """Whether what remains is a drive of other contents, which nobody can tell from the right one."""


class Mutator:
    """Draws mutations of the tables of a drive."""

    def __init__(self, drive: Drive, seed: int) -> None:
        self._tables = {table: drive.table(table) for table in set(_TABLES)}
        self._texts = {table: json.dumps(rows) for table, rows in self._tables.items()}
        self._rng = np.random.default_rng(seed)

    def draw(self) -> Mutation:
        """The next one."""
        table = self._one(_TABLES)
        act = self._one([self._value] * 12 + [self._record] * 4 + [self._file] * 2)
        return act(table)

    def _one(self, choices):
        return choices[int(self._rng.integers(len(choices)))]

    def _value(self, table):
        """A field of a record, or an element of its list, becomes something else, or goes."""
        rows = json.loads(self._texts[table])
        number = int(self._rng.integers(len(rows)))
        field = self._one(sorted(rows[number]))
        holder, key, place = rows[number], field, field
        while isinstance(holder[key], list) and holder[key] and self._rng.random() < 0.6:
            holder, key = holder[key], int(self._rng.integers(len(holder[key])))
            place += f"[{key}]"
        kind = self._one(list(_CHANGES))
        old = holder[key]
        sound = False
        if kind == "drop":
            del holder[key]
        elif kind == "other":
            other = self._one(self._tables[table])
            holder[key] = other[field] if place == field else old
            sound = True
        else:
            holder[key] = _CHANGES[kind](old)
            sound = field in _FLAGS or (field in _PLACES and kind in ("zero", "opposite"))
            sound |= isinstance(holder[key], str) and field in ("token", "name", "channel")  # renamed
            sound |= field.startswith("num_") and kind == "zero"
            sound |= field in ("prev", "next") and kind == "empty"  # the end of a track
        text = json.dumps(rows).replace(f'"{_DEEP}"', "[" * 20_000 + "]" * 20_000)
        return Mutation(table, f"{table}[{number}].{place}: {kind} of {old!r:.60}", text.encode(), sound)

    def _record(self, table):
        """A record stands twice, is lost, or is none."""
        rows = json.loads(self._texts[table])
        number = int(self._rng.integers(len(rows)))
        kind = self._one(["twice", "copied", "lost", "no record", "list", "moved"])
        if kind in ("twice", "copied"):
            copy = rows[number] | ({"token": "f" * 32} if kind == "copied" else {})
            rows.insert(int(self._rng.integers(len(rows) + 1)), copy)
        elif kind in ("lost", "moved"):
            row = rows.pop(number)
            rows += [row] if kind == "moved" else []
        else:
            rows[number] = None if kind == "no record" else [rows[number]]
        return Mutation(table, f"{table}[{number}]: {kind}", json.dumps(rows).encode(), kind == "lost")

    def _file(self, table):
        """The file is cut, empty, no list, or has other bytes."""
        content = bytearray(self._texts[table].encode())
        kind = self._one(["cut", "bytes", "empty", "no list", "byte order mark", "appended"])
        place = int(self._rng.integers(len(content)))
        if kind == "cut":
            del content[place:]
        elif kind == "bytes":
            size = int(self._rng.integers(1, 9))
            content[place : place + size] = self._rng.bytes(size)
        else:
            content = bytearray(
                {"empty": b"", "no list": b'{"a": 1}', "appended": bytes(content) + b"[]"}.get(
                    kind, b"\xef\xbb\xbf" + bytes(content)
                )
            )
        return Mutation(table, f"{table}: {kind} at {place}", bytes(content), kind == "bytes")


_CHANGES = {
    "drop": None,
    "other": None,
    "null": lambda old: None,
    "text": lambda old: "5" if not isinstance(old, str) else 5,
    "flag": lambda old: True,
    "list": lambda old: [old],
    "record": lambda old: {"a": old},
    "empty": lambda old: {list: [], str: ""}.get(type(old), {}),
    "NaN": lambda old: float("nan"),
    "infinite": lambda old: float("-inf"),
    "huge": lambda old: 1e300,
    "large": lambda old: 1e9,
    "endless": lambda old: 10**400,
    "opposite": lambda old: -old if isinstance(old, (int, float)) and old else -1,
    "zero": lambda old: 0,
    "longer": lambda old: (old + [0.0]) if isinstance(old, list) else "x" * 5000,
    "odd text": lambda old: "a\ud800\0../b",
    "deep": lambda old: _DEEP,
}


@dataclass(frozen=True)
class Mined:
    """What came out of a drive."""

    tokens: set[str]
    """Of the annotations of the index."""
    tables: dict
    """Clouds and views."""
    rejects: dict
    """Of both stages: a set of (annotation or None, kind, reason)."""
    warnings: set[str]


class _Heard(logging.Handler):
    """Warnings of the package."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.said.add(record.getMessage())


def mine(drive: Drive, folder: Path) -> Mined:
    """Index, clouds and views of a drive; faults stop nothing, so that they are seen as rejects."""
    index = folder / f"{_SPLIT}.parquet"
    heard, package = _Heard(), logging.getLogger("blendclip")
    package.addHandler(heard)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            write_index(drive.root, TableOptions(drive.version), "x", [_SPLIT], folder, format=drive.format)
        paths = {stage: (folder / f"{stage}.parquet", folder / f"{stage}.rejects") for stage in ("clouds", "views")}
        gather_clouds(index, drive.root, 0, 1, *paths["clouds"], CloudOptions(), 1.0, 1.0)
        cut_views(index, drive.root, 0, 1, *paths["views"], ViewOptions(), 1.0)
    finally:
        package.removeHandler(heard)
    (row,) = pq.read_table(index, columns=["tracks"])["tracks"].to_pylist()
    rejects = {stage: pq.read_table(path).to_pylist() for stage, (_, path) in paths.items()}
    return Mined(
        tokens={one["token"] for track in row for one in track["annotations"]},
        tables={stage: pq.read_table(path) for stage, (path, _) in paths.items()},
        rejects={
            stage: {(one["annotation_token"], one["kind"], one["reason"]) for one in rows}
            for stage, rows in rejects.items()
        },
        warnings=heard.said,
    )


def outcome(mutation: Mutation, drive: Drive, whole: Mined, folder: Path) -> tuple[str, str]:
    """How a mutation ends, and what is said."""
    path, content = drive.path(mutation.table), drive.path(mutation.table).read_bytes()
    path.write_bytes(mutation.content)
    try:
        with _limited():
            mined = mine(drive, folder)
    except UserError as error:
        said = str(error)
        return ("error" if "\n" not in said and len(said) < 2000 else "traceback"), said
    except TimeoutError as error:
        return "hang", str(error)
    except Exception as error:
        place = error.__traceback__
        while place.tb_next:
            place = place.tb_next
        where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"
        return "traceback", f"{type(error).__name__} at {where}: {error!s:.200}"
    finally:
        path.write_bytes(content)
    return _judged(mutation, whole, mined)


@contextlib.contextmanager
def _limited():
    def stop(*_):
        raise TimeoutError(f"over {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _judged(mutation: Mutation, whole: Mined, mined: Mined) -> tuple[str, str]:
    new = {stage: mined.rejects[stage] - whole.rejects[stage] for stage in mined.rejects}
    told = mined.warnings - whole.warnings
    for stage, table in mined.tables.items():
        accounted = set(table["annotation_token"].to_pylist()) | {token for token, *_ in mined.rejects[stage]}
        if not mined.tokens <= accounted:
            return "silent", f"annotations without {stage} and without a reject: {sorted(mined.tokens - accounted)}"
    differences = [_differences(stage, whole, mined, new[stage]) for stage in mined.tables]
    lost, changed, worse = (any(of_stage[number] for of_stage in differences) for number in range(3))
    if not changed and not lost:
        return "same", ""
    if mutation.sound:
        return "another drive", ""
    if told or (any(new.values()) and not lost):
        return "told", str(sorted(told or set.union(*new.values()), key=str)[0])
    if not worse and not lost:
        return "unknown", ""
    return "silent", str(differences)[:600]


def _differences(stage: str, whole: Mined, mined: Mined, new: set) -> tuple[list, list, list]:
    """Rows that are lost and nowhere told, columns that differ, and those that differ by more than a null."""
    key = {"clouds": "annotation_token", "views": "view_id"}[stage]
    before, after = whole.tables[stage], mined.tables[stage]
    keys = [table[key].to_pylist() for table in (before, after)]
    rejected, of_file = {token for token, *_ in new if token}, any(token is None for token, *_ in new)
    gone = sorted(set(keys[0]) - set(keys[1]))
    owner = dict(zip(keys[0], before["annotation_token"].to_pylist(), strict=True))
    lost = [one for one in gone if not of_file and owner[one] not in rejected]
    common = sorted(set(keys[0]) & set(keys[1]))
    places = [{one: number for number, one in enumerate(of)} for of in keys]
    old, now = (
        table.take(np.array([place[one] for one in common], np.int64))
        for table, place in zip((before, after), places, strict=True)
    )
    changed = gone + [f"{stage} {one}: new" for one in keys[1] if one not in owner]
    worse = list(changed[len(gone) :])
    for column in old.column_names:
        if old[column].combine_chunks().equals(now[column].combine_chunks()):
            continue
        pairs = zip(common, old[column].to_pylist(), now[column].to_pylist(), strict=True)
        other = [(one, a, b) for one, a, b in pairs if repr(a) != repr(b)]
        changed += [column] if other else []
        worse += [(stage, column, *one) for one in other if one[2] not in (None, [])][:1]
    return lost, changed, worse


def run(drive: Drive, folder: Path, count: int, seed: int = 7) -> list[tuple[str, str, str]]:
    """What becomes of each of `count` mutations: (outcome, mutation, what was said)."""
    whole, mutator = mine(drive, folder), Mutator(drive, seed)
    assert whole.tokens and not whole.warnings
    assert {kind for rows in whole.rejects.values() for _, kind, _ in rows} == {"filtered"}
    found = []
    for _ in range(count):
        mutation = mutator.draw()
        ending, said = outcome(mutation, drive, whole, folder)
        found.append((ending, mutation.name, said))
    return found


def main() -> None:
    """Print how mutations of a generated drive end."""
    from blendclip.synthetic.city.generate import generate_city

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rig", choices=["car", "truck"], default="car")
    args = parser.parse_args()
    logging.getLogger("blendclip").propagate = False
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "city"
        size_px, seconds = {"car": ((320, 180), 2.0), "truck": ((320, 200), 1.0)}[args.rig]
        generate_city(root, rig=args.rig, scenes={_SPLIT: 1}, duration_s=seconds, workers=1, image_size_px=size_px)
        version, format = {"car": ("v1.0-mini", "nuscenes"), "truck": ("v1.2-mini", "truckscenes")}[args.rig]
        drive = Drive(root, Path(name) / "data", version, format)
        found = run(drive, Path(name) / "out", args.count, args.seed)
    for ending, mutation, said in found:
        if ending not in GOOD:
            sys.stdout.write(f"{ending} | {mutation} | {said}\n")
    counts = Counter(ending for ending, *_ in found)
    sys.stdout.write("".join(f"| {OUTCOMES[one]} | {counts[one]} |\n" for one in OUTCOMES))


if __name__ == "__main__":
    main()
