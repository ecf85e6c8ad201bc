import dataclasses
import json
import typing
from pathlib import Path

import pytest
import yaml

from blendclip.cli.main import main
from blendclip.training.recipe import Recipe, as_recipe, read_recipe

REPOSITORY = Path(__file__).parents[2]


def fields(kind):
    """Names of a dataclass's fields, nested ones as mappings."""
    hints, found = typing.get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        inner = [hints[field.name], *typing.get_args(hints[field.name])]
        nested = [fields(one) for one in inner if dataclasses.is_dataclass(one)]
        found[field.name] = nested[0] if nested else None
    return found


def keys(node):
    """Names of a schema's properties, nested ones as mappings."""
    node = node.get("items", node)
    properties = node.get("properties") or None
    return properties and {name: keys(child) for name, child in properties.items()}


def test_the_schema_of_config_names_the_fields_of_the_recipe():
    schema = yaml.safe_load((REPOSITORY / "workflow" / "schemas" / "config.schema.yaml").read_text())
    described, expected = keys(schema["properties"]["recipe"]), fields(Recipe)
    del (
        expected["clip"],
        expected["encoder"]["out_dim"],
        described["encoder"]["preset"],
    )  # of the key `clip`; of recipes
    assert described == expected


@pytest.mark.parametrize("path", ["config.yaml", "configs/paper.yaml"])
def test_the_runs_of_the_shipped_configs_are_recipes(path):
    config = yaml.safe_load((REPOSITORY / path).read_text())
    for changes in [{}, *config.get("runs", {}).values()]:
        merged = {"clip": "tiny"} | config["recipe"]
        for key, value in changes.items():
            merged[key] = merged[key] | value if isinstance(value, dict) else value
        as_recipe(merged)


def test_the_paper_s_numbers():
    recipe = as_recipe({"clip": "x"} | yaml.safe_load((REPOSITORY / "configs" / "paper.yaml").read_text())["recipe"])
    assert (recipe.encoder.depth, recipe.encoder.width, recipe.encoder.heads, recipe.encoder.max_patches) == (
        12,
        384,
        6,
        512,
    )
    assert (recipe.data.max_points, recipe.batch_size, recipe.epochs.count) == (8192, 8 * 64, 250)
    assert (recipe.mixture.schedule, recipe.mixture.max_real_ratio) == ("linear", 0.3)
    options = recipe.optimization
    assert (options.learning_rate, options.final_learning_rate, options.betas) == (1e-3, 1e-5, (0.9, 0.98))
    assert options.weight_decay == 0.1


def test_the_command_spells_out_defaults_and_reads_them_again(tmp_path):
    path = tmp_path / "recipe.json"
    text = json.dumps({"clip": "tiny", "data": {"synthetic": ["cad/train"]}, "encoder": {"preset": "tiny"}})
    assert main(["recipe", text, "--output", str(path)]) == 0
    written = json.loads(path.read_text())
    assert written["encoder"]["depth"] == 4 and written["augmentation"]["occlusion"]["method"] == "range_image"
    assert read_recipe(path) == as_recipe(json.loads(text))
    again = tmp_path / "again.json"
    assert main(["recipe", str(path), "--output", str(again)]) == 0
    assert again.read_bytes() == path.read_bytes()
