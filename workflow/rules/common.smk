import copy
import json
import shlex
from pathlib import Path

import yaml
from snakemake.utils import update_config, validate

from blendclip.encoders.clip_names import clip_name, local_files
from blendclip.schemas import STAGE_VERSIONS


configfile: f"{workflow.basedir}/../config.yaml"


SCHEMA = f"{workflow.basedir}/schemas/config.schema.yaml"


def typed(value, schema):
    """A config value with numbers where the schema wants them: nested values of `--config` arrive as text."""
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        default = others if isinstance(others, dict) else {}
        return {key: typed(child, known.get(key, default)) for key, child in value.items()}
    if isinstance(value, list):
        return [typed(child, schema.get("items", {})) for child in value]
    wants_text = schema.get("type") not in ("integer", "number", "boolean")
    return value if wants_text or not isinstance(value, str) else yaml.safe_load(value)


config.update(typed(config, yaml.safe_load(Path(SCHEMA).read_text())))
validate(config, SCHEMA)

# Formats that the workflow generates: by which rig, in which format they are indexed, and the folder of their tables.
GENERATED = {
    "city": {"rig": "car", "format": "nuscenes", "version": "v1.0-mini"},
    "citytruck": {"rig": "truck", "format": "truckscenes", "version": "v1.2-mini"},
}
CAD_FORMATS = ("shapes", "meshes", "openshape", "ulip2")
RESULTS = config["results"]


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


PROMPTS = Path(workflow.basedir).parent / "prompts"
CAPTION = config["caption"]


def is_cad(name):
    """Whether a dataset holds CAD objects."""
    return config["datasets"][name]["format"] in CAD_FORMATS


def listed_datasets(key, cad):
    """The datasets that a key of the config lists, by name; all of them CAD or none."""
    unknown = sorted(set(config[key]) - set(config["datasets"]))
    if unknown:
        raise WorkflowError(f"`{key}` names {', '.join(unknown)}, which `datasets` does not describe")
    strange = [name for name in config[key] if is_cad(name) != cad]
    if strange:
        other = "cad" if key == "mine" else "mine"
        raise WorkflowError(f"`{key}` names {', '.join(strange)}, whose format belongs under `{other}`")
    return {name: config["datasets"][name] for name in config[key]}


def mined_datasets():
    """The datasets to mine, by name."""
    return listed_datasets("mine", cad=False)


def cad_datasets():
    """The datasets of CAD objects to read, by name."""
    return listed_datasets("cad", cad=True)


def root_of(name):
    """The folder of a dataset."""
    dataset = config["datasets"][name]
    generated = (*GENERATED, "shapes")
    return f"{RESULTS}/datasets/{name}" if dataset["format"] in generated else dataset["root"]


def splits_of(datasets):
    """The splits of datasets, as dataset/split."""
    return [f"{name}/{split}" for name, dataset in datasets.items() for split in dataset["splits"]]


def summaries(datasets):
    """A summary of each dataset and split, which needs all its parts."""
    return [f"{RESULTS}/triplets/{split}/summary.json" for split in splits_of(datasets)]


def mined_summaries():
    """What `mine_triplets` makes."""
    return summaries(mined_datasets())


def cad_summaries():
    """What `cad_triplets` makes."""
    return summaries(cad_datasets())


def inspected_datasets():
    """Pictures of a scene of each mined dataset, of its first split."""
    return [f"{RESULTS}/inspection/{name}/{dataset['splits'][0]}" for name, dataset in mined_datasets().items()]


def city_scenes(wildcards):
    """Options of `blendclip city` for the number of scenes."""
    scenes = config["datasets"][wildcards.dataset].get("scenes", {})
    return " ".join(f"--{split.replace('_', '-')} {count}" for split, count in scenes.items())


def city_seed(wildcards):
    """Seed of a city."""
    return config["datasets"][wildcards.dataset].get("seed", 0)


def city_rig(wildcards):
    """The vehicle that records a city."""
    return GENERATED[config["datasets"][wildcards.dataset]["format"]]["rig"]


def city_stage_version(wildcards):
    """Version of the generator for this rig."""
    return STAGE_VERSIONS[config["datasets"][wildcards.dataset]["format"]]


