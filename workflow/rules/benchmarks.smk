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


def measured_files(wildcards):
    """The files of the model that the wildcards' run ended in, or of one under `models`."""
    if wildcards.run not in CONFIG.models:
        return [PLACES.model_weights(wildcards.run), PLACES.model_about(wildcards.run)]
    path = CONFIG.models[wildcards.run].path
    if not path.exists():
        raise WorkflowError(f"`models.{wildcards.run}.path` names {path}, which is not there: set it to where it lies")
    return [path / MODEL_WEIGHTS, path / MODEL_ABOUT] if path.is_dir() else path


def benchmark_weights(wildcards):
    """The text weights of a benchmark's classes, by the CLIP of the wildcards' run."""
    labels = benchmark_of(wildcards).labels
    return PLACES.class_weights(CONFIG.clip_of(wildcards.run).name, labels.classes, labels.templates)


def benchmark_triplets(wildcards):
    """Dataset and split of the triplets that clouds are found by; None where none have features of the run's CLIP."""
    return benchmark_of(wildcards).place if CONFIG.clip_of(wildcards.run).name == CLIP else None


def benchmark_packed(wildcards):
    """The packed triplets that clouds are found by."""
    place = benchmark_triplets(wildcards)
    return [] if place is None else packed_parts(*place)


def benchmark_format(wildcards):
    """The name of a benchmark's format."""
    return benchmark_of(wildcards).format.name


def benchmark_options(wildcards):
    """The options of a benchmark's format."""
    return as_json(benchmark_of(wildcards).options)


def evaluation_options(wildcards):
    """Options of `blendclip evaluate` that depend on the benchmark, and on the model where it is no run."""
    labels, place = benchmark_of(wildcards).labels, benchmark_triplets(wildcards)
    options = [f"--classes={labels.classes}", f"--templates={labels.templates}"]
    options += [f"--triplets={'/'.join(place)}"] if place else []
    if wildcards.run in CONFIG.models:
        model = CONFIG.models[wildcards.run]
        options += [f"--model={model.path}", f"--clip={CONFIG.clip_of(wildcards.run).name}"]
        options += [f"--up={model.up}"] if model.up else []
    return shlex.join(options)


def run_metrics(wildcards):
    """The metrics of the wildcards' run on all of `evaluate`."""
    return [str(PLACES.metrics(wildcards.run, name)) for name in CONFIG.evaluate]


def shared_models(key):
    """The folders of models that come with the report of a key: those of the runs under `train`."""
    return [PLACES.model(run) for run in CONFIG.train] if key == "train" else []


def reported(key):
    """The names of what the report of a key is about: the runs that it lists, and for `train` the models."""
    return [*getattr(CONFIG, key), *(CONFIG.models if key == "train" else ())]


def evaluated_runs(key):
    """An input function: what `blendclip evaluate` writes for what a report is about, on all of `evaluate`."""

    def paths(wildcards):
        runs = reported(key)
        if not runs:
            raise WorkflowError(f"`{key}` lists no run: name some of those under `runs`")
        places = (PLACES.metrics, PLACES.predictions)
        return [str(place(run, name)) for run in runs for name in CONFIG.evaluate for place in places]

    return paths


def origins():
    """Options of `blendclip report` for what was generated, and for the benchmarks that are real."""
    made = [name for name in CONFIG.evaluate if CONFIG.is_generated(name)]
    made += [name for name, dataset in DATASETS.items() if dataset.generator is not None]
    options = {"--generated": made, "--real": [name for name in CONFIG.evaluate if CONFIG.is_real(name)]}
    return shlex.join(word for key, names in options.items() if names for word in (key, *dict.fromkeys(names)))
