"""Where things lie under a results folder, and the command lines that make them.

Nothing else spells a path under `results/` or a command line that the product prints. Arguments of places may be names
or wildcards of Snakemake, such as "{dataset}".
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

from blendclip.errors import UserError
from blendclip.plain_names import inside, plain_name

Stage = Literal["clouds", "views", "captions", "triplets"]
"""A stage whose output lies in parts."""
STAGES: tuple[Stage, ...] = get_args(Stage)

DEFAULT_ROOT = Path("results")
RECIPE = "recipe.json"
MODEL_WEIGHTS = "model.safetensors"
MODEL_ABOUT = "model.json"
METRICS_LOG = "log.jsonl"
METRICS = "metrics.json"
PREDICTIONS = "predictions.parquet"

_PART = re.compile(r"part-(\d+)")


class Results:
    """A results folder: the path of everything under it, whether it is there yet or not."""

    root: Path

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def __repr__(self) -> str:
        return f"Results({str(self.root)!r})"

    # Mining

    def datasets(self, name: str) -> Path:
        """Folder of a generated dataset."""
        return inside(self.root, "datasets", name)

    def index(self, dataset: str, split: str) -> Path:
        """Scene index of a split."""
        return inside(self.root, "index", dataset, split, suffix=".parquet")

    def part(self, stage: Stage, dataset: str, split: str, part: int | str) -> Path:
        """Output of a stage for a part, a number or a wildcard."""
        return self._stage(stage, dataset, split) / f"{_part_name(part)}.parquet"

    def rejects(self, stage: str, dataset: str, split: str, part: int | str) -> Path:
        """What a stage left out of a part; the stages of `STAGES` and "cad" have rejects."""
        return self._rejects(dataset, split) / f"{_part_name(part)}.{stage}.parquet"

    def caption_statistics(self, dataset: str, split: str, part: int | str) -> Path:
        """What the captions of a part cost, as JSON."""
        return self._caption_statistics(dataset, split) / f"{_part_name(part)}.json"

    def summary(self, dataset: str, split: str) -> Path:
        """The accounts of mining a split, as JSON."""
        return inside(self.root, "summaries", "triplets", dataset, split, suffix=".json")

    def inspection(self, dataset: str, split: str) -> Path:
        """Folder for the projection check of a split, with a folder for each scene drawn."""
        return inside(self.root, "inspection", dataset, split)

    # Embedding and packing

    def embeddings(self, clip: str, dataset: str, split: str, part: int | str) -> Path:
        """Features that a CLIP gave for the views and captions of a part."""
        return self._embeddings(clip, dataset, split) / f"{_part_name(part)}.parquet"

    def class_weights(self, clip: str, classes: str, templates: str) -> Path:
        """Text weights of a file of prompts/classes over a file of prompts/templates."""
        folder = inside(self.root, "embeddings", clip, "classes")
        return inside(folder, classes, suffix=f".{plain_name(templates)}.parquet")

    def packed_clouds(self, dataset: str, split: str, part: int | str) -> Path:
        """Packed clouds of a part, for any CLIP."""
        return self._packed(None, dataset, split) / f"{_part_name(part)}.arrow"

    def packed_features(self, clip: str, dataset: str, split: str, part: int | str) -> Path:
        """Packed features that a CLIP gave for a part."""
        return self._packed(clip, dataset, split) / f"{_part_name(part)}.arrow"

    # Training and evaluation

    def run(self, run: str) -> Path:
        """Folder of a training run."""
        return inside(self.root, "runs", run)

    def recipe(self, run: str) -> Path:
        """Recipe of a run."""
        return self.run(run) / RECIPE

    def model_weights(self, run: str) -> Path:
        """Weights of a trained run."""
        return self.run(run) / MODEL_WEIGHTS

    def model_about(self, run: str) -> Path:
        """What the weights of a trained run are, as JSON."""
        return self.run(run) / MODEL_ABOUT

    def metrics_log(self, run: str) -> Path:
        """Metrics log of a trained run, a line of JSON for each entry."""
        return self.run(run) / METRICS_LOG

    def model(self, run: str) -> Path:
        """Folder of a run's model as it is shared, with a card."""
        return inside(self.root, "models", run)

    def benchmark(self, name: str) -> Path:
        """Labelled clouds of a benchmark."""
        return inside(self.root, "evaluation", "benchmarks", name, suffix=".parquet")

    def evaluation(self, run: str, benchmark: str) -> Path:
        """Folder of what a run reaches on a benchmark."""
        return inside(self.root, "evaluation", "runs", run, benchmark)

    def metrics(self, run: str, benchmark: str) -> Path:
        """Metrics of a run on a benchmark, as JSON."""
        return self.evaluation(run, benchmark) / METRICS

    def predictions(self, run: str, benchmark: str) -> Path:
        """Predictions of a run for the clouds of a benchmark."""
        return self.evaluation(run, benchmark) / PREDICTIONS

    # Reports, and what jobs keep and tell

    def report(self, name: str = "report") -> Path:
        """Folder of a report's page."""
        return inside(self.root, name)

    def tables(self, report: str = "report") -> Path:
        """Folder of a report's tables."""
        return inside(self.root, "tables" if report == "report" else f"{report}_tables")

    def caches(self) -> Path:
        """Folder of what jobs keep outside of their outputs, to go on after a kill."""
        return self.root / "caches"

    def caption_cache(self, dataset: str, split: str, parts: int | str, part: int | str) -> Path:
        """SQLite file of what a model said in the job of some of `parts` parts, of which `part` is the first."""
        return inside(self.caches(), "captions", dataset, split, f"of-{parts}") / f"{_part_name(part)}.sqlite"

    def caption_caches(self, dataset: str, split: str) -> list[Path]:
        """Where answers to requests of a split may be: the shared file, and the folder of all jobs."""
        return [self.shared_caption_cache(), inside(self.caches(), "captions", dataset, split)]

    def shared_caption_cache(self) -> Path:
        """SQLite file of what a model said to jobs started by hand, and to those of earlier versions."""
        return self.caches() / "captions.sqlite"

    def embedding_cache(self, clip: str, dataset: str, split: str, part: int | str) -> Path:
        """Folder of finished work of embedding some parts of a split, of which this is the first."""
        return inside(self.caches(), "embeddings", clip, dataset, split) / _part_name(part)

    def logs(self) -> Path:
        """Folder of the logs of jobs."""
        return self.root / "logs"

    def timings(self) -> Path:
        """Folder of the times and memory of jobs, as Snakemake measures them."""
        return self.root / "timings"

    # What is there

    def parts(self, stage: Stage, dataset: str, split: str) -> list[Path]:
        """The files of a stage that are there, in order of their parts.

        Raises:
            UserError: there are none.
        """
        return _some(self._stage(stage, dataset, split))

    def embedding_parts(self, clip: str, dataset: str, split: str) -> list[Path]:
        """The files of `embeddings` that are there, in order of their parts.

        Raises:
            UserError: there are none.
        """
        return _some(self._embeddings(clip, dataset, split))

    def packed_parts(self, clip: str, dataset: str, split: str) -> tuple[list[Path], list[Path]]:
        """The files of `packed_clouds` and of `packed_features` that are there, perhaps none, in order of parts."""
        clouds, features = (_part_files(self._packed(name, dataset, split), ".arrow") for name in (None, clip))
        return clouds, features

    def indices(self, dataset: str = "*", split: str = "*") -> list[Path]:
        """The scene indices that are there, perhaps none, by dataset and split."""
        pattern = self.index(dataset, split)
        return sorted(self.index("*", "*").parents[1].glob(f"{dataset}/{pattern.name}"))

    def rejects_parts(self, dataset: str, split: str) -> list[Path]:
        """The files of rejects of all stages that are there, perhaps none, in order of parts."""
        return _part_files(self._rejects(dataset, split))

    def mined_parts(self, stage: Stage, dataset: str, split: str) -> list[Path]:
        """The files of a stage that are there, perhaps none, in order of their parts."""
        return _part_files(self._stage(stage, dataset, split), ".parquet")

    def every_part(self, stage: Stage) -> list[tuple[str, Path]]:
        """The files of a stage in all splits, perhaps none, each behind its dataset/split, in order."""
        folders = sorted((self.root / stage).glob("*/*"))
        return [(f"{at.parent.name}/{at.name}", path) for at in folders for path in _part_files(at, ".parquet")]

    def summaries(self) -> list[Path]:
        """The summaries that are there, perhaps none, by dataset and split."""
        pattern = self.summary("*", "*")
        return sorted(pattern.parents[1].glob(f"*/{pattern.name}"))

    def count_parts(self, dataset: str, split: str) -> int:
        """Number of parts that a split was mined in: one more than the highest that any stage has.

        Raises:
            UserError: no stage has any.
        """
        numbers = [part_number(path) for stage in STAGES for path in _part_files(self._stage(stage, dataset, split))]
        return 1 + max(numbers or map(part_number, self.parts("triplets", dataset, split)))

    def check_parts(self, dataset: str, split: str, parts: int) -> None:
        """Check that nothing is left of a run with more parts, which readers of a folder would take along.

        Raises:
            UserError: there are files of further parts.
        """
        folders = [*(self._stage(stage, dataset, split) for stage in STAGES), self._rejects(dataset, split)]
        folders.append(self._caption_statistics(dataset, split))
        files = [path for folder in folders for path in _part_files(folder)]
        if stale := sorted(path for path in files if part_number(path) >= parts):
            raise UserError(
                f"{stale[0]} and {len(stale) - 1} more files are left from a run with more than {parts} parts: delete "
                f"the folders of {dataset}/{split} under {self.root} and run again"
            )

    # What is said of it

    def relative(self, path: Path) -> str:
        """`path` as it is called from the root, however folders below the root are linked."""
        return absolute(path).relative_to(absolute(self.root)).as_posix()

    @property
    def named(self) -> Results:
        """The same folder by its mere name, as seen from where it lies: for files that hold on any machine."""
        return Results(absolute(self.root).name)

    @property
    def commands(self) -> Commands:
        """The command lines over this folder."""
        return Commands(self)

    def _stage(self, stage: Stage, dataset: str, split: str) -> Path:
        assert stage in STAGES, f"{stage} is none of {STAGES}"
        return inside(self.root, stage, dataset, split)

    def _rejects(self, dataset: str, split: str) -> Path:
        return inside(self.root, "rejects", dataset, split)

    def _caption_statistics(self, dataset: str, split: str) -> Path:
        return inside(self.root, "summaries", "captions", dataset, split)

    def _embeddings(self, clip: str, dataset: str, split: str) -> Path:
        return inside(self.root, "embeddings", clip, dataset, split)

    def _packed(self, clip: str | None, dataset: str, split: str) -> Path:
        """Folder of the packed features of a CLIP, or of the packed clouds."""
        return inside(self.root, "packed", *([] if clip is None else [clip]), dataset, split)


