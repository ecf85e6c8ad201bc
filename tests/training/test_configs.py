import json
from pathlib import Path

import yaml

from blendclip.cli.main import main
from blendclip.training.recipe import as_recipe, read_recipe

REPOSITORY = Path(__file__).parents[2]


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
