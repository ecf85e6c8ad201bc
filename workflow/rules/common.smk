from pathlib import Path

from blendclip.storage import STAGE_VERSIONS

CITY_TABLES = "v1.0-mini"  # the version folder that a city has
RESULTS = config["results"]
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


def every_part(pattern):
    """An input function: `pattern` for each part of the wildcards' dataset and split."""

    def paths(wildcards):
        parts = range(parts_of(wildcards))
        return [pattern.format(**wildcards, part=f"{part:05d}") for part in parts]

    return paths


wildcard_constraints:
    dataset="[A-Za-z0-9_-]+",
    split="[A-Za-z0-9_]+",
    part="[0-9]{5}",
