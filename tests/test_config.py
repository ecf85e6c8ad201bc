"""config.yaml: what it may say, what is told of a wrong value, and that one field is all that an option needs."""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Annotated

import jsonschema
import pytest
import yaml

from blendclip.cli.common import CommandParser
from blendclip.cli.flags import add_options, options_from
from blendclip.config import read_config, schema
from blendclip.errors import UserError
from blendclip.json_schema import table_schema
from blendclip.mining.options import CloudOptions
from blendclip.options import NoOptions, parse, sentences
from blendclip.ranges import Range
from blendclip.runs import merged
from tests.test_workflow import REPOSITORY, run

DEFAULT = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
PAPER = merged(DEFAULT, yaml.safe_load((REPOSITORY / "configs" / "paper.yaml").read_text()))
DRIVE = {"format": "nuscenes", "root": "/data", "version": "v1", "splits": ["val"], "parts": 1}
CHECKED_IN = REPOSITORY / "workflow" / "schemas" / "config.schema.yaml"

HOSTILE = ["-h", "..", ".", "a\n", "a/b", "{x}", "$x", "", "é", "x" * 101]
PATHS = ["", "-h", "res{}", "{dataset}", "res\n", "\0"]
WRONG = [
    # unknown keys, at every level
    ({"mines": ["city"]}, "`mines` is no option: did you mean `mine`?"),
    ({"epoch": 3}, "`epoch` is no option: the keys there are"),
    ({"clouds": {"sweps": 3}}, "`clouds.sweps` is no option: did you mean `sweeps`?"),
    ({"caption": {"vllm": {"pyton": "x"}}}, "`caption.vllm.pyton` is no option: did you mean `python`?"),
    ({"recipe": {"epochs": {"cuont": 3}}}, "`recipe.epochs.cuont` is no option: did you mean `count`?"),
    ({"recipe": {"clip": "tiny"}}, "`recipe.clip` is no option"),
    ({"recipe": {"encoder": {"out_dim": 3}}}, "`recipe.encoder.out_dim` is no option"),
    ({"runs": {"curriculum": {"mixtur": {}}}}, "`runs.curriculum.mixtur` is no option: did you mean `mixture`?"),
    ({"datasets": {"city": {"sceens": {}}}}, "`datasets.city.sceens` is no option: did you mean `scenes`?"),
    ({"datasets": {"city": {"version": "v1"}}}, "`datasets.city.version` is no option"),
    ({"datasets": {"shapes": {"up": "y"}}}, "`datasets.shapes.up` is no option"),
    ({"benchmarks": {"city": {"path": "x"}}}, "`benchmarks.city.path` is no option"),
    # wrong types
    ({"results": 3}, "`results` is 3: it must be text"),
    ({"mine": "city"}, '`mine` is "city": it must be a list'),
    ({"clouds": 3}, "`clouds` is 3: it must be a table of keys and values"),
    ({"clouds": {"sweeps": "many"}}, '`clouds.sweeps` is "many": it must be a whole number'),
    ({"clouds": {"sweeps": True}}, "`clouds.sweeps` is true: it must be a whole number"),
    ({"clouds": {"colors": 1}}, "`clouds.colors` is 1: it must be true or false"),
    ({"views": {"min_side_px": None}}, "`views.min_side_px` is null: it must be a whole number"),
    ({"recipe": {"mixture": {"steps": 0.5}}}, "`recipe.mixture.steps` is 0.5: it must be a list"),
    ({"recipe": {"validation": [3]}}, "`recipe.validation[0]` is 3: it must be a table"),
    ({"runs": {"static": []}}, "`runs.static` is []: it must be a table"),
    ({"datasets": {"city": 3}}, "`datasets.city` is 3: it must be a table with a `format`"),
    # out of range
    ({"clouds": {"sweeps": 0}}, "`clouds.sweeps` is 0: it must be at least 1"),
    ({"views": {"min_visibility": 5}}, "`views.min_visibility` is 5: it must be at least 1 and at most 4"),
    ({"max_fault_fraction": 1.5}, "`max_fault_fraction` is 1.5: it must be at least 0 and at most 1"),
    ({"max_fault_fraction": float("nan")}, "`max_fault_fraction` is NaN: it must be"),
    ({"clouds": {"motion": "linear"}}, '`clouds.motion` is "linear": take one of per_point, interpolate, none'),
    ({"caption": {"timeout_s": 0}}, "`caption.timeout_s` is 0: it must be above 0"),
    ({"caption": {"api_key_env": "a key"}}, '`caption.api_key_env` is "a key": it must be the name of an environment'),
    ({"recipe": {"augmentation": {"scale": [1.2, 0.8]}}}, "`recipe.augmentation.scale` is [1.2, 0.8]: it must be two"),
    ({"recipe": {"optimization": {"learning_rate": -1}}}, "`recipe.optimization.learning_rate` is -1"),
    ({"runs": {"static": {"mixture": {"max_real_ratio": 2}}}}, "`runs.static.mixture.max_real_ratio` is 2"),
    ({"datasets": {"mine": DRIVE | {"lidar_columns": 2}}}, "`datasets.mine.lidar_columns` is 2: it must be at least 3"),
    ({"datasets": {"mine": DRIVE | {"classes": ["car"]}}}, '`datasets.mine.classes` is ["car"]: it must be a table of'),
    ({"datasets": {"mine": DRIVE | {"classes": {"a.b": ""}}}}, '`datasets.mine.classes.a.b` is "": it must be text'),
    ({"max_disagree_fraction": -0.1}, "`max_disagree_fraction` is -0.1: it must be at least 0 and at most 1"),
    ({"datasets": {"city": {"parts": 0}}}, "`datasets.city.parts` is 0: it must be at least 1"),
    ({"datasets": {"city": {"scenes": {"mini_val": 9}}}}, "`datasets.city.scenes.mini_val` is 9"),
    ({"datasets": {"a b": DRIVE}}, '`datasets` is "a b": it must be a name'),
    ({"models": {"ulip2": {"path": "u.pt", "up": "w"}}}, '`models.ulip2.up` is "w": take one of x, y, z'),
    ({"recipe": {"epochs": {"count": -1}}}, "`recipe.epochs.count` is -1: it must be at least 0"),
    *(({"datasets": {name: DRIVE}}, "it must be a name of at most 100 letters") for name in HOSTILE),
    *(({"train": [name]}, "it must be a name of at most 100 letters") for name in HOSTILE),
    *(
        ({"datasets": {"mine": DRIVE | {"splits": [name]}}}, "it must be a name of at most 100 letters")
        for name in HOSTILE
    ),
    *(({"results": path}, f"`results` is {json.dumps(path)}: it must be a path without") for path in PATHS),
    *(({"datasets": {"mine": DRIVE | {"root": path}}}, "`datasets.mine.root` is ") for path in PATHS),
    # missing or unknown things
    ({"models": {"ulip2": {"up": "y"}}}, "`models.ulip2.path` is missing"),
    ({"models": {"ulip2": {"path": "u.pt", "clip": {"model": "ViT-bigG-14"}}}}, "name the weights of ViT-bigG-14"),
    ({"models": {"static": {"path": "u.pt"}}}, "`models` and `runs` both describe static: give the model another name"),
    ({"runs": {"as_it_is": {"epochs": {"count": 0}}}}, "epochs.count is 0, and there are no weights to measure"),
    (
        {"runs": {"as_it_is": {"epochs": {"count": 0}, "initial_weights": "w.pt", "new_projection": True}}},
        "name a whole checkpoint as initial_weights, without new_projection",
    ),
    (
        {"datasets": {"mine": {"format": "nuscenes", "splits": ["val"], "parts": 1, "root": "/d"}}},
        "version` is missing",
    ),
    (
        {"datasets": {"mine": DRIVE | {"splits": []}}},
        "`datasets.mine.splits` is []: it must be a list that is not empty",
    ),
    ({"datasets": {"mine": DRIVE | {"format": "nuscene"}}}, "which is no format: did you mean nuscenes?"),
    ({"datasets": {"mine": DRIVE | {"format": "no.where:READER"}}}, "no.where:READER cannot be imported"),
    ({"datasets": {"mine": DRIVE | {"format": "json:loads"}}}, "is no reader: it needs the method `rows` (drive) or"),
    ({"mine": ["large"]}, "`mine` names large, which `datasets` does not describe"),
    ({"mine": ["shapes"]}, "`mine` names shapes, whose format belongs under `cad`"),
    ({"train": ["curiculum"]}, "`train` names curiculum, which `runs` does not describe"),
    ({"runs": {"static": {"seeds": [0, 1], "seed": 2}}}, "`runs.static` has both `seed` and `seeds`"),
    (
        {"runs": {"static": {"seeds": [0, 1, 0]}}},
        "`runs.static.seeds` is [0, 1, 0]: it must be a list of different",
    ),
    ({"runs": {"static": {"seeds": []}}}, "`runs.static.seeds` is []: it must be a list that is not empty"),
    ({"runs": {"a": {"seeds": [0]}, "a-0": {}}}, "`runs.a.seeds` makes a run a-0, and `runs` describes another"),
    ({"benchmarks": {"city": {"real": True}}}, "`benchmarks.city.real` is true of clouds that the workflow generates"),
    ({"evaluate": ["rood"]}, "`evaluate` names rood, which `benchmarks` does not describe"),
    ({"clip": {"model": "ViT-B-16"}}, "`clip.pretrained` is missing: name the weights of ViT-B-16"),
    ({"clip": {"model": "tiny", "pretrained": "x"}}, "`clip.pretrained` is 'x', and tiny has weights: leave it out"),
    ({"caption": {"backend": "endpoint"}}, "`caption.base_url` is missing"),
    ({"caption": {"backend": "vlm"}}, '`caption.backend` is "vlm": did you mean vllm?'),
]


