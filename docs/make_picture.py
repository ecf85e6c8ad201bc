"""Draw crops, their clouds and the names that a model gives the clouds: the picture at the top of README.

    snakemake --cores all train_curriculum
    python docs/make_picture.py

Of each class the triplet with the largest crop is shown, whatever the model says of it. The same triplets and model
give the same bytes.

Letters in names: N points of a cloud.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import blendclip
from blendclip.errors import UserError
from blendclip.evaluation.choices import class_words
from blendclip.results import DEFAULT_ROOT, Results, split_of
from blendclip.storage import read_parquet, replacing

CLASSES = ("car", "truck", "pedestrian", "bicycle")
TOP = 4
_AZIMUTH_RAD, _ELEVATION_RAD = np.deg2rad(35.0), np.deg2rad(18.0)  # of the eye: ahead and to the left, from above
_DPI, _COLUMN_IN, _HEIGHT_IN = 100, 3.0, 3.5
_BEHIND, _AROUND, _RIGHT, _OTHER, _MUTED = "#10151b", "#eef1f4", "#79bdea", "#ccd4dc", "#6e7680"
_COLUMNS = ["triplet_id", "class_name", "image", "crop_xyxy_px", "points"]


def largest_crops(parts: Sequence[Path], classes: Sequence[str]) -> list[dict[str, Any]]:
    """The triplet of each class whose crop has the largest area; of equals the first.

    Args:
        parts: Parquet files of triplets.
        classes: what to show, by class_name.

    Raises:
        UserError: no triplet is of one of the classes.
    """
    rows = pa.concat_tables([read_parquet(path, ["class_name", "crop_xyxy_px"]) for path in parts]).to_pylist()
    triplets = pa.concat_tables([read_parquet(path, _COLUMNS) for path in parts])
    areas = [_area(row["crop_xyxy_px"]) for row in rows]
    chosen = []
    for name in classes:
        of_class = [number for number, row in enumerate(rows) if row["class_name"] == name]
        if not of_class:
            raise UserError(f"no triplet is of class {name}: choose others with --show")
        chosen.append(max(of_class, key=areas.__getitem__))
    return triplets.take(chosen).to_pylist()


def draw(triplets: Sequence[dict[str, Any]], predictions: blendclip.Predictions, about: str, output: Path) -> None:
    """Draw a column for each triplet: crop and cloud, below them the best names with their cosines.

    Args:
        triplets: rows with the columns `_COLUMNS`.
        predictions: of their clouds, in the same order.
        about: a line on where all of it comes from.
        output: PNG to write.
    """
    figure = Figure(figsize=(_COLUMN_IN * len(triplets), _HEIGHT_IN), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    columns = figure.add_gridspec(1, len(triplets), left=0.012, right=0.988, top=0.93, bottom=0.1, wspace=0.07)
    for column, triplet, best in zip(columns, triplets, predictions, strict=True):
        grid = column.subgridspec(2, 2, height_ratios=(1.45, 1), hspace=0.08, wspace=0.04)
        _show_crop(figure.add_subplot(grid[0, 0]), triplet)
        _show_cloud(figure.add_subplot(grid[0, 1]), np.asarray(triplet["points"], np.float64))
        _show_names(figure.add_subplot(grid[1, :]), best, triplet["class_name"])
    figure.text(0.012, 0.02, about, fontsize=8, color=_MUTED)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    with replacing(output) as temporary, Image.open(drawn) as image:
        image.convert("RGB").quantize(256).save(temporary, "PNG", optimize=True)


def _area(xyxy_px: Sequence[float]) -> float:
    left, upper, right, lower = xyxy_px
    return (right - left) * (lower - upper)


def _show_crop(axes: Axes, triplet: dict[str, Any]) -> None:
    """Draw a crop in the middle of a square."""
    with Image.open(io.BytesIO(triplet["image"]["bytes"])) as image:
        axes.imshow(image.convert("RGB"), interpolation="antialiased")
        half = max(image.size) / 2
        axes.set(xlim=(image.width / 2 - half, image.width / 2 + half), xticks=[])
        axes.set(ylim=(image.height / 2 + half, image.height / 2 - half), yticks=[])
    axes.set_facecolor(_AROUND)
    axes.spines[:].set_visible(False)
    axes.set_title("crop", loc="left", fontsize=8, color=_MUTED, pad=3)


def _show_cloud(axes: Axes, points_N3: NDArray[np.float64]) -> None:
    """Draw a cloud without perspective, colored by height, later points nearer to the eye."""
    right, up, nearness = _seen(points_N3)
    order = np.argsort(nearness)
    size = float(np.clip(1500 / len(points_N3), 1.2, 14))
    axes.scatter(right[order], up[order], s=size, c=points_N3[order, 2], cmap="turbo", linewidths=0)
    half = 0.56 * max(np.ptp(right), np.ptp(up))
    axes.set_xlim((right.min() + right.max()) / 2 + np.array([-half, half]))
    axes.set_ylim((up.min() + up.max()) / 2 + np.array([-half, half]))
    axes.set_aspect("equal")
    axes.set_facecolor(_BEHIND)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"its cloud, {len(points_N3)} points", loc="left", fontsize=8, color=_MUTED, pad=3)


def _seen(points_N3: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Points (N, 3), z up, as the eye sees them: (N,) to the right, (N,) upwards, (N,) towards the eye."""
    cos, sin = np.cos(_AZIMUTH_RAD), np.sin(_AZIMUTH_RAD)
    x, y, z = points_N3.T
    ahead = cos * x + sin * y
    level = np.cos(_ELEVATION_RAD) * ahead + np.sin(_ELEVATION_RAD) * z
    return cos * y - sin * x, np.cos(_ELEVATION_RAD) * z - np.sin(_ELEVATION_RAD) * ahead, level


