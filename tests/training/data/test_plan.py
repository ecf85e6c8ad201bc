from collections import Counter
from typing import get_args

import numpy as np
import pytest

from blendclip.errors import UserError
from blendclip.options import hints
from blendclip.training.data.mixture import Mixture
from blendclip.training.data.plan import BatchPlan, Draws, SampleSource, kept_rows, samples_per_epoch

SCHEDULES = get_args(hints(Mixture)["schedule"])


def source(name, domain, size, weight=None, first=0):
    return SampleSource(name, domain, np.arange(first, first + size), weight)


SOURCES = [source("cad", "synthetic", 1000), source("city", "real", 70), source("truck", "real", 30)]


def plan(mixture=None, sources=SOURCES, batch_size=64, total_steps=100, seed=7):
    mixture = mixture or Mixture("constant", 0.25, warmup=0)
    return BatchPlan(sources, mixture, batch_size=batch_size, total_steps=total_steps, seed=seed)


def as_tuples(draws):
    return list(zip(draws.source_B.tolist(), draws.row_B.tolist(), draws.seed_B.tolist(), strict=True))


@pytest.mark.parametrize(
    ("schedule", "ratio"),
    [("constant", 0.015), *((schedule, 0.3) for schedule in SCHEDULES)],
)
def test_ten_thousand_batches_follow_each_schedule(schedule, ratio):
    mixture = Mixture(schedule, ratio, warmup=0.1)
    batches = plan(mixture, batch_size=64, total_steps=10_000)
    real = np.array([np.isin(batches.batch(step).source_B, [1, 2]).sum() for step in range(10_000)])
    share = mixture.real_share(np.arange(10_000) / 9_999)
    assert (np.abs(real - share * 64) < 1 + 1e-6).all()
    assert (np.abs(np.cumsum(real) - np.cumsum(share * 64)) < 0.5 + 1e-3).all()


def test_one_and_a_half_percent_of_64_is_0_96_a_batch():
    batches = plan(Mixture("constant", 0.015, warmup=0), total_steps=100)
    real = [np.isin(batches.batch(step).source_B, [1, 2]).sum() for step in range(100)]
    assert Counter(real) == {0: 4, 1: 96}


def test_an_epoch_of_a_source_holds_each_row_once():
    batches = plan(sources=[source("cad", "synthetic", 50, first=5), source("city", "real", 7)], batch_size=20)
    drawn = [draw for step in range(100) for draw in as_tuples(batches.batch(step))]
    for number, (first, size, draws) in enumerate([(5, 50, 1500), (0, 7, 500)]):
        rows = [row for source, row, _ in drawn if source == number]
        assert len(rows) == draws
        assert set(rows) == set(range(first, first + size))
        assert set(Counter(rows).values()) <= {draws // size, -(-draws // size)}


def test_epochs_differ_in_order_and_in_seeds():
    batches = plan(Mixture("none"), [source("cad", "synthetic", 8)], batch_size=8, total_steps=3)
    epochs = [as_tuples(batches.batch(step)) for step in range(3)]
    assert len({tuple(row for _, row, _ in epoch) for epoch in epochs}) == 3
    assert len({seed for epoch in epochs for _, _, seed in epoch}) == 24


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("resumed_at", [1, 49, 99])
def test_a_resumed_run_draws_what_the_whole_run_draws(world_size, resumed_at):
    whole, resumed = plan(), plan()
    for step in range(100):
        expected = [as_tuples(whole.batch(step).part(rank, world_size)) for rank in range(world_size)]
        if step >= resumed_at:
            assert [as_tuples(resumed.batch(step).part(rank, world_size)) for rank in range(world_size)] == expected


def test_two_ranks_end_to_end_are_one():
    batch = plan().batch(3)
    ranks = [as_tuples(batch.part(rank, 2)) for rank in (0, 1)]
    assert ranks[0] + ranks[1] == as_tuples(batch.part()) == as_tuples(batch)


def test_micro_batches_of_two_ranks_are_those_of_one():
    batch = plan().batch(3)
    for micro in range(4):
        ranks = [as_tuples(batch.part(rank, 2, micro, 4)) for rank in (0, 1)]
        assert ranks[0] + ranks[1] == as_tuples(batch.part(micro_batch=micro, micro_batches=4))
    parts = [draw for micro in range(4) for draw in as_tuples(batch.part(0, 1, micro, 4))]
    assert parts == as_tuples(batch)


def test_domains_are_mixed_within_a_batch():
    places = np.concatenate([np.flatnonzero(plan().batch(step).source_B) for step in range(100)])
    assert np.histogram(places, 4, (0, 64))[0] == pytest.approx(np.full(4, 400), abs=80)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [((None, None, None), (0.5, 0.3, 0.2)), ((3, 1, 1), (0.6, 0.2, 0.2)), ((0.1, 0.1, 0.7), (1 / 9, 1 / 9, 7 / 9))],
)
def test_real_datasets_are_drawn_by_weight(weights, expected):
    real = [
        source(str(n), "real", size, weight) for n, (size, weight) in enumerate(zip((50, 30, 20), weights, strict=True))
    ]
    batches = plan(Mixture("constant", 0.05, warmup=0), [source("cad", "synthetic", 9), *real], total_steps=1000)
    for step in range(0, 1001, 50):
        assert batches.drawn(step)[1:] == pytest.approx(np.array(expected) * step * 3.2, abs=2)
    drawn = Counter(number for step in range(1000) for number in batches.batch(step).source_B.tolist())
    assert [drawn[number] for number in range(4)] == batches.drawn(1000).tolist()
    assert sum(drawn.values()) == 64_000


