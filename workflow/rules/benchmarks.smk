def benchmark_of(wildcards):
    """What the config says of the wildcards' benchmark."""
    return told(CONFIG.benchmark_of)(wildcards.benchmark)


def benchmark_source(wildcards):
    """The files that a benchmark is made of; those of a foreign one, when a folder, are checked by its reader."""
    benchmark = benchmark_of(wildcards)
    if benchmark.place is None:
        path = getattr(benchmark.options, "path", Path())
        return str(path) if path.is_file() else []
    stage = "clouds" if benchmark.format.name == "mined" else "triplets"
    return parts(staged(stage), *benchmark.place)


def benchmark_classes(wildcards):
    """The file with the classes of a benchmark."""
    path = PROMPTS / "classes" / f"{benchmark_of(wildcards).labels.classes}.yaml"
    if not path.is_file():
        raise WorkflowError(
            f"benchmark {wildcards.benchmark} takes its classes from {path}, which is not there: write it"
            " (`blendclip lvis-classes` does for Objaverse-LVIS)"
        )
    return str(path)


def benchmark_weights(wildcards):
    """The text weights of a benchmark's classes."""
    labels = benchmark_of(wildcards).labels
    return PLACES.class_weights(CLIP, labels.classes, labels.templates)


def benchmark_packed(wildcards):
    """The packed triplets of a benchmark's split, which clouds are found by."""
    place = benchmark_of(wildcards).place
    return [] if place is None else packed_parts(*place)


def benchmark_format(wildcards):
    """The name of a benchmark's format."""
    return benchmark_of(wildcards).format.name


def benchmark_options(wildcards):
    """The options of a benchmark's format."""
    return as_json(benchmark_of(wildcards).options)


def evaluation_options(wildcards):
    """Options of `blendclip evaluate` that depend on the benchmark."""
    benchmark = benchmark_of(wildcards)
    options = [f"--classes={benchmark.labels.classes}", f"--templates={benchmark.labels.templates}"]
    options += [f"--triplets={'/'.join(benchmark.place)}"] if benchmark.place else []
    return shlex.join(options)


def evaluated_runs(key):
    """An input function: what `blendclip evaluate` writes for the runs that a key lists, on all of `evaluate`."""

    def paths(wildcards):
        runs = getattr(CONFIG, key)
        if not runs:
            raise WorkflowError(f"`{key}` lists no run: name some of those under `runs`")
        places = (PLACES.metrics, PLACES.predictions)
        return [str(place(run, name)) for run in runs for name in CONFIG.evaluate for place in places]

    return paths


def is_generated(name):
    """Whether the workflow makes the data of a benchmark."""
    place = CONFIG.benchmarks[name].place
    return place is not None and place[0] in DATASETS and DATASETS[place[0]].generator is not None


def generated_names():
    """Option of `blendclip report` for the benchmarks and datasets that were generated."""
    made = [name for name in CONFIG.evaluate if is_generated(name)]
    made += [name for name, dataset in DATASETS.items() if dataset.generator is not None]
    return shlex.join(["--generated", *dict.fromkeys(made)]) if made else ""
