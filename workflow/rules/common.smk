import json
import re
import shlex
from dataclasses import asdict
from pathlib import Path

from blendclip.config import part_of, read_config
from blendclip.encoders.clip_names import local_files
from blendclip.errors import UserError
from blendclip.mining.options import CaptionOptions, ServerOptions
from blendclip.options import as_json
from blendclip.results import MODEL_ABOUT, MODEL_WEIGHTS, Results
from blendclip.runs import places_of
from blendclip.schemas import STAGE_VERSIONS


configfile: f"{workflow.basedir}/../config.yaml"


def told(function):
    """`function`, whose complaints about the configuration end the run with one sentence."""

    def wrapped(*arguments):
        try:
            return function(*arguments)
        except UserError as error:
            raise WorkflowError(str(error)) from None

    return wrapped


CONFIG = told(read_config)(config)
PLACES = Results(CONFIG.results)
PROMPTS = Path(workflow.basedir).parent / "prompts"
CLIP = CONFIG.clip.name
CLIPS = {one.name: one for one in [CONFIG.clip, *(CONFIG.clip_of(name) for name in CONFIG.models)]}
OPENSHAPE_CLIP = "ViT-bigG-14_laion2b_s39b_b160k"  # the one whose features its files hold
MINED, CAD = CONFIG.chosen(cad=False), CONFIG.chosen(cad=True)
DATASETS = MINED | CAD
# Whose views the captions stage describes. Those of CAD bring their captions; a model looks at them too, where they are images.
PICTURED = {name: dataset for name, dataset in CAD.items() if dataset.format.name != "openshape"}
CAPTIONED = MINED if CONFIG.caption.backend == "template" else MINED | PICTURED
FAULTS = CONFIG.max_fault_fraction
DISAGREEMENT = CONFIG.max_disagree_fraction
# How a captioning model is reached. No caption depends on it, so it is kept out of `params`: changing it reruns nothing.
CAPTION_SERVER = as_json(part_of(CONFIG.caption, ServerOptions))


REPLICAS = CONFIG.caption.vllm.data_parallel_size
# On a cluster the stages of a part are one job: a few seconds each, and a scheduler takes longer to start one. A job that
# captions several parts stands between them, and cuts the group in two.
PART_GROUP = "part" if CONFIG.caption.backend != "vllm" else None
CHUNK = 16  # parts of a job that loads a large model: fewer load it too often, more make plans and records grow


pathvars:
    results=CONFIG.results,
    logs=f"{CONFIG.results}/logs",
    timings=f"{CONFIG.results}/timings",


def splits_of(datasets):
    """Each dataset and split, as pairs."""
    return [(name, split) for name, dataset in datasets.items() for split in dataset.splits]


def parts_of(wildcards):
    """Number of parts of the wildcards' dataset."""
    return CONFIG.datasets[wildcards.dataset].parts


def root_of(name):
    """The folder of a dataset."""
    rooted = CONFIG.datasets[name].rooted
    return str(PLACES.datasets(name) if rooted is None else rooted.root)


def growing(amount):
    """A resource that doubles with each attempt at a job, for one that a cluster ended for want of it."""

    def asked(wildcards, attempt):
        return amount * 2 ** (attempt - 1)

    return asked


def family(name, **resources):
    """Resources of a family of rules, one for each dataset; `--set-resources NAME:...` gives all of them others."""
    given = workflow.resource_settings.overwrite_resources.get(name, {})
    return resources | {key: int(value) if str(value).isdecimal() else value for key, value in given.items()}


def index_mb(name):
    """Memory that indexing a dataset takes: 0.8 times its tables were measured, besides 0.3 GB of imports."""
    tables = Path(root_of(name)) / getattr(CONFIG.datasets[name].options, "version", "")
    return 2000 + sum(path.stat().st_size for path in tables.glob("*.json")) // 10**6


