import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from blendclip.encoders.clouds import Clouds, normalized
from blendclip.errors import UserError
from blendclip.training.augmentation import augmented, moved, remaining, rotations, thinned, told_size
from blendclip.training.augmentation_options import Augmentation, Occlusion
from tests.training.clouds import one_by_one, scattered, seeds, sphere

OFF = Augmentation(
    Occlusion("none"),
    dropout=0,
    rotation=False,
    tilt_sigma_rad=0,
    tilt_limit_rad=0,
    scale=(1, 1),
    shift=0,
    size_noise=0,
    size_unknown=0,
)


def only(**fields):
    return dataclasses.replace(OFF, **fields)


def every(count, value):
    return torch.full((count,), value)


def seen(clouds, seed, synthetic, config):
    """Clouds as the encoder takes them, after both halves of augmentation."""
    return augmented(remaining(clouds, seed, synthetic, config), seed, config)


def test_all_off_is_normalisation():
    clouds = scattered([5, 300], rgb=True)
    result = seen(clouds, seeds(2), every(2, True), OFF)
    assert torch.allclose(result.points, normalized(clouds).points)
    assert result.lengths.equal(clouds.lengths) and result.rgb is clouds.rgb


def test_turning_about_z_keeps_heights_and_radii_and_takes_any_angle():
    clouds = scattered([1] * 400)
    turned = moved(clouds.points, clouds.owners(), seeds(400), only(rotation=True))
    assert torch.allclose(turned[:, 2], clouds.points[:, 2])
    assert torch.allclose(turned[:, :2].norm(dim=1), clouds.points[:, :2].norm(dim=1), rtol=1e-5)
    angle = torch.atan2(turned[:, 1], turned[:, 0]) - torch.atan2(clouds.points[:, 1], clouds.points[:, 0])
    quarters, _ = np.histogram(np.mod(angle.numpy(), 2 * np.pi), 4, (0, 2 * np.pi))
    assert quarters == pytest.approx(np.full(4, 100), abs=35)


def test_tilt_is_roll_and_pitch_within_their_limit():
    drawn = rotations(seeds(5000), only(tilt_sigma_rad=0.06, tilt_limit_rad=0.1)).double().numpy()
    roll, pitch, yaw = Rotation.from_matrix(drawn).as_euler("xyz").T
    assert yaw == pytest.approx(np.zeros(5000), abs=1e-6)
    for angle in (roll, pitch):
        assert np.abs(angle).max() == pytest.approx(0.1, abs=1e-6)
        inside = np.abs(angle) < 0.0999
        assert 1 - inside.mean() == pytest.approx(0.0956, abs=0.015)  # beyond 0.1 / 0.06 standard deviations
        assert np.quantile(angle, [0.1587, 0.5, 0.8413]) == pytest.approx([-0.06, 0, 0.06], abs=0.004)
    assert abs(np.corrcoef(roll, pitch)[0, 1]) < 0.05


def test_tilt_comes_before_the_turn():
    both = rotations(seeds(50), only(rotation=True, tilt_sigma_rad=0.06, tilt_limit_rad=0.18))
    tilt = rotations(seeds(50), only(tilt_sigma_rad=0.06, tilt_limit_rad=0.18))
    turn = rotations(seeds(50), only(rotation=True))
    assert torch.allclose(both, turn @ tilt, atol=1e-6)


def test_moving_a_point_by_hand():
    points = torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 3]])
    owner, seed = torch.tensor([0, 0, 1]), seeds(2)
    config = Augmentation(tilt_limit_rad=0.18)
    result = moved(points, owner, seed, config)
    scale = moved(torch.eye(3)[:2], torch.tensor([0, 1]), seed, only(scale=(0.8, 1.25))).norm(dim=1)
    shift = moved(torch.zeros(2, 3), torch.tensor([0, 1]), seed, only(shift=0.1))
    turn = rotations(seed, config)
    for row in range(3):
        own = owner[row]
        assert torch.allclose(result[row], scale[own] * (turn[own] @ points[row]) + shift[own], atol=1e-6)


def test_scale_and_shift_fill_their_ranges():
    ones = torch.tensor([[1.0, 0, 0]]).repeat(2000, 1)
    scale = moved(ones, torch.arange(2000), seeds(2000), only(scale=(0.8, 1.25)))[:, 0]
    assert torch.quantile(scale, torch.tensor([0.0, 0.5, 1.0])) == pytest.approx([0.8, 1.025, 1.25], abs=0.02)
    shift = moved(ones * 0, torch.arange(2000), seeds(2000), only(shift=0.1))
    assert shift.min(0).values == pytest.approx([-0.1] * 3, abs=0.002)
    assert shift.max(0).values == pytest.approx([0.1] * 3, abs=0.002)
    assert torch.corrcoef(shift.T).fill_diagonal_(0).abs().max() < 0.08


