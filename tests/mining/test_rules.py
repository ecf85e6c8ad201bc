"""The list of reasons to reject is complete, and what mining writes keeps to it."""

from pathlib import Path

import pytest
import yaml

from blendclip.datasets.cad import rules as cad_rules
from blendclip.mining import rules
from blendclip.rejects import Rejects, Rule
from tests.mining.pipeline import follows

REPOSITORY = Path(__file__).parents[2]
EVERYONE = {"dataset": "d", "split": "s", "scene": "a", "annotation_token": "t", "category": "c"}


@pytest.mark.parametrize("module", [rules, cad_rules], ids=["mining", "cad"])
def test_every_rule_is_listed_once(module):
    defined = [value for value in vars(module).values() if isinstance(value, Rule)]
    assert sorted(map(str, defined)) == sorted(map(str, module.RULES))
    assert len({(stage, rule.name) for rule in module.RULES for stage in rule.stages}) == sum(
        len(rule.stages) for rule in module.RULES
    )


@pytest.mark.parametrize("module", [rules, cad_rules], ids=["mining", "cad"])
def test_every_sentence_belongs_to_a_rule(module):
    listed = {sentence for rule in module.RULES for sentence in rule.sentences}
    constants = {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    assert constants <= listed


def test_keys_are_keys_of_the_config():
    schema = yaml.safe_load((REPOSITORY / "workflow" / "schemas" / "config.schema.yaml").read_text())
    for rule in rules.RULES + cad_rules.RULES:
        if rule.key:
            section, key = rule.key.split(".")
            assert key in schema["properties"][section]["properties"], rule.key


def test_what_a_key_decides_names_it_in_its_sentence():
    for rule in rules.RULES:
        if rule.key and rule.kind == "filtered":
            assert rule.key.split(".")[1] in rule.sentences[0]


def test_a_rule_of_another_stage_is_a_mistake():
    rejects = Rejects("views")
    rejects.add(EVERYONE, rules.NO_IMAGE, rules.NO_IMAGE.reason())
    (row,) = rejects.rows
    assert row == EVERYONE | {
        "stage": "views",
        "kind": "fault",
        "rule": "no_image",
        "reason": "its keyframe has no camera image",
        "path": None,
    }
    with pytest.raises(AssertionError, match="min_points is no rule of stage views"):
        rejects.add(EVERYONE, rules.MIN_POINTS, "")


def test_the_check_of_rejects_fails_for_what_no_rule_says():
    row = {"stage": "clouds", "kind": "filtered", "rule": "min_points"}
    assert follows(row | {"reason": "7 LiDAR points in its box over 3 sweeps; min_points is 20"})
    assert not follows(row | {"reason": "7 LiDAR points in its box"})
    assert not follows(row | {"stage": "views", "reason": "7 LiDAR points in its box over 3 sweeps; min_points is 20"})
    assert not follows(row | {"kind": "fault", "reason": "7 LiDAR points in its box over 3 sweeps; min_points is 20"})
