"""Write the objects of a CAD dataset, of any format, as triplets and views like those that are mined."""

from __future__ import annotations

import itertools
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from tqdm import tqdm

from blendclip import schemas, storage
from blendclip.datasets.cad import rules, tables
from blendclip.datasets.cad.objects import BrokenObjectError, CadObject, said
from blendclip.datasets.cad.tables import Named
from blendclip.datasets.formats import format_named
from blendclip.errors import UserError
from blendclip.options import Options
from blendclip.plain_names import plain_name
from blendclip.rejects import Rejects

log = logging.getLogger(__name__)

_AT_ONCE = 32  # objects in a row group


class Entry(Protocol):
    """What a reader lists of an object before it is read."""

    @property
    def id(self) -> str:
        """Unique in the dataset."""

    @property
    def category(self) -> str | None:
        """As the source spells it; None where it names no category."""

    @property
    def path(self) -> str:
        """Of the object's file, relative to the dataset's folder."""


EntryT = TypeVar("EntryT", bound=Entry)


class Reader(Protocol[EntryT]):
    """What `write_cad` asks of a format."""

    def entries(self, split: str) -> Sequence[EntryT]:
        """The objects of a split, in an order that stays; UserError where there are none."""

    def prepare(self, entries: Sequence[EntryT]) -> None:
        """Do what is best done once for the entries that a job is going to read."""

    def read(self, entry: EntryT) -> CadObject:
        """An object; BrokenObjectError where it cannot be used."""


@dataclass(frozen=True)
class CadFiles:
    """What one job writes; None is not written."""

    views: Path
    """Parquet of all views."""
    rejects: Path
    """Parquet of the objects that were left out."""
    triplets: Path | None = None
    """With the source's own captions, `captions` beside it."""
    captions: Path | None = None
    """Parquet of the source's captions of views."""
    clouds: Path | None = None
    """Instead of triplets, where the captions stage is to describe the views."""
    embeddings: Path | None = None
    """The CLIP features that came with the objects."""


@dataclass(frozen=True)
class CadPart:
    """Which objects a job takes: part, part + parts, part + 2 parts ... of the split's list."""

    dataset: str
    """Name of the dataset in config.yaml."""
    split: str
    """Name of the split."""
    part: int = 0
    """Number of the part, from 0."""
    parts: int = 1
    """How many parts the split has."""

    def __post_init__(self) -> None:
        plain_name(self.dataset)
        plain_name(self.split)


def open_reader(format: str, root: Path, options: Options) -> Reader[Any]:
    """The reader of a format, for a folder; `options` are of the format's class.

    Raises:
        UserError: there is no such format or folder, or options do not fit.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: set `root` of the dataset to where it lies")
    reader: Reader[Any] = format_named(format, "cad").open()(root, options)
    return reader


def write_cad(
    reader: Reader[EntryT], which: CadPart, files: CadFiles, options: Options, max_fault_fraction: float = 0.01
) -> int:
    """Write the tables of one part and its rejects; return the number of objects in them.

    Every object of the part ends in the tables or as a reject.

    Raises:
        UserError: the split is not there, or more than `max_fault_fraction` of the part's objects are broken.
    """
    rejects = Rejects("cad")
    entries = _with_repeats(reader.entries(which.split))[which.part :: which.parts]
    reader.prepare([entry for entry, _ in entries])
    rejects.attempt("object", len(entries))
    about = storage.metadata("cad", asdict(options))
    outputs = _outputs(files)
    written = 0
    with ExitStack() as stack:
        writers = [
            (stack.enter_context(storage.parquet_writer(path, schema, about)), rows) for path, schema, rows in outputs
        ]
        for objects in _batched(_read(reader, entries, which, rejects)):
            for write, rows in writers:
                write(rows(which.dataset, which.split, objects))
            written += len(objects)
        rejects.check(max_fault_fraction)
    rejects.write(files.rejects, asdict(options))
    return written


def _outputs(files: CadFiles) -> list[tuple[Path, pa.Schema, Callable[..., pa.Table]]]:
    wanted = [
        (files.triplets, schemas.TRIPLETS, tables.triplets),
        (files.clouds, schemas.CLOUDS, tables.clouds),
        (files.views, schemas.VIEWS, tables.views),
        (files.captions, schemas.CAPTIONS, tables.captions),
        (files.embeddings, schemas.EMBEDDINGS, tables.embeddings),
    ]
    return [(path, schema, rows) for path, schema, rows in wanted if path is not None]


def _read(
    reader: Reader[EntryT], entries: Sequence[tuple[EntryT, bool]], which: CadPart, rejects: Rejects
) -> Iterator[Named]:
    shown: set[str] = set()
    for entry, is_first in tqdm(entries, f"cad {which.dataset}/{which.split}", unit="object"):
        try:
            if not is_first:
                raise BrokenObjectError(rules.DUPLICATE_ID, rules.DUPLICATE_ID.reason())
            yield Named(entry.id, entry.category, _read_one(reader, entry, shown))
        except BrokenObjectError as error:
            who = {"dataset": which.dataset, "split": which.split, "scene": None}
            who |= {"annotation_token": entry.id, "category": entry.category}
            rejects.add(who, error.rule, str(error), path=entry.path)
            rejects.blame("object", entry.path, str(error))


def _read_one(reader: Reader[EntryT], entry: EntryT, shown: set[str]) -> CadObject:
    """An object of a reader, which may meet what nobody foresaw in a file: the object is then left out by a rule.

    An error of ours would look the same. So the rule is of these alone, its sentence names the line, and the log shows
    how it came there; a name or package that is missing is no matter of files, and ends the job.

    Args:
        shown: the lines of which the log has shown it already.
    """
    try:
        return reader.read(entry)
    except (BrokenObjectError, UserError, ImportError, NameError, AssertionError):
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        if place not in shown:
            log.warning("%s is left out", entry.path, exc_info=True)
            shown.add(place)
        raise BrokenObjectError(rules.UNFORESEEN, rules.UNFORESEEN.reason(place=place, **said(error))) from error


def _with_repeats(entries: Sequence[EntryT]) -> list[tuple[EntryT, bool]]:
    """Entries, and whether each is the first of its id."""
    first = {entry.id: number for number, entry in reversed(list(enumerate(entries)))}
    return [(entry, first[entry.id] == number) for number, entry in enumerate(entries)]


def _batched(objects: Iterator[Named]) -> Iterator[list[Named]]:
    while batch := list(itertools.islice(objects, _AT_ONCE)):
        yield batch