def parts_of(wildcards):
    """Number of parts of the wildcards' dataset."""
    return config["datasets"][wildcards.dataset]["parts"]


def dataset_root(wildcards):
    """Folder of the wildcards' dataset."""
    return root_of(wildcards.dataset)


def every_part(stage, suffix="parquet"):
    """An input function: the parts of a stage for the wildcards' dataset and split."""

    def paths(wildcards):
        folder = f"{RESULTS}/{stage}/{wildcards.dataset}/{wildcards.split}"
        return [f"{folder}/part-{part:05d}.{suffix}" for part in range(parts_of(wildcards))]

    return paths


def caption_prompt():
    """The prompt file; by default one that suits the backend."""
    default = "template" if CAPTION["backend"] == "template" else "object"
    return f"{PROMPTS}/caption/{CAPTION.get('prompt', default)}.yaml"


def caption_params():
    """What captions depend on, apart from views and prompt."""
    options = ["--backend", CAPTION["backend"]]
    if CAPTION["backend"] != "template":
        options += ["--model", CAPTION["model"]]
    if "max_views_per_instance" in CAPTION:
        options += ["--max-views-per-instance", CAPTION["max_views_per_instance"]]
    return {
        "options": shlex.join(map(str, options)),
        "stage_version": STAGE_VERSIONS["captions"],
    }


def caption_server_options():
    """How the server is reached or started. No captions depend on it, so it is kept out of `params`."""
    if CAPTION["backend"] == "template":
        return ""
    options = ["--cache", f"{RESULTS}/caches/captions.sqlite", "--max-in-flight", CAPTION["max_in_flight"]]
    options += ["--timeout-s", CAPTION["timeout_s"]]
    if CAPTION["backend"] == "endpoint":
        options += ["--base-url", CAPTION["base_url"]]
        options += ["--api-key-env", CAPTION["api_key_env"]] if "api_key_env" in CAPTION else []
    else:
        vllm = CAPTION["vllm"]
        options += ["--vllm-python", vllm["python"], "--data-parallel-size", vllm["data_parallel_size"]]
        options += ["--start-timeout-s", vllm["start_timeout_s"]]
        options += [f"--vllm-arguments={shlex.join(map(str, vllm['arguments']))}"]
    return shlex.join(map(str, options))


CAPTION_SERVER = caption_server_options()
CLIP = config["clip"]
CLIP_NAME = clip_name(CLIP["model"], CLIP.get("pretrained"))
OPENSHAPE_CLIP = "ViT-bigG-14_laion2b_s39b_b160k"  # the one whose features its files hold


def embedded_datasets():
    """All datasets that become triplets, by name."""
    return mined_datasets() | cad_datasets()


def embedding_folders():
    """The folders of the configured CLIP's features of each dataset and split."""
    return [
        f"{RESULTS}/embeddings/{CLIP_NAME}/{name}/{split}"
        for name, dataset in embedded_datasets().items()
        for split in dataset["splits"]
    ]


def embedding_parts(name, split):
    """The files of the configured CLIP's features of a dataset and split."""
    dataset = config["datasets"][name]
    if dataset["format"] == "openshape" and CLIP_NAME != OPENSHAPE_CLIP:
        raise WorkflowError(
            f"{name} holds no pictures, only features of ViT-bigG-14: set `clip` to"
            " {model: ViT-bigG-14, pretrained: laion2b_s39b_b160k}, or take it out of `cad`"
        )
    folder = f"{RESULTS}/embeddings/{CLIP_NAME}/{name}/{split}"
    return [f"{folder}/part-{part:05d}.parquet" for part in range(dataset["parts"])]


def every_embedding(wildcards):
    """What `embed` makes."""
    datasets = embedded_datasets().items()
    return [path for name, dataset in datasets for split in dataset["splits"] for path in embedding_parts(name, split)]


def clip_files(wildcards):
    """The user's own files that the configured CLIP is read from."""
    files = local_files(CLIP["model"], CLIP.get("pretrained"))
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise WorkflowError(f"`clip` names {missing[0]}, which is not there: set it to where the weights lie")
    return files


def clip_options():
    """Options of `blendclip embed` that name the CLIP."""
    return shlex.join([f"--{key}={value}" for key, value in CLIP.items()])


