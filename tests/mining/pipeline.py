"""All stages of mining in a row, without the workflow."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.mining.captions.stage import PartFiles, caption_views
from blendclip.mining.captions.template import TemplateCaptioner
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions, ViewOptions
from blendclip.mining.rules import RULES
from blendclip.mining.summary import summarize
from blendclip.mining.triplets import join_triplets
from blendclip.mining.views import cut_views

PROMPTS = Path(__file__).parents[2] / "prompts"
PROMPT = PROMPTS / "caption" / "template.yaml"
SYNONYMS = PROMPTS / "synonyms.yaml"
SMALL_CROPS = ViewOptions(min_visibility=1, min_side_px=8)  # the test city has small images


@dataclass
class Mined:
    """Tables and summary of one dataset and split, mined as one part."""

    summary: dict
    clouds: pd.DataFrame
    views: pd.DataFrame
    triplets: pd.DataFrame
    rejects: pd.DataFrame
    results: Path


def mine(root, results, split="mini_train", faults=0.2, clouds=None, views=SMALL_CROPS, parts=1):
    """Mine the split of the dataset at root into the folder `results`."""
    write_index(root, DriveOptions("v1.0-mini"), "data", [split], results / "index" / "data")
    index = results / "index" / "data" / f"{split}.parquet"

    def place(stage, part, kind="parquet"):
        return results / stage / "data" / split / f"part-{part:05d}.{kind}"

    for part in range(parts):
        paths = [place(stage, part) for stage in ("clouds", "views", "captions", "triplets")]
        rejects = [place("rejects", part, f"{stage}.parquet") for stage in ("clouds", "views", "captions", "triplets")]
        gather_clouds(index, root, part, parts, paths[0], rejects[0], clouds or CloudOptions(), faults)
        cut_views(index, root, part, parts, paths[1], rejects[1], views, faults)
        statistics = results / "summaries" / "captions" / "data" / split / f"part-{part:05d}.json"
        caption_views([PartFiles(paths[1], paths[2], rejects[2], statistics)], TemplateCaptioner(PROMPT))
        join_triplets(*paths, rejects[3])
    output = results / "summaries" / "triplets" / "data" / f"{split}.json"
    summary = summarize(results, "data", split, parts, output, SYNONYMS)
    tables = {stage: read(results / stage / "data" / split) for stage in ("clouds", "views", "triplets", "rejects")}
    unlisted = [row for row in tables["rejects"].to_dict("records") if not follows(row)]
    assert not unlisted, f"rejects that follow no rule: {unlisted[:3]}"
    return Mined(summary, **tables, results=results)


def follows(reject):
    """Whether a row of rejects is of a listed rule, with one of its sentences."""
    return any(
        reject["stage"] in rule.stages
        and (reject["rule"], reject["kind"]) == (rule.name, rule.kind)
        and any(re.fullmatch(pattern(sentence), reject["reason"], re.DOTALL) for sentence in rule.sentences)
        for rule in RULES
    )


def pattern(sentence):
    """A regular expression for a template with any values."""
    return ".+".join(map(re.escape, re.split(r"{.*?}", sentence)))


def read(folder, pattern="part-*.parquet"):
    """All parts in a folder as one data frame."""
    return pd.concat([pq.read_table(path).to_pandas() for path in sorted(folder.glob(pattern))])
