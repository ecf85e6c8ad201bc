def benchmark_of(wildcards):
    """What the config says of the wildcards' benchmark."""
    if wildcards.benchmark not in config["benchmarks"]:
        raise WorkflowError(f"`evaluate` names {wildcards.benchmark}, which `benchmarks` does not describe")
    return config["benchmarks"][wildcards.benchmark]


def benchmark_split(wildcards):
    """The dataset and the split that the clouds of a benchmark are of; None where they are from elsewhere."""
    about = benchmark_of(wildcards)
    if "split" not in about:
        return None
    name, _, split = about["split"].partition("/")
    datasets = mined_datasets() if about["format"] == "mined" else cad_datasets()
    if split not in datasets.get(name, {"splits": []})["splits"]:
        key = "mine" if about["format"] == "mined" else "cad"
        raise WorkflowError(
            f"benchmark {wildcards.benchmark} takes clouds of {about['split']}, which is no split of a dataset under `{key}`"
        )
    return name, split


def benchmark_source(wildcards):
    """The files that a benchmark is made of; those of a foreign one, when a folder, are checked by its reader."""
    place = benchmark_split(wildcards)
    if place is None:
        path = benchmark_of(wildcards)["path"]
        return path if Path(path).is_file() else []
    name, split = place
    stage = "clouds" if benchmark_of(wildcards)["format"] == "mined" else "triplets"
    parts = config["datasets"][name]["parts"]
    return [f"{RESULTS}/{stage}/{name}/{split}/part-{part:05d}.parquet" for part in range(parts)]


def benchmark_classes(wildcards):
    """The file with the classes of a benchmark."""
    return f"{PROMPTS}/classes/{benchmark_of(wildcards)['classes']}.yaml"


def benchmark_weights(wildcards):
    """The text weights of a benchmark's classes."""
    about = benchmark_of(wildcards)
    return f"{RESULTS}/embeddings/{CLIP_NAME}/classes/{about['classes']}.{about['templates']}.parquet"


def benchmark_packed(wildcards):
    """The packed triplets of a benchmark's split, which clouds are found by."""
    place = benchmark_split(wildcards)
    return [] if place is None else packed_parts(*place)


def benchmark_options(wildcards):
    """Options of `blendclip benchmark`."""
    about = benchmark_of(wildcards)
    given = {f"--{key}": about[key] for key in ("format", "path", "split", "up", "variant") if key in about}
    given |= {"--results": RESULTS} if "split" in about else {}
    return shlex.join(f"{option}={value}" for option, value in given.items())


def evaluation_options(wildcards):
    """Options of `blendclip evaluate` that depend on the benchmark."""
    about = benchmark_of(wildcards)
    options = [f"--classes={about['classes']}", f"--templates={about['templates']}"]
    options += [f"--triplets={about['split']}"] if "split" in about else []
    return shlex.join(options)


def evaluated_runs(key):
    """An input function: what `blendclip evaluate` writes for the runs that a key lists, on all of `evaluate`."""

    def paths(wildcards):
        if not config[key]:
            raise WorkflowError(f"`{key}` lists no run: name some of those under `runs`")
        return [
            f"{RESULTS}/evaluation/runs/{run}/{benchmark}/{file}"
            for run in config[key]
            for benchmark in config["evaluate"]
            for file in ("metrics.json", "predictions.parquet")
        ]

    return paths


def generated_benchmarks():
    """Option of `blendclip report` for the benchmarks and datasets that were generated."""
    kinds = (*GENERATED, "shapes")
    datasets = [name for name, dataset in embedded_datasets().items() if dataset["format"] in kinds]
    splits = {name: config["benchmarks"].get(name, {}).get("split", "none") for name in config["evaluate"]}
    made = [name for name, split in splits.items() if str(Path(split).parent) in datasets] + datasets
    return shlex.join(["--generated", *dict.fromkeys(made)]) if made else ""
