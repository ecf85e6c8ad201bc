from pathlib import Path

import yaml
from snakemake.utils import validate

from blendclip.storage import STAGE_VERSIONS


configfile: f"{workflow.basedir}/../config.yaml"


def typed(value):
    """A config value with its numbers as numbers: nested values of `--config` arrive as text."""
    if isinstance(value, dict):
        return {key: typed(child) for key, child in value.items()}
    if isinstance(value, list):
        return [typed(child) for child in value]
    parsed = yaml.safe_load(value) if isinstance(value, str) else value
    return parsed if isinstance(parsed, (bool, int, float)) else value


config.update(typed(config))
validate(config, "../schemas/config.schema.yaml")

CITY_TABLES = "v1.0-mini"  # the version folder that a city has
RESULTS = config["results"]


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


PROMPTS = Path(workflow.basedir).parent / "prompts"


def mined_datasets():
    """The datasets to mine, by name."""
    unknown = sorted(set(config["mine"]) - set(config["datasets"]))
    if unknown:
        raise WorkflowError(f"`mine` names {', '.join(unknown)}, which `datasets` does not describe")
    return {name: config["datasets"][name] for name in config["mine"]}


def root_of(name):
    """The folder of a dataset."""
    dataset = config["datasets"][name]
    return f"{RESULTS}/datasets/{name}" if dataset["format"] == "city" else dataset["root"]


def mined_summaries():
    """What `mine_triplets` makes: a summary of each dataset and split, which needs all its parts."""
    return [
        f"{RESULTS}/triplets/{name}/{split}/summary.json"
        for name, dataset in mined_datasets().items()
        for split in dataset["splits"]
    ]


def city_scenes(wildcards):
    """Options of `blendclip city` for the number of scenes."""
    scenes = config["datasets"][wildcards.dataset].get("scenes", {})
    return " ".join(f"--{split.replace('_', '-')} {count}" for split, count in scenes.items())


def city_seed(wildcards):
    """Seed of a city."""
    return config["datasets"][wildcards.dataset].get("seed", 0)


def parts_of(wildcards):
    """Number of parts of the wildcards' dataset."""
    return config["datasets"][wildcards.dataset]["parts"]


def dataset_root(wildcards):
    """Folder of the wildcards' dataset."""
    return root_of(wildcards.dataset)


def every_part(stage):
    """An input function: the parts of a stage for the wildcards' dataset and split."""

    def paths(wildcards):
        folder = f"{RESULTS}/{stage}/{wildcards.dataset}/{wildcards.split}"
        return [f"{folder}/part-{part:05d}.parquet" for part in range(parts_of(wildcards))]

    return paths


wildcard_constraints:
    dataset="[A-Za-z0-9_-]+",
    split="[A-Za-z0-9_]+",
    part="[0-9]{5}",