SHAPES = [name for name, dataset in cad_datasets().items() if dataset["format"] == "shapes"]
CAD_OPTIONS = ("up", "front", "unit_m", "points", "image_px")


def cad_options(dataset):
    """Options of `blendclip cad` for the keys of a dataset."""
    kind = "meshes" if dataset["format"] == "shapes" else dataset["format"]
    given = {f"--{key.replace('_', '-')}": dataset[key] for key in CAD_OPTIONS if key in dataset}
    if "views" in dataset:
        given["--views-per-object"] = dataset["views"]
    # Joined by = since an axis may begin with a dash.
    return shlex.join(["--format", kind, *(f"{option}={value}" for option, value in given.items())])


def shapes_variants(wildcards):
    """Options of `blendclip shapes` for the number of objects of each class."""
    variants = config["datasets"][wildcards.dataset].get("variants", {})
    return " ".join(f"--{split} {count}" for split, count in variants.items())


def packed_parts(name, split):
    """The packed files of a dataset and split: clouds, and features of the configured CLIP."""
    places = (f"{RESULTS}/packed/{name}/{split}", f"{RESULTS}/packed/{CLIP_NAME}/{name}/{split}")
    parts = config["datasets"][name]["parts"]
    return [f"{place}/part-{part:05d}.arrow" for place in places for part in range(parts)]


def every_packed():
    """What `pack` makes."""
    datasets = embedded_datasets().items()
    return [path for name, dataset in datasets for split in dataset["splits"] for path in packed_parts(name, split)]


def packed_splits():
    """Each dataset and split that `pack` makes, with its number of parts, as `blendclip show-packed` wants them."""
    datasets = embedded_datasets().items()
    return [f"{name}/{split}:{dataset['parts']}" for name, dataset in datasets for split in dataset["splits"]]


def run_recipes():
    """The recipe of each of `runs`, by name: `recipe` with what the run changes."""
    unknown = sorted({*config["train"], *config["sweep"]} - set(config["runs"]))
    if unknown:
        raise WorkflowError(f"`train` or `sweep` names {', '.join(unknown)}, which `runs` does not describe")
    recipes = {}
    for name, changes in config["runs"].items():
        recipes[name] = {"clip": CLIP_NAME} | copy.deepcopy(config["recipe"])
        update_config(recipes[name], changes)
    return recipes


def trained_splits(recipe):
    """The splits that a run reads, each dataset/split."""
    validated = [entry["split"] for entry in recipe.get("validation", [])]
    return [*recipe["data"].get("synthetic", []), *recipe["data"].get("real", []), *validated]


def recipe_of(wildcards):
    """The recipe of the wildcards' run."""
    if wildcards.run not in RECIPES:
        raise WorkflowError(f"{wildcards.run} is no run: `runs` does not describe it")
    return RECIPES[wildcards.run]


def run_recipe(wildcards):
    """The recipe of the wildcards' run, as JSON."""
    return json.dumps(recipe_of(wildcards), sort_keys=True)


def run_packed(wildcards):
    """The packed parts that a run reads."""
    paths = []
    for place in trained_splits(recipe_of(wildcards)):
        name, _, split = place.partition("/")
        if split not in embedded_datasets().get(name, {"splits": []})["splits"]:
            raise WorkflowError(
                f"run {wildcards.run} reads {place}, which is no split of a dataset under `mine` or `cad`"
            )
        paths += packed_parts(name, split)
    return paths


def run_weights(wildcards):
    """The file that a run starts from, if any."""
    return recipe_of(wildcards).get("initial_weights", [])


def run_classes(wildcards):
    """The class weights that a run is validated by."""
    validation = recipe_of(wildcards).get("validation", [])
    folder = f"{RESULTS}/embeddings/{CLIP_NAME}/classes"
    return sorted({f"{folder}/{entry['classes']}.{entry['templates']}.parquet" for entry in validation})


RECIPES = run_recipes()


wildcard_constraints:
    dataset="|".join(name for name in config["datasets"] if not is_cad(name)),  # those of CAD have rules of their own
    split="[A-Za-z0-9_]+",
    part="[0-9]{5}",
    run="[^/]+",
    benchmark="[^/]+",