def test_sample_seeds_do_not_depend_on_the_batch():
    def seeds(batches, steps):
        draws = [draw for step in range(steps) for draw in as_tuples(batches.batch(step))]
        return {(row, seed) for number, row, seed in draws if number == 0}

    # The first epoch of the source, in batches of another size and beside another source.
    alone = plan(Mixture("none"), SOURCES[:1], batch_size=100, total_steps=10)
    mixed = plan(Mixture("constant", 0.5, warmup=0), [SOURCES[0], SOURCES[2]], batch_size=50, total_steps=40)
    assert seeds(alone, 10) == seeds(mixed, 40) and len(seeds(alone, 10)) == 1000


def test_draws_are_the_same_on_every_machine():
    draws = plan(sources=[source("cad", "synthetic", 5), source("city", "real", 3)], batch_size=4, seed=1).batch(17)
    assert as_tuples(draws) == [
        (0, 1, 2095614775476370854),
        (0, 0, -4204446005922148448),
        (0, 4, -9158178981620473367),
        (1, 1, -6463294896127939596),
    ]


def test_seed_changes_the_draws():
    assert as_tuples(plan(seed=1).batch(0)) != as_tuples(plan(seed=2).batch(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": SOURCES[:1]}, "asks for real samples but no real dataset"),
        ({"sources": SOURCES[1:]}, "asks for synthetic samples but no synthetic dataset"),
        ({"sources": [*SOURCES, source("x", "real", 5, weight=2)]}, "some real datasets have a weight"),
        ({"sources": [SOURCES[0], source("x", "real", 5, weight=0)]}, "x has the weight 0"),
        ({"sources": [SOURCES[0], source("x", "real", 0)]}, "x has no rows"),
        ({"sources": [*SOURCES, SOURCES[1]]}, "city is given twice"),
        ({"batch_size": 0}, "batch_size 0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        plan(**change)


def test_only_real_data_needs_no_synthetic():
    batches = plan(Mixture("constant", 1, warmup=0), SOURCES[1:])
    assert set(batches.batch(0).source_B) == {0, 1}


def test_an_uneven_share_is_refused():
    draws = Draws(*(np.arange(10),) * 3)
    assert len(draws.part(1, 5)) == 2
    with pytest.raises(UserError, match="batch_size 10 cannot be shared out evenly over 2 ranks and 2 micro-batches"):
        draws.part(0, 2, 0, 2)


SPLITS = {
    "city/train": (["car", None, "bus", "car"], ["vehicle.car", "animal", "vehicle.bus.rigid", "vehicle.car"]),
    "shapes/train": (["chair", "animal"], ["chair", "animal"]),
}


def test_excluded_classes_are_found_by_class_name_and_category():
    kept = kept_rows(SPLITS, ["car", "animal"])
    assert {name: rows.tolist() for name, rows in kept.items()} == {"city/train": [2], "shapes/train": [0]}
    assert kept_rows(SPLITS, ["vehicle.bus.rigid"])["city/train"].tolist() == [0, 1, 3]
    assert {name: len(rows) for name, rows in kept_rows(SPLITS, []).items()} == {"city/train": 4, "shapes/train": 2}


def test_an_emptied_source_and_a_typo_are_named():
    with pytest.raises(UserError, match="shapes/train has no rows left.*excluded_classes"):
        kept_rows(SPLITS, ["chair", "animal"])
    with pytest.raises(UserError, match="excluded_classes names 'caar'.*city/train, shapes/train"):
        kept_rows(SPLITS, ["car", "caar"])
    with pytest.raises(UserError, match="'car'.*data has none of the domain that data.excluded_from names"):
        kept_rows({}, ["car"])


def test_epochs_that_see_four_fifths():
    assert samples_per_epoch(100, 0.8, "distinct") == 80
    assert samples_per_epoch(100, 0.8) == 161  # 100 ln 5 = 160.94
    seen = len(set(np.random.default_rng(0).integers(0, 10_000, samples_per_epoch(10_000)).tolist()))
    assert seen == pytest.approx(8000, abs=150)
    for coverage, rule in [(1, "coupon_collector"), (0, "distinct"), (0.8, "coupons")]:
        with pytest.raises(UserError, match="epochs.coverage"):
            samples_per_epoch(100, coverage, rule)
