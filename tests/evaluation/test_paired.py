"""Differences of two runs, by hand, against the binomial's paired interval, and where runs cannot be compared."""

import numpy as np
import pyarrow as pa
import pytest

from blendclip import schemas, storage
from blendclip.cli.main import main
from blendclip.errors import UserError
from blendclip.evaluation.paired import compare_groups, compare_runs, comparison_text


def write(results, run, ranks, classes, instances=None, benchmark="made", ids=None):
    """Predictions of a run, as far as a comparison reads them; of each cloud the rank of the right class."""
    count = len(ranks)
    known = {
        "cloud_id": ids or [f"c{number:05d}" for number in range(count)],
        "instance_token": instances or [f"i{number}" for number in range(count)],
        "class_name": list(classes),
        "rank": ranks,
    }
    schema = schemas.PREDICTIONS
    table = pa.table({f.name: pa.array(known.get(f.name, [None] * count), f.type) for f in schema})
    about = storage.metadata("evaluation", {"run": run, "benchmark": benchmark, "classes": ["bus", "car"]})
    folder = results / "evaluation" / "runs" / run / benchmark
    storage.write_parquet(folder / "predictions.parquet", schema, [table], about)


CLASSES = ["car"] * 8 + ["bus"] * 2
RANKS_A = [0, 0, 0, 0, 1, 2, 1, 3, 0, 1]  # 4 of 8 cars and 1 of 2 buses: 5 of 10, and 50 % on average
RANKS_B = [0, 0, 0, 0, 0, 0, 1, 3, 0, 0]  # 6 of 8 cars and 2 of 2 buses: 8 of 10, and 87.5 % on average


def test_a_difference_counted_by_hand(tmp_path):
    write(tmp_path, "a", RANKS_A, CLASSES)
    write(tmp_path, "b", RANKS_B, CLASSES)
    top1, mean_class = compare_runs(tmp_path, ["a", "b"])
    assert (top1.benchmark, top1.measure, top1.run_a, top1.run_b) == ("made", "top-1", "a", "b")
    assert (top1.accuracy_a, top1.accuracy_b, top1.difference.value) == pytest.approx((0.5, 0.8, 0.3))
    assert mean_class.measure == "mean class"
    assert (mean_class.accuracy_a, mean_class.accuracy_b, mean_class.difference.value) == pytest.approx(
        (0.5, 0.875, 0.375)
    )
    assert 0 <= top1.difference.low < 0.3 < top1.difference.high <= 0.7


def test_groups_are_compared_by_the_mean_of_their_runs(tmp_path):
    """Right of a: 2 of 4, of b: 1 and 3 of 4."""
    classes = ["car", "car", "bus", "bus"]
    for run, ranks in (("a", [0, 1, 0, 1]), ("b-0", [0, 1, 1, 1]), ("b-1", [0, 0, 0, 2])):
        write(tmp_path, run, ranks, classes)
    top1, mean_class = compare_groups(tmp_path, {"a": ["a"], "b": ["b-0", "b-1"]})
    assert (top1.run_a, top1.run_b, top1.accuracy_a, top1.accuracy_b) == ("a", "b", 2 / 4, (1 / 4 + 3 / 4) / 2)
    assert top1.difference.value == 0 and mean_class.accuracy_b == ((1 / 2 + 0) / 2 + (1 + 1 / 2) / 2) / 2
    write(tmp_path, "b-2", [0, 0, 0, 0], ["car", "bus", "bus", "bus"])
    with pytest.raises(UserError, match="b-0 and b-2 were measured on different clouds or classes of made"):
        compare_groups(tmp_path, {"a": ["a"], "b": ["b-0", "b-2"]})


def test_of_independent_clouds_the_interval_is_the_paired_binomial_s(tmp_path):
    """B alone is right on 60 clouds of 1000, A alone on 30: variance (60 + 30) / 1000 - 0.03 ** 2, over 1000."""
    both = np.repeat([0, 1], [600, 310])
    write(tmp_path, "a", [*both, *[1] * 60, *[0] * 30], ["car"] * 1000)
    write(tmp_path, "b", [*both, *[0] * 60, *[1] * 30], ["car"] * 1000)
    one, _ = compare_runs(tmp_path, ["a", "b"])
    deviation = 1.96 * np.sqrt((0.09 - 0.03**2) / 1000)
    assert one.difference.value == pytest.approx(0.03)
    assert (one.difference.low, one.difference.high) == pytest.approx((0.03 - deviation, 0.03 + deviation), abs=0.003)