class Commands:
    """Command lines over a results folder, as a shell takes them."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def summary(self, dataset: str, split: str) -> str:
        """The one that counts what was mined of a split and checks the sums."""
        return _line("summary", results=self._results.root, dataset=dataset, split=split)

    def train(self, run: str) -> str:
        """The one that trains a run."""
        files = self._results
        return _line("train", recipe=files.recipe(run), results=files.root, output=files.run(run))

    def evaluate(
        self,
        run: str,
        benchmark: str,
        classes: str,
        templates: str,
        triplets: str | None = None,
        **model: str | Path | None,
    ) -> str:
        """The one that measures a run, or a model, on a benchmark.

        Args:
            run: its name.
            benchmark: its name.
            classes: name of a file of prompts/classes.
            templates: name of a file of prompts/templates.
            triplets: dataset/split to retrieve from, if any.
            model: `model`, `up` and `clip` of what is no run.
        """
        names = {"run": run, "benchmark": benchmark, "classes": classes, "templates": templates, "triplets": triplets}
        return _line("evaluate", results=self._results.root, **names, **model)

    def report(
        self,
        runs: Sequence[str],
        benchmarks: Sequence[str],
        generated: Sequence[str],
        real: Sequence[str],
        splits: Sequence[str],
        output: str,
        tables: str,
    ) -> str:
        """The one that writes a report.

        Args:
            runs: their names, in order.
            benchmarks: their names, in order.
            generated: names of the benchmarks and datasets that are generated.
            real: names of the benchmarks whose clouds were measured on real objects.
            splits: dataset/split of the accounts to show.
            output: name of the page's folder under the root.
            tables: name of the tables' folder under the root.
        """
        root = self._results.root
        chosen = {"runs": runs, "benchmarks": benchmarks, "generated": generated or None, "real": real or None}
        return _line("report", results=root, **chosen, splits=splits, output=root / output, tables=root / tables)

    def evaluate_clip(self, model: str, splits: Sequence[str], classes: Sequence[str], templates: Sequence[str]) -> str:
        """The one that tests a CLIP on splits (dataset/split); `classes` and `templates` are files of prompts/."""
        chosen = {"splits": splits, "classes": classes, "templates": templates}
        return _line("evaluate-clip", results=self._results.root, model=model, **chosen)

    @staticmethod
    def vllm_env(folder: str) -> str:
        """The one that makes the environment of vLLM."""
        return shlex.join(["blendclip", "vllm-env", folder])


def split_of(text: str) -> tuple[str, str]:
    """The dataset and the split of `text`, which is dataset/split.

    Raises:
        UserError: it is not.
    """
    dataset, slash, split = text.partition("/")
    if not (dataset and slash and split) or "/" in split:
        raise UserError(f"{text!r} names no split: write dataset/split, such as city/mini_val")
    return dataset, split


def part_number(path: Path) -> int:
    """The number of the part that a file is of."""
    match = _PART.match(path.name)
    assert match, f"{path} is of no part"
    return int(match[1])


def absolute(path: Path) -> Path:
    """`path` from the root of the disk, links kept: a folder that is linked into another one belongs to that."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - `Path.absolute` leaves `..` in


def _line(command: str, **options: str | Path | Iterable[str] | None) -> str:
    """A command line; options that are None are left out."""
    words = ["blendclip", command]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name}", *([str(value)] if isinstance(value, str | Path) else value)]
    return shlex.join(words)


def _part_name(part: int | str) -> str:
    return f"part-{part:05d}" if isinstance(part, int) else f"part-{part}"


def _part_files(folder: Path, suffix: str = "") -> list[Path]:
    """The files of parts in a folder, in order; with a suffix those alone that are a part's name and that suffix."""
    found = ((match, path) for path in folder.glob("part-*") if (match := _PART.match(path.name)))
    files = [path for match, path in found if not suffix or path.name == match[0] + suffix]
    return sorted(files, key=lambda path: (part_number(path), path.name))


def _some(folder: Path) -> list[Path]:
    if paths := _part_files(folder, ".parquet"):
        return paths
    raise UserError(f"{folder} holds no part-*.parquet: run the stage that writes it first")
