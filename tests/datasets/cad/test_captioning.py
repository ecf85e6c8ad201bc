"""Views of CAD objects go through mining's captions stage as mined ones do."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import trimesh

from blendclip.datasets.cad.writing import CadFiles, CadPart, open_reader, write_cad
from blendclip.datasets.formats import format_named
from blendclip.mining.captions.stage import PartFiles, caption_views
from blendclip.mining.captions.template import TemplateCaptioner
from blendclip.mining.triplets import join_triplets
from blendclip.options import parse

TEMPLATE = Path(__file__).parents[3] / "prompts" / "caption" / "template.yaml"


def test_clouds_and_views_are_captioned_and_joined(tmp_path):
    for name in ("crate", "tile"):
        trimesh.creation.box([1, 2, 3]).export(tmp_path / f"{name}.ply")
    rows = [{"path": f"{name}.ply", "name": name, "up": "z"} for name in ("crate", "tile")]
    (tmp_path / "objects.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = parse(format_named("meshes", "cad").options_class(), {"views": 2, "image_px": 48, "points": 100})
    out = {name: tmp_path / f"{name}.parquet" for name in ("clouds", "views", "rejects", "triplets", "left_out")}
    files = CadFiles(out["views"], out["rejects"], clouds=out["clouds"])
    write_cad(open_reader("meshes", tmp_path, options), CadPart("boxes", "train"), files, options)
    captions = PartFiles(
        out["views"], tmp_path / "captions.parquet", tmp_path / "unsaid.parquet", tmp_path / "cost.json"
    )
    assert caption_views([captions], TemplateCaptioner(TEMPLATE)) == 4
    assert join_triplets(out["clouds"], out["views"], captions.captions, out["triplets"], out["left_out"]) == 2
    found = pq.read_table(out["triplets"]).to_pylist()
    assert [(row["triplet_id"], row["channel"]) for row in found] == [
        ("boxes/crate", "view_00"),
        ("boxes/tile", "view_00"),
    ]
    assert all(row["category"] in row["caption"] and row["caption_model"] == "template" for row in found)
