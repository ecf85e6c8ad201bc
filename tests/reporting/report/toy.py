"""Results of an evaluation that never took place: metrics, recipes, logs and accounts, all small."""

import json

import numpy as np
import pyarrow as pa

from blendclip import schemas, storage
from blendclip.results import Results

CLASSES = {
    "city": "car truck bus trailer construction_vehicle pedestrian motorcycle bicycle traffic_cone barrier".split(),
    "shapes": [f"thing {number}" for number in range(56)],
}

NAMES = ["car", "bus", "cone"]
#            car  bus  cone            of 10, 4, 6 clouds: 8 + 1 + 3 = 12 of 20
FIRST = [[8, 2, 0], [3, 1, 0], [1, 2, 3]]
SECOND = [[10, 0, 0], [0, 2, 2], [6, 0, 0]]  # 10 + 2 + 0 = 12 of 20: a tie


def interval(right, clouds):
    """An accuracy with a made-up interval around it."""
    if not clouds:
        return {"value": float("nan"), "low": float("nan"), "high": float("nan")}
    value = min(right / clouds, 1.0)
    half = (value * (1 - value) / clouds) ** 0.5 * 1.96
    return {"value": value, "low": max(value - half, 0.0), "high": min(value + half, 1.0)}


def confusion_of(classes, accuracy, seed, *, even=False):
    """Counts (C, C): class c has 10 + 7 c clouds up to a dozen classes, or each has six; mistakes go to neighbours."""
    random, counts = np.random.default_rng(seed), np.zeros((len(classes), len(classes)), int)
    for row in range(len(classes)):
        for _ in range(6 if even else 10 + 7 * (row % 12)):
            wrong = int(random.normal(row, 2.5)) % len(classes)
            counts[row, row if random.random() < accuracy else wrong] += 1
    return counts