def test_dropout_drops_up_to_its_share_and_keeps_points_as_they_are():
    clouds = scattered([1000] * 300, rgb=True)
    result = thinned(clouds, seeds(300), only(dropout=0.875))
    share = 1 - result.lengths.numpy() / 1000
    assert share.max() < 0.875 + 0.05 and share.max() > 0.8 and share.min() < 0.03
    assert share.mean() == pytest.approx(0.4375, abs=0.05)
    rows = torch.cat([clouds.points, clouds.rgb], 1).split(clouds.lengths.tolist())
    left = torch.cat([result.points, result.rgb], 1).split(result.lengths.tolist())
    for before, after in zip(rows, left, strict=True):
        places = [before.tolist().index(row) for row in after.tolist()[:3]]
        assert places == sorted(places)


def test_dropout_spares_small_clouds():
    lengths = [1, 16] * 200 + [20] * 200
    result = thinned(scattered(lengths), seeds(600), only(dropout=0.875, min_points=16)).lengths
    assert result[:400].tolist() == lengths[:400]
    assert result[400:].float().mean() > 16 and result[400:].min() < 20
    assert thinned(scattered([2] * 500), seeds(500), only(dropout=0.99, min_points=0)).lengths.min() == 1


@pytest.mark.parametrize("method", ["range_image", "hidden_points"])
def test_a_cloud_alone_is_what_it_is_in_a_batch(method):
    config = Augmentation(Occlusion(method, probability=1))
    clouds = Clouds.of(
        [sphere(700), *scattered([1, 33, 250, 2000, 3]).points.split([1, 33, 250, 2000, 3]), sphere(801)]
    )
    clouds = dataclasses.replace(clouds, rgb=clouds.points.abs())
    seed, synthetic = seeds(7), torch.tensor([True, True, False, True, True, False, True])
    batch = one_by_one(seen(clouds, seed, synthetic, config))
    for number, cloud in enumerate(one_by_one(clouds)):
        alone = seen(cloud, seed[number, None], synthetic[number, None], config)
        assert alone.points.equal(batch[number].points) and alone.rgb.equal(batch[number].rgb)
    assert batch[0].lengths < 700


def test_another_seed_is_another_cloud():
    clouds = Clouds.of([sphere(500)] * 2)
    first, second = one_by_one(seen(clouds, seeds(2), every(2, True), Augmentation()))
    assert len(first.points) != len(second.points) or not torch.allclose(first.points, second.points)


@pytest.mark.parametrize(
    ("key", "value"),
    [("dropout", 1), ("dropout", -0.1), ("scale", (1.2, 0.8)), ("scale", (0, 1)), ("shift", -1), ("min_points", -1)],
)
def test_a_wrong_value_is_named(key, value):
    with pytest.raises(UserError, match=rf"^`{key}` is "):
        Augmentation(**{key: value})


def test_the_size_that_is_told_follows_the_cloud():
    clouds = dataclasses.replace(scattered([40] * 50), in_metres=every(50, True))
    made = augmented(clouds, seeds(50), only(scale=(0.5, 2.0)))
    factor = made.points.view(50, 40, 3).norm(dim=2).amax(1)  # a normalized cloud has radius 1
    assert factor.min() < 0.7 and factor.max() > 1.7
    assert torch.allclose(made.size.exp(), normalized(clouds).size.exp() * factor[:, None], rtol=1e-4)


def test_what_is_told_of_the_size_is_noisy_by_as_much_as_was_asked_for():
    told = told_size(torch.full((5000, 3), 2.0), seeds(5000), only(size_noise=0.1)).numpy()
    assert np.quantile(told, [0.1587, 0.5, 0.8413], axis=0) == pytest.approx(
        np.repeat([[1.9], [2.0], [2.1]], 3, axis=1), abs=0.006
    )
    assert np.abs(np.corrcoef(told.T) - np.eye(3)).max() < 0.05


def test_of_as_many_as_was_asked_for_no_size_is_told_and_what_is_unknown_stays_so():
    sizes = torch.full((5000, 3), 2.0)
    sizes[:1000] = torch.nan
    unknown = told_size(sizes, seeds(5000), only(size_unknown=0.3)).isnan()
    assert unknown[:1000].all() and unknown.all(1).equal(unknown.any(1))
    assert unknown[1000:, 0].float().mean() == pytest.approx(0.3, abs=0.025)
