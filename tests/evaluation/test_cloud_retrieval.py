"""Clouds found by caption and image, by hand."""

import numpy as np
import pytest

from blendclip.evaluation.cloud_retrieval import HeldOutTriplets, cloud_retrieval

AXES = np.eye(4)


def test_captions_and_images_by_hand():
    triplets = HeldOutTriplets(
        cloud_ids=["x", "y", "z", "elsewhere"],
        instances=np.array([0, 0, 2, 3]),
        captions=["a car", "a car", "a bus", "a dog"],
        images_TD=np.stack([AXES[1], AXES[0], AXES[1], AXES[3]]),
        texts_TD=np.stack([AXES[0], AXES[0], AXES[1], AXES[3]]),
    )
    clouds = np.stack([AXES[0], AXES[3], AXES[2], AXES[1]])  # of w, z, y, x
    found = cloud_retrieval(triplets, ["w", "z", "y", "x"], clouds)
    assert (found["clouds"], found["texts"]) == (3, 2)
    # "a car" points along axis 0, where no cloud with a triplet is; "a bus" along axis 1: x, not z.
    assert found["text_to_cloud"]["1"]["value"] == 0.0 and found["text_to_cloud"]["5"]["value"] == 1.0
    # The image of x finds x, that of y nothing, that of z finds x, which is of another instance.
    assert found["image_to_cloud"]["1"]["value"] == pytest.approx(1 / 3)


def test_without_a_triplet_nothing_is_searched_for_and_told(caplog):
    triplets = HeldOutTriplets(["x"], np.array([0]), ["a car"], AXES[:1], AXES[:1])
    assert cloud_retrieval(triplets, ["y"], AXES[:1]) is None
    assert "no cloud of the benchmark has a triplet" in caplog.text
