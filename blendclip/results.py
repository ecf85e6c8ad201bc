from __future__ import annotations

from pathlib import Path


def _part(part):
    return f"part-{part:05d}" if isinstance(part, int) else f"part-{part}"


class Results:
    def __init__(self, root):
        self.root = Path(root)

    def index(self, d, s):
        return self.root / "index" / d / f"{s}.parquet"

    def part(self, stage, d, s, p):
        return self.root / stage / d / s / f"{_part(p)}.parquet"

    def rejects(self, stage, d, s, p):
        return self.root / "rejects" / d / s / f"{_part(p)}.{stage}.parquet"

    def embeddings(self, clip, d, s, p):
        return self.root / "embeddings" / clip / d / s / f"{_part(p)}.parquet"

    def class_weights(self, clip, c, t):
        return self.root / "embeddings" / clip / "classes" / f"{c}.{t}.parquet"

    def packed_clouds(self, d, s, p):
        return self.root / "packed" / d / s / f"{_part(p)}.arrow"

    def packed_features(self, clip, d, s, p):
        return self.root / "packed" / clip / d / s / f"{_part(p)}.arrow"

    def summary(self, d, s):
        return self.root / "triplets" / d / s / "summary.json"

    def caption_statistics(self, d, s, p):
        return self.root / "captions" / d / s / f"{_part(p)}.stats.json"

    def run(self, r):
        return self.root / "runs" / r

    def recipe(self, r):
        return self.run(r) / "recipe.json"

    def model_weights(self, r):
        return self.run(r) / "model.safetensors"

    def model_about(self, r):
        return self.run(r) / "model.json"

    def metrics_log(self, r):
        return self.run(r) / "log.jsonl"

    def benchmark(self, n):
        return self.root / "evaluation" / "benchmarks" / f"{n}.parquet"

    def metrics(self, r, b):
        return self.root / "evaluation" / "runs" / r / b / "metrics.json"

    def predictions(self, r, b):
        return self.root / "evaluation" / "runs" / r / b / "predictions.parquet"

    def inspection(self, d, s):
        return self.root / "inspection" / d / s

    def dataset(self, n):
        return self.root / "datasets" / n

    def caption_cache(self):
        return self.root / "caches" / "captions.sqlite"

    def embedding_cache(self, clip, d, s):
        return self.root / "caches" / "embeddings" / clip / d / s
