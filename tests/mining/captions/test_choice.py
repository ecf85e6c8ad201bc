import numpy as np
import pytest

from blendclip.errors import UserError
from blendclip.mining.captions.choice import choose_views, sample_views
from blendclip.mining.captions.stage import caption_views
from blendclip.mining.captions.template import TemplateCaptioner
from tests.mining.captions.conftest import part, rows_of, view, write_views
from tests.mining.pipeline import PROMPT


def test_views_of_an_instance_are_chosen_along_its_track_whatever_their_order(tmp_path):
    rows = [view(n, instance="a", timestamp_us=n) for n in range(10)] + [view(50 + n, instance="b") for n in range(2)]
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(12)]
    path = write_views(tmp_path / "views.parquet", shuffled, row_group=5)
    chosen = choose_views(path, 2)
    found = [row for table in chosen.tables(["instance_token", "timestamp_us"], 4) for row in table.to_pylist()]
    assert sorted(row["timestamp_us"] for row in found if row["instance_token"] == "a") == [2, 7]
    assert len(found) == len(chosen) == 4
    assert len(choose_views(path, None)) == 12


def test_tables_hold_the_chosen_rows_in_order(tmp_path):
    rows = [view(n) for n in range(23)]
    path = write_views(tmp_path / "views.parquet", rows, row_group=7)
    views = choose_views(path, None)
    only = np.array([n in (0, 6, 7, 15, 22) for n in range(23)])
    found = [row["view_id"] for table in views.tables(["view_id"], 3, only=only) for row in table.to_pylist()]
    assert found == [rows[n]["view_id"] for n in (0, 6, 7, 15, 22)]


def test_views_beyond_the_budget_are_filtered_rejects(tmp_path):
    files = part(tmp_path, 0, [view(n, instance="parked") for n in range(40)] + [view(50, instance="other")])
    assert caption_views([files], TemplateCaptioner(PROMPT), max_views_per_instance=8) == 9
    rejects = rows_of(files.rejects)
    assert {row["kind"] for row in rejects} == {"filtered"}
    assert {row["reason"] for row in rejects} == {"its instance has 40 views; max_views_per_instance is 8"}
    captioned = {row["view_id"] for row in rows_of(files.captions)}
    everyone = {row["view_id"]: row["image"]["path"] for row in rows_of(files.views)}
    assert {row["path"] for row in rejects} == {path for key, path in everyone.items() if key not in captioned}
    assert len(rejects) == 32


def test_a_sample_is_spread_over_all_files(tmp_path):
    paths = [write_views(tmp_path / f"{n}.parquet", [view(10 * n + m) for m in range(10)]) for n in range(3)]
    assert [len(views) for views in sample_views(paths, 6)] == [2, 2, 2]
    assert [len(views) for views in sample_views(paths, 100)] == [10, 10, 10]
    with pytest.raises(UserError, match="missing"):
        sample_views([tmp_path / "nothing"], 3)