def metrics_of(run, benchmark, confusion, classes, *, drives=False, held_out=(), excluded_from="both", rare=()):
    """One metrics.json, consistent with a confusion (C, C)."""
    confusion = np.asarray(confusion)
    clouds, right = int(confusion.sum()), int(np.trace(confusion))
    rows = confusion.sum(axis=1)

    def sliced(edges, shares):
        parts = zip(edges[:-1], edges[1:], shares, strict=True)
        return [
            {"from": a, "to": b, "clouds": clouds // len(shares), "top1": interval(s * right, clouds)}
            for a, b, s in parts
        ]

    diagonal = {name: (int(rows[place]), int(confusion[place, place])) for place, name in enumerate(classes)}
    counted = {
        one: [diagonal[name] for name in classes if (name in held_out) == one] for one in (True, False)
    }  # of held-out classes, of the others
    seen, others = (np.array(counted[one] or [(0, 0)]).sum(axis=0) for one in (True, False))
    accuracy = [diagonal[name][1] / diagonal[name][0] for name in classes if diagonal[name][0]]
    mean = float(np.mean(accuracy))
    return {
        "run": run,
        "benchmark": benchmark,
        "clouds": clouds,
        "instances": max(clouds // 4, 1),
        "classes": list(classes),
        "titles": list(classes),
        "top1": interval(right, clouds),
        "top3": interval((right + clouds) / 2, clouds),
        "top5": interval((right + 2 * clouds) / 3, clouds),
        "mean_class": interval(mean * clouds, clouds),
        "most_frequent": float(rows.max() / clouds),
        "per_class": [
            {"class_name": name, "clouds": n, "instances": max(n // 4, 1), "top1": interval(k, n)}
            for name, (n, k) in diagonal.items()
            if n
        ],
        "by_frequency": by_frequency(diagonal, rare) if rare else None,
        "confusion": confusion.tolist(),
        "by_points": sliced([1, 5, 20, 100, 500, None], [0.5, 0.8, 1.0, 1.05, 1.08]),
        "by_distance": sliced([0, 10, 20, 30, 50, None], [1.1, 1.05, 1.0, 0.9, 0.6]) if drives else [],
        "by_visibility": [
            {"from": v, "to": v, "clouds": clouds // 4, "top1": interval(right * (0.8 + 0.05 * v), clouds)}
            for v in (1, 2, 3, 4)
        ]
        if drives
        else [],
        "tracks": tracks_of(clouds, right) if drives else None,
        "held_out": {
            "classes": list(held_out),
            "excluded_from": excluded_from,
            "clouds": int(seen[0]),
            "top1": interval(int(seen[1]), int(seen[0])),
            "others": interval(int(others[1]), int(others[0])),
            "others_clouds": int(others[0]),
        }
        if held_out
        else None,
        "retrieval": {
            "text_to_cloud": {"1": interval(1, 8), "5": interval(3, 8), "10": interval(4, 8)},
            "image_to_cloud": {"1": interval(2, 8), "5": interval(4, 8), "10": interval(5, 8)},
            "clouds": clouds // 2,
            "texts": clouds // 3,
        },
        "files": {"predictions": f"evaluation/runs/{run}/{benchmark}/predictions.parquet"},
        "command": Results("results").commands.evaluate(run, benchmark, benchmark, "plain"),
    }


def by_frequency(diagonal, rare):
    """Accuracy on frequent and on rare classes, of which `diagonal` has clouds and right ones."""
    rows = []
    for name, is_rare in (("frequent", False), ("rare", True)):
        counts = {one: pair for one, pair in diagonal.items() if (one in rare) == is_rare}
        clouds, right = (sum(column) for column in zip(*counts.values(), strict=True))
        mean = sum(k / n for n, k in counts.values()) / len(counts)
        about = {"name": name, "classes": list(counts), "clouds": clouds, "instances": clouds // 4}
        rows.append(about | {"top1": interval(right, clouds), "mean_class": interval(mean * clouds, clouds)})
    return rows


def tracks_of(clouds, right):
    """Accuracy of tracks that rises with the number of clouds averaged."""
    share, tracks = right / clouds, max(clouds // 4, 8)
    by_clouds = [
        {"clouds": k, "tracks": max(tracks // k, 1), "top1": interval(tracks * min(share + 0.03 * i, 1), tracks)}
        for i, k in enumerate((1, 2, 4, 8, 16))
    ]
    return {"tracks": tracks, "top1": interval(tracks * min(share + 0.1, 1), tracks), "by_clouds": by_clouds}


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_metrics(results, metrics):
    """Put metrics where the report looks for them, and predictions that agree with their confusion beside them."""
    folder = results / "evaluation" / "runs" / metrics["run"] / metrics["benchmark"]
    write_json(folder / "metrics.json", metrics)
    classes = metrics["classes"]
    counted = [(row, column, count) for row, of in enumerate(metrics["confusion"]) for column, count in enumerate(of)]
    pairs = [(classes[row], row != column) for row, column, count in counted for _ in range(count)]
    known = {
        "cloud_id": [f"cloud {number:05d}" for number in range(len(pairs))],
        "instance_token": [f"object {number // 4}" for number in range(len(pairs))],
        "class_name": [name for name, _ in pairs],
        "rank": [int(wrong) for _, wrong in pairs],
    }
    schema = schemas.PREDICTIONS
    table = pa.table({one.name: pa.array(known.get(one.name, [None] * len(pairs)), one.type) for one in schema})
    about = storage.metadata("evaluation", {"model": metrics.get("model")})
    storage.write_parquet(folder / "predictions.parquet", schema, [table], about)


def write_run(results, run, *, schedule="linear", ratio=0.3, seed=0, synthetic=("shapes/train",), **other):
    """A recipe of the keys that the report reads, and a log of a few steps."""
    recipe = {"mixture": {"schedule": schedule, "max_real_ratio": ratio}, "seed": seed, "batch_size": 50}
    recipe |= {"data": {"synthetic": list(synthetic), "real": ["city/mini_train"]}, **other}
    write_json(results / "runs" / run / "recipe.json", recipe)
    final = 0.0 if schedule == "none" else ratio
    lines = [
        {"step": step, "kind": "train", "loss": 8 - step / 100, "real_share": final * step / 400}
        | {"text_accuracy": step / 1000, "image_accuracy": step / 900}
        for step in range(20, 401, 20)
    ]
    lines.append({"step": 400, "kind": "validation", "city/mini_val/top1": 0.5, "shapes/test/top1": 0.9})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (results / "runs" / run / "log.jsonl").write_text(text)


def write_summaries(results):
    """Accounts of a mined dataset with two splits."""
    for split, many in (("mini_train", 40), ("mini_val", 10)):
        classes = {"car": {"annotations": many, "clouds": many, "views": 3, "triplets": 2}}
        classes["bus"] = {"annotations": 5, "clouds": 5, "views": 1, "triplets": 1}
        reject = {"stage": "views", "kind": "filtered", "rule": "too_small", "of": "annotations", "count": many // 2}
        summary = {"dataset": "city", "split": split, "scenes": 2, "annotations": many + 5, "clouds": many + 5}
        summary |= {"views": 4, "triplets": 3, "classes": classes, "rejects": [reject | {"example": "40x40 px"}]}
        write_json(results / "summaries" / "triplets" / "city" / f"{split}.json", summary)


def write_cad_summary(results):
    """Accounts of a CAD dataset."""
    summary = {"cad": True, "dataset": "shapes", "split": "test", "objects": 3, "triplets": 3, "views": 6}
    summary |= {"classes": {"cup": {"triplets": 2, "views": 4}, "owl": {"triplets": 1, "views": 2}}, "rejects": []}
    write_json(results / "summaries" / "triplets" / "shapes" / "test.json", summary)


def write_results(results, runs, benchmarks=("city", "shapes"), held_out=None):
    """Metrics of runs (name: accuracy on the first and on the other benchmarks) with what else a report needs."""
    for number, (run, accuracies) in enumerate(runs.items()):
        for benchmark, accuracy in zip(benchmarks, accuracies, strict=True):
            classes = CLASSES.get(benchmark, CLASSES["shapes"])
            names = held_out if benchmark == "city" and held_out and run.startswith("no_") else ()
            confusion = confusion_of(classes, accuracy, number, even=benchmark == "shapes")
            drives = benchmark == "city"
            write_metrics(results, metrics_of(run, benchmark, confusion, classes, drives=drives, held_out=names))