@pytest.mark.parametrize(("changes", "sentence"), WRONG)
def test_a_wrong_value_is_one_sentence(changes, sentence):
    with pytest.raises(UserError) as told:
        read_config(merged(DEFAULT, changes))
    assert sentence in str(told.value)
    assert "\n" not in str(told.value) and len(str(told.value)) < 3 * 120


@pytest.mark.parametrize(("changes", "sentence"), WRONG[:3:2] + WRONG[-4:-3])
def test_the_run_stops_with_a_few_lines(tmp_path, changes, sentence):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(changes))
    status, printed = run(tmp_path, "mine_triplets", "--dry-run")
    assert status != 0 and sentence in printed
    assert len(printed.strip().splitlines()) <= 6, printed  # but for the sentence, Snakemake's own


@pytest.mark.parametrize("config", [DEFAULT, PAPER])
def test_the_shipped_configs_are_valid_here_and_in_an_editor(config):
    read_config(config)
    jsonschema.validate(config, schema())


def test_the_schema_that_editors_read_is_the_one_of_the_options():
    assert yaml.safe_load(CHECKED_IN.read_text()) == schema(), "blendclip schema --output writes it anew"


def test_the_schema_refuses_what_is_refused_here():
    told = 0
    for changes, _ in WRONG:
        try:
            jsonschema.validate(merged(DEFAULT, changes), schema())
        except jsonschema.ValidationError:
            told += 1
    assert told >= 30, "all but what depends on two places"


