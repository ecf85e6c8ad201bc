import json
from dataclasses import asdict, replace

import pytest

from blendclip.cli.main import main
from blendclip.encoders.clip_names import ClipOptions
from blendclip.errors import UserError
from blendclip.training.recipe import as_recipe, read_recipe
from tests.training import toy

VALIDATION = {"split": "road/val", "classes": "toys", "templates": "plain"}


def test_what_is_not_given_is_filled_in_and_lists_and_whole_numbers_will_do():
    recipe = toy.toy_recipe(optimization__learning_rate=1, augmentation__scale=[1, 2])
    assert recipe.data.synthetic == ("cad/train",) and recipe.splits() == ["cad/train", "road/train"]
    assert recipe.optimization.learning_rate == 1.0 and recipe.augmentation.scale == (1.0, 2.0)
    assert (recipe.encoder.depth, recipe.encoder.heads, recipe.encoder.drop_path) == (2, 2, 0.0), "changes of a preset"
    assert recipe.optimization.betas == (0.9, 0.98) and recipe.micro_batches == 1
    assert recipe.validation[0].split == "road/val"


def test_decisive_is_all_but_what_is_watched():
    recipe = toy.toy_recipe()
    watched = replace(recipe, validation=(), validate_every=3, log_every=7, checkpoint_every=9, trackers=("wandb",))
    assert recipe.decisive() == watched.decisive() == json.loads(json.dumps(recipe.decisive()))
    assert replace(recipe, seed=1).decisive() != recipe.decisive()
    watching = {"validation", "validate_every", "log_every", "checkpoint_every", "trackers"}
    assert {*asdict(recipe)} - {*recipe.decisive()} == watching | {"clip_options"}
    told = replace(recipe, clip_options=ClipOptions("tiny"))
    assert told.decisive() == recipe.decisive(), "runs whose recipe only names the CLIP are not trained again"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data__sinthetic": ["a/b"]}, "`recipe.data.sinthetic` is no option: did you mean `synthetic`?"),
        ({"data__synthetic": "cad/train"}, '`recipe.data.synthetic` is "cad/train": it must be a list'),
        ({"data__real": ["road"]}, '`recipe.data.real[0]` is "road": it must be dataset/split'),
        ({"data__real": ["road/a/b"]}, '`recipe.data.real[0]` is "road/a/b": it must be dataset/split'),
        ({"data": {}}, "data names no split"),
        ({"data__views": "any"}, '`recipe.data.views` is "any": take one of random, own'),
        ({"data__min_points": 0}, "`recipe.data.min_points` is 0: it must be at least 1"),
        ({"data__weights": {"cad/test": 1.0}}, "data.weights names cad/test"),
        ({"batch_size": "8"}, '`recipe.batch_size` is "8": it must be a whole number'),
        ({"batch_size": 1}, "`recipe.batch_size` is 1: it must be at least 2"),
        ({"batch_size": 8, "micro_batches": 8}, "make it at least 16"),
        ({"log_every": 0}, "`recipe.log_every` is 0: it must be at least 1"),
        ({"trackers": ["wandbb"]}, '`recipe.trackers[0]` is "wandbb": did you mean wandb?'),
        ({"trackers": ["mlflow", "tensorboard", "mlflow"]}, "trackers names mlflow twice: name it once"),
        ({"validate_every": -1}, "`recipe.validate_every` is -1: it must be at least 0"),
        ({"same_caption": 2}, "`recipe.same_caption` is 2: it must be above -1 and at most 1"),
        ({"optimization__betas": [0.9]}, "`recipe.optimization.betas` is [0.9]: it must be a list of 2"),
        (
            {"optimization__betas": [0.9, 1.0]},
            "`recipe.optimization.betas[1]` is 1.0: it must be at least 0 and below 1",
        ),
        (
            {"optimization__learning_rate": float("nan")},
            "`recipe.optimization.learning_rate` is NaN: it must be above 0",
        ),
        ({"optimization__final_learning_rate": 1.0}, "optimization.final_learning_rate must lie between"),
        ({"epochs__coverage": 2.0}, "`recipe.epochs.coverage` is 2.0: it must be above 0 and at most 1"),
        ({"epochs__coverage": 1.0, "epochs__rule": "coupon_collector"}, "epochs.coverage 1.0 with epochs.rule"),
        ({"epochs__warmup": 9}, "epochs.warmup is 9: it must be below epochs.count"),
        ({"encoder": 3}, "`recipe.encoder` is 3: it must be a table of keys and values"),
        ({"encoder__preset": ["x"]}, "`recipe.encoder.preset` is"),
        ({"encoder__heads": 5}, "not a multiple of its heads, 5"),
        ({"mixture__steps": 0.5}, "`recipe.mixture.steps` is 0.5: it must be a list"),
        ({"validation": [{"split": "a/b"}]}, "`recipe.validation[0].classes` is missing: set it"),
        ({"validation": [VALIDATION, VALIDATION]}, "validation names road/val twice"),
        (
            {"validation": [VALIDATION | {"max_clouds": -1}]},
            "`recipe.validation[0].max_clouds` is -1: it must be at least 0",
        ),
    ],
)
def test_a_wrong_value_is_named(changes, sentence):
    with pytest.raises(UserError) as told:
        toy.toy_recipe(**changes)
    assert sentence in str(told.value)


def test_no_table_is_no_recipe():
    with pytest.raises(UserError, match="it must be a table of keys and values"):
        as_recipe([])


def test_the_command_spells_out_every_default(tmp_path, capsys):
    path = tmp_path / "recipe.json"
    assert main(["recipe", json.dumps(toy.RECIPE), "--output", str(path)]) == 0
    assert read_recipe(path) == toy.toy_recipe()
    assert json.loads(path.read_text())["optimization"]["betas"] == [0.9, 0.98]
    before = path.read_bytes()
    assert main(["recipe", str(path), "--output", str(path)]) == 0 and path.read_bytes() == before
    for text, sentence in (
        ("{", "the recipe is no readable JSON"),
        ("/nowhere.json", "there is no recipe /nowhere.json"),
    ):
        assert main(["recipe", text, "--output", str(tmp_path / "x.json")]) == 1
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()
