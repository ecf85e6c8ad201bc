"""Accuracies by condition and by track, on features whose classes an eye can tell."""

from dataclasses import replace

import numpy as np
import pytest

from blendclip.evaluation.measures import BenchmarkPredictions, best_classes, metrics_of

AXES = np.eye(3, dtype=np.float32)


def predictions(predicted, labels, **columns):
    """Clouds whose features are the axes of the classes that they are taken for."""
    count = len(labels)
    unknown = {name: [np.nan] * count for name in ("timestamps_us", "distances_m", "visibilities")}
    columns = unknown | {"instances": [f"i{n}" for n in range(count)], "num_points": [10] * count} | columns
    arrays = {name: value if name == "instances" else np.array(value) for name, value in columns.items()}
    features = AXES[predicted] if np.ndim(predicted) == 1 else np.array(predicted, np.float32)
    return BenchmarkPredictions(["a", "b", "c"], AXES, features, np.array(labels), **arrays)


def test_by_hand():
    found = metrics_of(
        predictions([0, 0, 1, 2], [0, 1, 1, 1], num_points=[1, 4, 5, 9000], distances_m=[0, 9.9, 10, 70])
    )
    assert (found["clouds"], found["instances"], found["most_frequent"]) == (4, 4, 0.75)
    assert found["top1"]["value"] == 0.5 and found["top3"]["value"] == 1.0
    assert found["mean_class"]["value"] == pytest.approx((1 + 1 / 3) / 2)
    assert [(row["class_name"], row["clouds"], row["top1"]["value"]) for row in found["per_class"]] == [
        ("a", 1, 1.0),
        ("b", 3, pytest.approx(1 / 3)),
    ]
    assert found["confusion"] == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert [(r["from"], r["to"], r["clouds"], r["top1"]["value"]) for r in found["by_points"]] == [
        (1, 5, 2, 0.5),
        (5, 20, 1, 1.0),
        (2000, None, 1, 0.0),
    ]
    assert [(r["from"], r["to"], r["clouds"]) for r in found["by_distance"]] == [(0, 10, 2), (10, 20, 1), (50, None, 1)]
    assert found["by_visibility"] == [] and found["tracks"] is None and found["held_out"] is None


def test_frequent_and_rare_classes_by_hand():
    """Of a one of two right; of b both; of c, which is rare, one of three, and the wrong ones are taken for a."""
    given = predictions([0, 1, 1, 1, 2, 0, 0], [0, 0, 1, 1, 2, 2, 2], instances=["p", "p", "q", "r", "s", "t", "t"])
    frequent, rare = metrics_of(replace(given, rare=["c"]))["by_frequency"]
    assert (frequent["name"], frequent["classes"], frequent["clouds"], frequent["instances"]) == (
        "frequent",
        ["a", "b"],
        4,
        3,
    )
    assert frequent["top1"]["value"] == 3 / 4 and frequent["mean_class"]["value"] == pytest.approx((1 / 2 + 1) / 2)
    assert (rare["name"], rare["classes"], rare["clouds"], rare["instances"]) == ("rare", ["c"], 3, 2)
    assert rare["top1"]["value"] == rare["mean_class"]["value"] == pytest.approx(1 / 3)
    assert rare["mean_class"]["low"] < 1 / 3 < rare["mean_class"]["high"]
    assert metrics_of(given)["by_frequency"] is None


def test_titles_are_the_names_where_no_words_are_known():
    given = predictions([0], [0])
    assert metrics_of(given)["titles"] == ["a", "b", "c"]
    assert metrics_of(replace(given, titles=["an a", "a b", "a c"]))["titles"] == ["an a", "a b", "a c"]


def test_visibility_is_told_by_level():
    found = metrics_of(predictions([0, 0, 1], [0, 0, 0], visibilities=[4, 1, 4]))
    assert [(r["from"], r["to"], r["clouds"], r["top1"]["value"]) for r in found["by_visibility"]] == [
        (1, 1, 1, 1.0),
        (4, 4, 2, 0.5),
    ]


def test_equal_scores_are_told_against_the_right_class_everywhere():
    found = metrics_of(predictions([[1, 1, 0]], [0]))
    assert found["top1"]["value"] == 0 and found["confusion"][0] == [0, 1, 0]
    assert best_classes(np.array([[1.0, 1.0, 0.0]]), np.array([0])).tolist() == [[1, 0, 2]]


def test_averaging_a_track_mends_a_cloud_that_is_wrong():
    """Instance t: clouds at 1, 2, 3; the middle one alone is wrong. Instance s has one cloud, which is right."""
    features = [[0, 1, 0], [1, 0, 0], [1, 0.2, 0], [0, 0, 1]]
    tracks = metrics_of(
        predictions(features, [0, 0, 0, 2], instances=["t", "t", "t", "s"], timestamps_us=[2, 1, 3, 5])
    )["tracks"]
    assert tracks["tracks"] == 2 and tracks["top1"]["value"] == 1.0
    assert [(r["clouds"], r["tracks"], r["top1"]["value"]) for r in tracks["by_clouds"]] == [
        (1, 2, 0.5),  # the middle one
        (2, 1, 1.0),  # the first and the last
        (3, 1, 1.0),
    ]


def test_classes_that_a_run_never_saw_are_told_apart():
    held_out = metrics_of(predictions([0, 1, 0, 2], [0, 1, 1, 2]), excluded=["b", "zebra"])["held_out"]
    assert held_out["classes"] == ["b"] and (held_out["clouds"], held_out["others_clouds"]) == (2, 2)
    assert held_out["top1"]["value"] == 0.5 and held_out["others"]["value"] == 1.0
    assert held_out["excluded_from"] == "both"
    assert metrics_of(predictions([0], [0]), excluded=["zebra"])["held_out"] is None