def test_every_option_is_described_and_every_table_closed():
    def check(node, path):
        if not isinstance(node, dict):
            return
        for name, child in node.get("properties", {}).items():
            assert child.get("description"), f"{path}.{name} has no description"
            check(child, f"{path}.{name}")
        outside = "pattern" in node.get("properties", {}).get("format", {})
        assert "properties" not in node or outside or node["additionalProperties"] is False, f"{path} takes any key"
        for choice in node.get("anyOf", []):
            check(choice, path)
        for inner in ("items", "additionalProperties"):
            check(node.get(inner), f"{path}.*")

    check(schema(), "config")
    assert schema()["properties"]["recipe"]["properties"]["mixture"]["properties"]["warmup"]["description"]


def test_the_default_config_names_every_table():
    assert DEFAULT.keys() == schema()["properties"].keys()


def test_numbers_may_come_as_text_from_the_command_line():
    config = read_config(merged(DEFAULT, {"clouds": {"sweeps": "3"}, "recipe": {"epochs": {"count": "7"}}}))
    assert config.clouds.sweeps == 3 and config.recipes["curriculum"].epochs.count == 7
    rate = merged(DEFAULT, {"recipe": {"optimization": {"learning_rate": "1e-3"}}})
    assert read_config(rate).recipes["curriculum"].optimization.learning_rate == 0.001


def test_a_run_is_the_recipe_with_its_changes():
    recipes = read_config(DEFAULT).recipes
    assert recipes["ratio_1.5"].mixture.max_real_ratio == 0.015 and recipes["ratio_1.5"].mixture.schedule == "constant"
    assert recipes["curriculum"].mixture.warmup == 0.025 and recipes["curriculum"].mixture.schedule == "linear"
    assert recipes["real_only"].data.synthetic == () and recipes["real_only"].data.max_points == 2048
    assert recipes["curriculum"].clip == "tiny" and recipes["curriculum"].encoder.width == 128


