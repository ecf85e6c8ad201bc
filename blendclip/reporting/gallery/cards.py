"""The content of a gallery's cards, for its template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from blendclip.reporting.gallery.assets import Assets
from blendclip.reporting.gallery.clouds import points_of, read_rows
from blendclip.reporting.gallery.predictions import ChosenPredictions, ShownPrediction
from blendclip.reporting.gallery.titles import Titles
from blendclip.reporting.gallery.triplets import CaptionedView, ShownTriplet, TripletIndex


def template() -> jinja2.Template:
    """The template of a gallery, which escapes text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("gallery.html")


def triplet_cards(triplets: Sequence[ShownTriplet], titles: Titles, assets: Assets) -> list[dict[str, Any]]:
    """A card for each triplet; writes their clouds and crops."""
    script = assets.clouds([one.triplet_id for one in triplets], [one.points for one in triplets])
    return [
        _about(one.triplet_id, titles.of(one.class_name), one.num_points, one.distance_m, assets)
        | _view(one.view, assets)
        | {"script": script, "cloud": number}
        for number, one in enumerate(triplets)
    ]


def prediction_panels(
    benchmark: Path, predictions: Sequence[ChosenPredictions], index: TripletIndex, assets: Assets
) -> list[dict[str, Any]]:
    """For each run a panel of its right and wrong predictions on one benchmark; writes their clouds and crops.

    A cloud that several runs show is written once.

    Args:
        benchmark: Parquet file of the clouds.
        predictions: of each run.
        index: of the triplets, to find crops and captions of the clouds.
        assets: writes files.

    Raises:
        UserError: the benchmark is missing or unreadable.
    """
    rows = {cloud_id: row for chosen in predictions for cloud_id, row in chosen.clouds().items()}
    views = index.views(list(rows))
    script = assets.clouds(list(rows), points_of(read_rows(benchmark, list(rows.values()), ["points"])))
    scripts = {cloud_id: {"script": script, "cloud": number} for number, cloud_id in enumerate(rows)}

    def cards(shown: Sequence[ShownPrediction]) -> list[dict[str, Any]]:
        return [_prediction_card(one, views.get(one.cloud_id), assets) | scripts[one.cloud_id] for one in shown]

    return [
        {
            "run": chosen.run,
            "benchmark": chosen.benchmark,
            "num_clouds": chosen.num_right + chosen.num_wrong,
            "kinds": [
                {"name": "right", "count": chosen.num_right, "cards": cards(chosen.right)},
                {"name": "wrong", "count": chosen.num_wrong, "cards": cards(chosen.wrong)},
            ],
        }
        for chosen in predictions
    ]


def _prediction_card(prediction: ShownPrediction, view: CaptionedView | None, assets: Assets) -> dict[str, Any]:
    best = max(prediction.named[0][1], 1e-6)
    named = [
        {
            "name": name,
            "cosine": cosine,
            "percent": round(100 * min(max(cosine / best, 0.0), 1.0), 1),
            "is_right": name == prediction.class_name,
        }
        for name, cosine in prediction.named
    ]
    return (
        _about(prediction.cloud_id, prediction.class_name, prediction.num_points, prediction.distance_m, assets)
        | _view(view, assets)
        | {"named": named, "place": prediction.rank + 1, "is_confident": prediction.is_confident}
    )


def _about(cloud_id: str, class_name: str, num_points: int, distance_m: float | None, assets: Assets) -> dict[str, Any]:
    return {
        "cloud_id": cloud_id,
        "class_name": class_name,
        "num_points": num_points,
        "num_drawn": min(num_points, assets.max_points),
        "distance_m": distance_m,
    }


def _view(view: CaptionedView | None, assets: Assets) -> dict[str, Any]:
    return {"crop": assets.crop(view.image), "caption": view.caption} if view else {"crop": None, "caption": None}