def test_runs_that_err_alike_may_differ_the_more_the_fewer_clouds_there_are(tmp_path):
    """Wilson's end for 0 of 10 is 0.2775; of the classes 0 of 8 and 0 of 2, 0.3244 and 0.6576, as a root of squares."""
    write(tmp_path, "a", RANKS_A, CLASSES)
    write(tmp_path, "b", [4 * rank for rank in RANKS_A], CLASSES)
    top1, mean_class = (one.difference for one in compare_runs(tmp_path, ["a", "b"]))
    assert (top1.value, top1.low, top1.high) == pytest.approx((0, -0.2775, 0.2775), abs=1e-4)
    reach = np.hypot(0.3244, 0.6576) / 2
    assert (mean_class.value, mean_class.low, mean_class.high) == pytest.approx((0, -reach, reach), abs=1e-4)


def test_clouds_of_one_object_count_as_one_object(tmp_path):
    instances = np.repeat(np.arange(16), 25).astype(str).tolist()
    of_a, of_b = np.repeat([0, 1] * 8, 25).tolist(), np.repeat([0, 0, 1, 1] * 4, 25).tolist()
    write(tmp_path / "many", "a", of_a, ["car"] * 400, instances)
    write(tmp_path / "many", "b", of_b, ["car"] * 400, instances)
    write(tmp_path / "few", "a", of_a[::25], ["car"] * 16, instances[::25])
    write(tmp_path / "few", "b", of_b[::25], ["car"] * 16, instances[::25])
    many, few = (compare_runs(tmp_path / name, ["a", "b"])[0] for name in ("many", "few"))
    assert many == few and many.difference.high - many.difference.low > 0.4


def test_the_order_of_rows_does_not_matter(tmp_path):
    order = np.random.default_rng(0).permutation(10)
    ids = [f"c{number:05d}" for number in order]
    write(tmp_path, "a", RANKS_A, CLASSES)
    write(tmp_path, "b", RANKS_B, CLASSES)
    instances = [f"i{number}" for number in order]
    shuffled = {"classes": np.array(CLASSES)[order], "instances": instances, "ids": ids}
    write(tmp_path, "c", np.array(RANKS_B)[order].tolist(), **shuffled)
    assert {one.difference.value for one in compare_runs(tmp_path, ["b", "c"])} == {0}
    as_written, as_shuffled = compare_runs(tmp_path, ["a", "b"]), compare_runs(tmp_path, ["a", "c"])
    assert [one.difference for one in as_written] == [one.difference for one in as_shuffled]


def test_each_pair_meets_on_each_benchmark_that_both_have(tmp_path):
    for run in "abc":
        write(tmp_path, run, RANKS_A, CLASSES)
    for run in "ac":
        write(tmp_path, run, RANKS_B, CLASSES, benchmark="alpha")
    found = [(one.benchmark, one.run_a, one.run_b) for one in compare_runs(tmp_path, list("abc"))][::2]
    assert found == [("alpha", "a", "c"), ("made", "a", "b"), ("made", "a", "c"), ("made", "b", "c")]
    assert {one.benchmark for one in compare_runs(tmp_path, ["a", "c"], ["alpha"])} == {"alpha"}
    with pytest.raises(UserError, match=r"b/alpha/predictions\.parquet is missing"):
        compare_runs(tmp_path, ["a", "b"], ["alpha"])


def test_the_table_reads_in_points(tmp_path, capsys):
    write(tmp_path, "plain", RANKS_A, CLASSES)
    write(tmp_path, "blended", RANKS_B, CLASSES)
    assert main(["compare", "plain", "blended", "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed == comparison_text(compare_runs(tmp_path, ["plain", "blended"])) + "\n"
    head, top1, mean_class = printed.splitlines()
    assert head.split("  ")[0] == "benchmark" and head.endswith("B - A [95 % interval]")
    assert top1.startswith("made       top-1       plain 50.0%  blended 80.0%  +30.0 [+")
    assert mean_class.startswith("made       mean class  plain 50.0%  blended 87.5%  +37.5 [")


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        (["a"], "a cannot be compared: give the names of at least two different runs"),
        (["a", "a"], "a and a cannot be compared: give the names of at least two different runs"),
        (["a", "none"], r"runs/none holds no predictions: run `blendclip evaluate` for none first"),
        (["a", "elsewhere"], "a and elsewhere have no benchmark in common: evaluate them on the same one"),
        (["a", "fewer"], "a and fewer were measured on different clouds or classes of made: evaluate both again"),
        (["a", "relabelled"], "a and relabelled were measured on different clouds or classes of made"),
    ],
)
def test_runs_that_cannot_be_compared_are_told(tmp_path, capsys, runs, sentence):
    write(tmp_path, "a", RANKS_A, CLASSES)
    write(tmp_path, "elsewhere", RANKS_A, CLASSES, benchmark="other")
    write(tmp_path, "fewer", RANKS_A[:9], CLASSES[:9])
    write(tmp_path, "relabelled", RANKS_A, CLASSES[::-1])
    with pytest.raises(UserError, match=sentence):
        compare_runs(tmp_path, runs)
    assert main(["compare", *runs, "--results", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("blendclip compare: ")