def chunks(name):
    """The parts of a dataset in runs of `CHUNK`."""
    count = CONFIG.datasets[name].parts
    return [range(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]


def dataset_root(wildcards):
    """The folder of the wildcards' dataset."""
    return root_of(wildcards.dataset)


def generated_marker(name):
    """The file that says that a dataset is generated; nothing for one that is not."""
    generator = CONFIG.datasets[name].format.generator
    return [] if generator is None else f"{root_of(name)}/{generator.writes}"


def parts(place, name, split, numbers=None):
    """Every part, or some, of a dataset and split at a place, a method of `PLACES` that takes dataset, split and part."""
    numbers = range(CONFIG.datasets[name].parts) if numbers is None else numbers
    return [str(place(name, split, part)) for part in numbers]


def staged(stage):
    """The place of a stage's parts, for `parts`."""
    return lambda *which: PLACES.part(stage, *which)


def rejected(stage):
    """The place of a stage's rejects, for `parts`."""
    return lambda *which: PLACES.rejects(stage, *which)


def embedded(*which):
    """The place of the configured CLIP's features, for `parts`."""
    return PLACES.embeddings(CLIP, *which)


def packed_features(*which):
    """The place of the configured CLIP's packed features, for `parts`."""
    return PLACES.packed_features(CLIP, *which)


def every_part(place):
    """An input function: all parts at a place for the wildcards' dataset and split."""
    return lambda wildcards: parts(place, wildcards.dataset, wildcards.split)


def summaries(datasets):
    """A summary of each dataset and split, which needs all its parts."""
    return [str(PLACES.summary(*which)) for which in splits_of(datasets)]


def every_triplet(datasets):
    """All parts that `mine_triplets` or `cad_triplets` promises: a finished summary does not notice a lost one."""
    stages = ("clouds", "views", "captions", "triplets")
    return [
        path
        for which in splits_of(datasets)
        for stage in stages
        if stage != "clouds" or which[0] in CAPTIONED
        for path in parts(staged(stage), *which)
    ]


def inspections():
    """Images of a scene of each mined dataset, of its first split."""
    return [str(PLACES.inspection(name, dataset.splits[0])) for name, dataset in MINED.items()]


def caption_prompt():
    """The prompt of captions."""
    return str(PROMPTS / "caption" / f"{CONFIG.caption.prompt_name}.yaml")


def caption_params():
    """What captions depend on, apart from views and prompt."""
    options = part_of(CONFIG.caption, CaptionOptions)
    if options.backend == "template":
        options = CaptionOptions(max_views_per_instance=options.max_views_per_instance)
    return {"options": as_json(options), "stage_version": STAGE_VERSIONS["captions"]}


def caption_cache(wildcards):
    """The file of answers to a part's requests."""
    which = (wildcards.dataset, wildcards.split)
    return PLACES.caption_cache(*which, CONFIG.datasets[wildcards.dataset].parts, wildcards.part)


def caption_caches(wildcards):
    """Where answers to requests of the wildcards' split are, however it was cut into parts."""
    return PLACES.caption_caches(wildcards.dataset, wildcards.split)


def has_images(name):
    """Whether a dataset's views are images; OpenShape holds features instead, and these of one CLIP alone."""
    is_openshape = CONFIG.datasets[name].format.name == "openshape"
    if is_openshape and CLIP != OPENSHAPE_CLIP:
        raise WorkflowError(
            f"{name} holds no images, only features of ViT-bigG-14: set `clip` to"
            " {model: ViT-bigG-14, pretrained: laion2b_s39b_b160k}, or take it out of `cad`"
        )
    return not is_openshape


def embeddings_of(which):
    """The files of the configured CLIP's features of a dataset and split."""
    has_images(which[0])
    return parts(embedded, *which)


def every_embedding(wildcards):
    """What `embed` makes."""
    return [path for which in splits_of(DATASETS) for path in embeddings_of(which)]


def clip_files(wildcards):
    """The user's own files that the wildcards' CLIP is read from, or the configured one."""
    clip = CLIPS[wildcards.get("clip", CLIP)]
    files = local_files(clip.model, clip.pretrained)
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise WorkflowError(f"`clip` names {missing[0]}, which is not there: set it to where the weights lie")
    return files


def clip_options(wildcards):
    """The wildcards' CLIP, as JSON."""
    return as_json(CLIPS[wildcards.clip])


def packed_parts(name, split):
    """The packed files of a dataset and split: clouds, and features of the configured CLIP."""
    return parts(PLACES.packed_clouds, name, split) + parts(packed_features, name, split)


def every_packed():
    """What `pack` makes."""
    return [path for which in splits_of(DATASETS) for path in packed_parts(*which)]


def packed_splits():
    """Each dataset and split that `pack` makes, with its number of parts, as `blendclip show-packed` wants them."""
    return [f"{name}/{split}:{CONFIG.datasets[name].parts}" for name, split in splits_of(DATASETS)]


def run_recipe(wildcards):
    """The recipe of the wildcards' run, as JSON."""
    recipe = told(CONFIG.recipe_of)(wildcards.run)
    return json.dumps(asdict(recipe), sort_keys=True)


def run_packed(wildcards):
    """The packed parts that a run reads."""
    recipe = told(CONFIG.recipe_of)(wildcards.run)
    return [path for place in places_of(recipe) for path in packed_parts(*place.split("/"))]


def run_weights(wildcards):
    """The file that a run starts from, if any."""
    return told(CONFIG.recipe_of)(wildcards.run).initial_weights or []


def gpus_of_node(wildcards, resources):
    """GPUs of each machine that trains."""
    if resources.gpu % resources.nodes:
        raise WorkflowError(f"train_run has gpu={resources.gpu} on nodes={resources.nodes}: give each as many")
    return resources.gpu // resources.nodes


def run_classes(wildcards):
    """The class weights that a run is validated by."""
    validation = told(CONFIG.recipe_of)(wildcards.run).validation
    return sorted({str(PLACES.class_weights(CLIP, entry.classes, entry.templates)) for entry in validation})


wildcard_constraints:
    dataset="|".join(MINED),  # those of CAD have rules of their own
    split="[A-Za-z0-9_]+",
    part="[0-9]{5}",
    run="[^/]+",
    benchmark="[^/]+",
    clip="|".join(map(re.escape, CLIPS)),
