import numpy as np
import pytest
import torch

from blendclip.errors import UserError
from blendclip.training.data.batches import Batches, cloud_colors, latest, loader, sources_of
from blendclip.training.data.packed import PackedSplit
from blendclip.training.data.plan import BatchPlan
from tests.training import toy


@pytest.fixture
def splits(results):
    return [PackedSplit.open(results, "tiny", name, "train") for name in ("cad", "road")]


def batches_of(splits, steps=12, batch_size=8, mixture="constant", **options):
    recipe = toy.toy_recipe(mixture__schedule=mixture, **options.pop("changes", {}))
    plan = BatchPlan(sources_of(recipe.data, splits), recipe.mixture, batch_size=batch_size, total_steps=steps, seed=0)
    return plan, Batches(plan, splits, recipe.data, **options)


def rows_in(points, whole):
    """Where each point is in a cloud."""
    return [int(np.flatnonzero((whole == point).all(1))[0]) for point in points]


def assert_same(ours, theirs):
    assert ours.ids == theirs.ids
    for name in ("texts", "images", "seeds", "synthetic"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    assert torch.equal(ours.clouds.points, theirs.clouds.points)
    assert torch.equal(ours.clouds.lengths, theirs.clouds.lengths)


@pytest.mark.parametrize("views", ["random", "own"])
def test_a_batch_is_what_its_draws_say(splits, views):
    plan, batches = batches_of(splits, changes={"data__views": views})
    own, cut = {"images": [], "texts": []}, 0
    for step in range(12):
        draws, batch = plan.batch(step), batches[step]
        clouds = batch.clouds.points.numpy()
        clouds = np.split(clouds, np.cumsum(batch.clouds.lengths.numpy())[:-1])
        assert batch.seeds.tolist() == draws.seed_B.tolist() and len(clouds) == 8
        assert batch.synthetic.tolist() == (draws.source_B == 0).tolist()
        for number, (source, row) in enumerate(zip(draws.source_B, draws.row_B.tolist(), strict=True)):
            split, cloud = splits[source], clouds[number]
            assert batch.ids[number] == split.column("triplet_id")[row]
            where = rows_in(cloud, split.points(row))
            assert where == sorted(set(where)) and len(where) == min(96, split.num_points[row])
            cut += len(where) < split.num_points[row]
            for name, features in (("images", split.images(row)), ("texts", split.texts(row))):
                got = getattr(batch, name)[number].numpy()
                assert got.dtype == np.float32
                own[name].append([bool((got == feature.astype(np.float32)).all()) for feature in features].index(True))
    assert cut > 10, "clouds of more points than max_points are among them"
    for places in own.values():
        assert set(places) == ({0} if views == "own" else {0, 1, 2})
    assert views == "own" or own["images"] != own["texts"], "drawn apart"


def test_another_epoch_takes_other_points_of_a_cloud(splits):
    _, batches = batches_of(splits[:1], mixture="none", changes={"data__real": []})  # 5 steps an epoch of 40 objects
    taken = {}
    for step in range(10):
        batch = batches[step]
        for name, cloud in zip(batch.ids, batch.clouds.points.split(batch.clouds.lengths.tolist()), strict=True):
            taken.setdefault(name, []).append(cloud)
    assert len(taken) == 40 and all(len(clouds) == 2 for clouds in taken.values())
    assert not any(torch.equal(*clouds) for clouds in taken.values())


def test_ranks_and_micro_batches_together_are_the_whole(splits):
    _, whole = batches_of(splits)
    parts = [batches_of(splits, rank=rank, world_size=2, micro_batches=2)[1] for rank in range(2)]
    assert len(parts[0]) == 2 * len(whole) == 24
    for step in (0, 5, 11):
        # micro-batch 0 of ranks 0 and 1, then micro-batch 1 of both
        pieces = [parts[rank][2 * step + micro] for micro in range(2) for rank in range(2)]
        assert sum((piece.ids for piece in pieces), []) == whole[step].ids
        assert parts[1].ids(step) == pieces[1].ids + pieces[3].ids
        assert torch.equal(torch.cat([piece.clouds.points for piece in pieces]), whole[step].clouds.points)
        assert torch.equal(torch.cat([piece.texts for piece in pieces]), whole[step].texts)


def test_processes_that_read_ahead_give_the_same_from_any_start(splits):
    _, batches = batches_of(splits)
    for workers in (0, 2):
        read = list(loader(batches, 3, workers, on_gpu=False))
        assert len(read) == 9
        for number, batch in enumerate(read, 3):
            assert_same(batch, batches[number])


def test_clouds_without_colours_are_grey(splits):
    _, batches = batches_of(splits, colors=True)
    batch = batches[0]
    assert batch.clouds.rgb.shape == batch.clouds.points.shape
    assert torch.equal(batch.clouds.rgb, torch.full_like(batch.clouds.points, 0.4))
    assert cloud_colors(splits[0], 0).shape == (128, 3)


def test_classes_and_small_clouds_are_left_out(splits):
    recipe = toy.toy_recipe(data__excluded_classes=["ball", "thing.rod"], data__min_points=80)
    for source, split in zip(sources_of(recipe.data, splits), splits, strict=True):
        names = split.column("class_name")
        wanted = [row for row in range(len(split)) if names[row] in ("plate", "cube") and split.num_points[row] >= 80]
        assert source.rows.tolist() == wanted and 0 < len(wanted) < len(split)
    kept = sources_of(toy.toy_recipe(data__excluded_classes=["ball"], data__excluded_from="real").data, splits)
    assert [{splits[place].column("class_name")[row] for row in one.rows} for place, one in enumerate(kept)] == [
        set(toy.CLASSES),
        set(toy.CLASSES) - {"ball"},
    ]
    with pytest.raises(UserError, match="road/train has no cloud of data.min_points = 120 points: lower it"):
        sources_of(toy.toy_recipe(data__min_points=120).data, splits)
    with pytest.raises(UserError, match="cad/train has no rows left to train on"):
        sources_of(toy.toy_recipe(data__excluded_classes=list(toy.CLASSES)).data, splits)


def test_a_batch_that_cannot_be_shared_out_is_told_at_once(splits):
    with pytest.raises(UserError, match="batch_size 8 cannot be shared out evenly over 3 ranks"):
        batches_of(splits, world_size=3)


def test_clouds_say_which_are_in_metres_where_an_encoder_asks(splits):
    assert batches_of(splits)[1][0].clouds.in_metres is None
    splits[1].in_metres = True
    plan, batches = batches_of(splits, sizes=True)
    told = [batches[step].clouds.in_metres.tolist() for step in range(12)]
    assert told == [(plan.batch(step).source_B == 1).tolist() for step in range(12)]
    assert any(map(any, told)) and not all(map(all, told))


LAG_S = np.array([0.1, 0.0, 0.2, 0.0, 0.1, 0.3], np.float32)


@pytest.mark.parametrize(
    ("share", "min_points", "kept"),
    [
        (0, 1, [1, 3]),
        (0.3, 1, [1, 3]),
        (0.34, 1, [0, 1, 3, 4]),
        (0.99, 1, [0, 1, 2, 3, 4]),
        (1, 1, [0, 1, 2, 3, 4, 5]),
        (0, 3, [0, 1, 3, 4]),  # two points of the latest sweep are too few
        (0, 9, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_the_latest_sweeps_of_a_cloud(share, min_points, kept):
    assert np.flatnonzero(latest(LAG_S, share, min_points)).tolist() == kept


def test_short_windows_of_recordings_hold_the_latest_points_and_their_colours(splits, monkeypatch):
    def lag_s(split, row):
        return (np.arange(split.num_points[row]) % 5 / 10).astype(np.float32)

    monkeypatch.setattr(PackedSplit, "time_lag_s", lag_s)
    plan, whole = batches_of(splits, colors=True, changes={"data__max_points": 4096})
    _, short = batches_of(splits, colors=True, changes={"data__max_points": 4096, "data__short_windows": 0.7})
    sweeps = []
    for step in range(12):
        draws, all_of_them, some = plan.batch(step), whole[step].clouds, short[step].clouds
        cuts = [np.cumsum(clouds.lengths.numpy())[:-1] for clouds in (all_of_them, some)]
        for number, (source, row) in enumerate(zip(draws.source_B, draws.row_B.tolist(), strict=True)):
            (full, full_rgb), (cloud, rgb) = (
                [np.split(values.numpy(), cut)[number] for values in (clouds.points, clouds.rgb)]
                for clouds, cut in zip((all_of_them, some), cuts, strict=True)
            )
            where = rows_in(cloud, full)
            assert (full_rgb[where] == rgb).all()
            told = lag_s(splits[source], row)
            kept = np.unique(told[where])
            assert (np.flatnonzero(told <= kept.max()) == where).all(), "all points that are as late"
            if source == 0:
                assert len(where) == len(full), "CAD objects were not gathered over time"
            else:
                sweeps.append(len(kept))
    counts = np.bincount(sweeps, minlength=6)[1:]
    assert counts.sum() > 30 and (counts > 0).all()
    assert counts[4] / counts.sum() == pytest.approx(0.3, abs=0.2)
