"""What the cards of a gallery say, ready for its template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from blendclip.reporting.gallery.answers import Answer, ChosenAnswers
from blendclip.reporting.gallery.assets import Assets
from blendclip.reporting.gallery.clouds import points_of, read_rows
from blendclip.reporting.gallery.triplets import Sight, Triplet, TripletIndex


def template() -> jinja2.Template:
    """The template of a gallery; text is escaped."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    options = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    return jinja2.Environment(loader=loader, autoescape=True, **options).get_template("gallery.html")


def triplet_cards(triplets: Sequence[Triplet], assets: Assets) -> list[dict[str, Any]]:
    """A card of each triplet; their clouds and crops are written."""
    script = assets.clouds([one.triplet_id for one in triplets], [one.points for one in triplets])
    return [
        _about(one.triplet_id, one.class_name, one.num_points, one.distance_m, assets)
        | _seen(one.sight, assets)
        | {"script": script, "cloud": number}
        for number, one in enumerate(triplets)
    ]


def answer_panels(
    benchmark: Path, answers: Sequence[ChosenAnswers], index: TripletIndex, assets: Assets
) -> list[dict[str, Any]]:
    """For each run its cards on one benchmark, right and wrong; a cloud that several runs show is written once.

    Args:
        benchmark: file of the clouds.
        answers: those of each run on it.
        index: to find crops and captions of the clouds.
        assets: writes files.

    Raises:
        UserError: the benchmark is missing or unreadable.
    """
    rows = {cloud_id: row for chosen in answers for cloud_id, row in chosen.clouds().items()}
    sights = index.sights(list(rows))
    script = assets.clouds(list(rows), points_of(read_rows(benchmark, list(rows.values()), ["points"])))
    places = {cloud_id: {"script": script, "cloud": number} for number, cloud_id in enumerate(rows)}

    def cards(shown: Sequence[Answer]) -> list[dict[str, Any]]:
        return [_answer_card(one, sights.get(one.cloud_id), assets) | places[one.cloud_id] for one in shown]

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
        for chosen in answers
    ]


def _answer_card(answer: Answer, sight: Sight | None, assets: Assets) -> dict[str, Any]:
    best = max(answer.named[0][1], 1e-6)
    named = [
        {
            "name": name,
            "cosine": cosine,
            "percent": round(100 * min(max(cosine / best, 0.0), 1.0), 1),
            "is_right": name == answer.class_name,
        }
        for name, cosine in answer.named
    ]
    return (
        _about(answer.cloud_id, answer.class_name, answer.num_points, answer.distance_m, assets)
        | _seen(sight, assets)
        | {"named": named, "place": answer.rank + 1, "is_confident": answer.is_confident}
    )


def _about(cloud_id: str, class_name: str, num_points: int, distance_m: float | None, assets: Assets) -> dict[str, Any]:
    return {
        "cloud_id": cloud_id,
        "class_name": class_name,
        "num_points": num_points,
        "num_drawn": min(num_points, assets.max_points),
        "distance_m": distance_m,
    }


def _seen(sight: Sight | None, assets: Assets) -> dict[str, Any]:
    return {"crop": assets.crop(sight.image), "caption": sight.caption} if sight else {"crop": None, "caption": None}