def test_a_run_of_several_seeds_is_a_run_of_each():
    changes = {"runs": {"curriculum": {"seeds": [0, 7]}}, "train": ["curriculum", "static"], "sweep": ["curriculum"]}
    config = read_config(merged(DEFAULT, changes))
    assert config.train == ("curriculum-0", "curriculum-7", "static") and config.sweep == config.train[:2]
    assert "curriculum" not in config.recipes and config.recipes.keys() == config.runs.keys()
    seven, single = config.recipe_of("curriculum-7"), read_config(DEFAULT).recipe_of("curriculum")
    assert seven.seed == 7 and replace(seven, seed=0) == single == config.recipe_of("curriculum-0")


def test_seeds_of_the_recipe_are_those_of_every_run_that_has_none_of_its_own():
    changes = {"recipe": {"seeds": [1, 2]}, "runs": {"static": {"seed": 3}, "curriculum": {"seeds": [4]}}}
    config = read_config(merged(DEFAULT, changes))
    names = {"synthetic_only-1": 1, "synthetic_only-2": 2, "static": 3, "curriculum-4": 4}
    assert {name: config.recipes[name].seed for name in names} == names
    assert config.train == ("synthetic_only-1", "synthetic_only-2", "curriculum-4")
    assert read_config(DEFAULT).train == ("synthetic_only", "curriculum")


@dataclass(frozen=True)
class MoreClouds(CloudOptions):
    """A copy of a dataclass of ours with one more option."""

    max_range_m: Annotated[float, Range(gt=0)] = 80.0
    """Points further from the sensor are left out, in metres."""


def test_an_option_is_one_field():
    described = table_schema(MoreClouds)["properties"]["max_range_m"]
    assert described == {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 80.0,
        "description": "Points further from the sensor are left out, in metres.",
    }
    assert parse(MoreClouds, {}).max_range_m == 80.0 and parse(MoreClouds, {"max_range_m": 5}).max_range_m == 5.0
    with pytest.raises(UserError, match="`clouds.max_range_m` is 0: it must be above 0"):
        parse(MoreClouds, {"max_range_m": 0}, "clouds")
    with pytest.raises(UserError, match="did you mean `max_range_m`"):
        parse(MoreClouds, {"max_range": 3}, "clouds")
    with pytest.raises(UserError, match="`max_range_m` is -1"):
        MoreClouds(max_range_m=-1.0)
    parser = argparse.ArgumentParser()
    add_options(parser, MoreClouds)
    assert "left out, in metres. (default: 80.0)" in " ".join(parser.format_help().split())
    assert options_from(parser.parse_args(["--max-range-m", "20"]), MoreClouds).max_range_m == 20.0
    given = ["--options", '{"max_range_m": 30, "sweeps": 2}', "--sweeps", "4", "--colors"]
    assert options_from(parser.parse_args(given), MoreClouds) == MoreClouds(4, colors=True, max_range_m=30.0)


def test_flags_of_another_format_are_refused():
    parser = argparse.ArgumentParser()
    add_options(parser, CloudOptions, NoOptions)
    with pytest.raises(UserError, match="`sweeps` is no option"):
        options_from(parser.parse_args(["--sweeps", "3"]), NoOptions)


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_options_that_are_no_object_are_told(text):
    parser = argparse.ArgumentParser()
    add_options(parser, CloudOptions)
    with pytest.raises(UserError, match="--options"):
        options_from(parser.parse_args(["--options", text]), CloudOptions)


def test_flags_that_come_late_are_there_when_they_are_needed():
    parser = CommandParser()
    parser.later(lambda: parser.add_argument("--late"))
    assert parser.parse_args(["--late", "x"]).late == "x"


def test_every_sentence_stands_under_its_field():
    assert sentences(CloudOptions)["sweeps"] == "Sweeps of each LiDAR in a cloud, the keyframe's and those before it."
    assert sentences(MoreClouds).keys() == {"sweeps", "motion", "min_points", "colors", "max_range_m"}


def test_reading_a_config_loads_no_torch_and_none_of_the_readers():
    code = (
        "import sys, yaml; from blendclip.config import read_config\n"
        f"read_config(yaml.safe_load(open({str(REPOSITORY / 'config.yaml')!r})))\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "nuscenes", "open3d", "numba", "trimesh", "h5py", "matplotlib"} & set(loaded)
