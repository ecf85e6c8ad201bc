"""The gallery of the report: triplets, and right and wrong predictions of runs, with clouds that turn in the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blendclip import storage
from blendclip.reporting.gallery.assets import Assets
from blendclip.reporting.gallery.cards import prediction_panels, template, triplet_cards
from blendclip.reporting.gallery.clouds import points_each
from blendclip.reporting.gallery.predictions import choose_predictions
from blendclip.reporting.gallery.titles import Titles
from blendclip.reporting.gallery.triplets import TripletIndex
from blendclip.results import Results


def write_gallery(results: Path, runs: Sequence[str], benchmarks: Sequence[str], output: Path) -> str:
    """Write crops, clouds, script and style into `output/gallery`; return the HTML that shows them.

    The HTML is for a page in `output`, inside a section with a heading of its own: its headings are h3. The page needs
    no server and no network. Splits without triplets of a benchmark's clouds are not shown.

    Args:
        results: results folder with benchmarks, triplets, and evaluations of each run on each benchmark.
        runs: names of runs.
        benchmarks: names of benchmarks.
        output: folder of the page.

    Raises:
        UserError: a benchmark or an evaluation is missing or unreadable, or the two do not belong together.
    """
    paths = {name: Results(results).benchmark(name) for name in benchmarks}
    cloud_ids = {name: storage.read_parquet(path, ["cloud_id"])["cloud_id"] for name, path in paths.items()}
    predictions = {
        name: [choose_predictions(results, run, name, cloud_ids[name]) for run in runs] for name in benchmarks
    }
    index = TripletIndex(results)
    splits = sorted({split for ids in cloud_ids.values() for split in index.splits_of(ids)})
    triplets = {split: index.some(split, count=12) for split in splits}
    num_clouds = sum(map(len, triplets.values())) + sum(
        len(chosen.clouds()) for of_runs in predictions.values() for chosen in of_runs
    )
    titles = Titles(results, runs[0], benchmarks)
    assets = Assets(output / "gallery", points_each(num_clouds))
    return template().render(
        splits=[{"name": split, "cards": triplet_cards(chosen, titles, assets)} for split, chosen in triplets.items()],
        panels=[
            panel
            for name, chosen in predictions.items()
            for panel in prediction_panels(paths[name], chosen, index, assets)
        ],
        runs=runs,
        benchmarks=benchmarks,
    )