def _show_names(axes: Axes, best: Sequence[tuple[str, float]], label: str) -> None:
    """Draw a bar for each of the best names, the label's in another color."""
    for row, (name, score) in enumerate(best):
        axes.barh(row, max(score, 0.0), height=0.74, color=_RIGHT if name == label else _OTHER)
        axes.text(0.012, row, name.replace("_", " "), va="center", fontsize=9)
        axes.text(1.0, row, f"{score:.2f}", va="center", ha="right", fontsize=9)
    axes.set(xlim=(0, 1.02), ylim=(TOP - 0.5, -0.5))
    axes.set_axis_off()


def main() -> None:
    """Draw the picture with the flags of the command line."""
    parser = argparse.ArgumentParser(description="Draw crops, their clouds and the names that a model gives them.")
    add = parser.add_argument
    add("--results", type=Path, default=DEFAULT_ROOT, help="results folder with triplets and a trained run")
    add("--run", default="curriculum", help="run whose model names the clouds")
    add("--split", default="city/mini_val", metavar="DATASET/SPLIT", help="triplets to choose from")
    add("--classes", default="city", help="names to choose from")
    add("--show", nargs="+", default=CLASSES, metavar="CLASS", help="classes to show the largest crop of")
    add("--data", default="Generated data", help="what the split is of")
    add("--output", type=Path, default=Path(__file__).parent / "images" / "names.png", help="PNG to write")
    args = parser.parse_args()
    try:
        _draw_run(args)
    except UserError as error:
        raise SystemExit(f"make_picture.py: {error}") from None


def _draw_run(args: argparse.Namespace) -> None:
    results = Results(args.results)
    model = blendclip.load(results.run(args.run))
    triplets = largest_crops(results.parts("triplets", *split_of(args.split)), args.show)
    predictions = model.classify([row["points"] for row in triplets], args.classes, top=TOP)
    names, epochs = class_words(args.classes), model.description.recipe["epochs"]["count"]
    about = (
        f"{args.data}: {args.split}, held out. Cosines of cloud and text, the best of {len(names)} names, "
        f"by the run {args.run} after {epochs} epochs. Blue: the label."
    )
    draw(triplets, predictions, about, args.output)


if __name__ == "__main__":
    main()
