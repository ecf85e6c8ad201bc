"""Captioning within the workflow: by a stub, and by vLLM itself where its environment is there."""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.mining.captions.stub import ROOT, Behaviour, answered, fake_python, records, running, sentence
from tests.mining.pipeline import read
from tests.real import recording

pytestmark = pytest.mark.slow

LOG = "from-part-00000.vllm.log"
VIEWS = {"min_visibility": 1, "whole_box": True, "min_side_px": 8, "jpeg_quality": 95}
# Versions of torch and its companions may differ in an environment without a GPU; captioning needs none of these.
SITE = """import sys
sys.modules["torchaudio"] = sys.modules["torchcodec"] = None
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def dataset(root, parts):
    return {"format": "nuscenes", "root": str(root), "version": "v1.0-mini", "splits": ["mini_train"], "parts": parts}


def mine(folder, datasets, cores=2, target=None, **caption):
    """Run the workflow in a folder of its own, up to the summaries or a target; returns the finished process."""
    targets = [target] if target else [f"results/summaries/triplets/{name}/mini_train.json" for name in datasets]
    folder.mkdir(exist_ok=True)
    config = {"mine": list(datasets), "datasets": datasets, "views": VIEWS, "caption": caption}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "workflow" / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "config.yaml")]
    command += ["--cores", str(cores), "--printshellcmds", *targets]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "VLLM_CPU_KVCACHE_SPACE": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)


def urls(views):
    return ["data:image/jpeg;base64," + base64.b64encode(image["bytes"]).decode() for image in views["image"]]


def written(folder):
    """The bytes of all captions and their rejects."""
    return {
        path.name: path.read_bytes()
        for stage in ("captions", "rejects")
        for path in (folder / "results" / stage).rglob("*.parquet")
        if stage == "captions" or ".captions." in path.name
    }


@pytest.fixture(scope="module")
def mined(city_root, tmp_path_factory):
    """The city mined with captions of a stub that is already up, and what the stub was asked."""
    folder = tmp_path_factory.mktemp("endpoint")
    record = folder / "record"
    with running(Behaviour(record=str(record), fault_share=0.05, latency_s=0.005)) as url:
        # Some faults hang: a short time limit keeps the test short.
        server = {"backend": "endpoint", "base_url": url, "model": "stub", "timeout_s": 2}
        done = mine(folder, {"city": dataset(city_root, 2)}, target="mine_triplets", **server)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, record, done


def test_every_triplet_has_what_the_server_said_about_its_crop(mined):
    folder, record, _ = mined
    views = read(folder / "results" / "views" / "city" / "mini_train")
    captions = read(folder / "results" / "captions" / "city" / "mini_train")
    assert dict(zip(captions["view_id"], captions["caption"], strict=True)) == dict(
        zip(views["view_id"], map(sentence, urls(views)), strict=True)
    )
    asked = answered(record)
    assert sorted(asked) == sorted(set(urls(views))) and len(asked) > 20
    triplets = read(folder / "results" / "triplets" / "city" / "mini_train")
    assert len(triplets) and triplets["caption"].tolist() == [sentence(url) for url in urls(triplets)]


def test_no_request_names_a_category_of_the_dataset(mined, city_root):
    _, record, _ = mined
    categories = {row["name"] for row in json.loads((city_root / "v1.0-mini" / "category.json").read_text())}
    words = categories | {word for name in categories for word in name.replace("_", ".").split(".")} - {"object"}
    assert {"car", "vehicle.car", "pedestrian"} <= words
    requests = [json.loads(row["request"]) for row in records(record) if "request" in row]
    for request in requests:
        request["messages"][-1]["content"][0].pop("image_url")
        assert not [word for word in words if word in json.dumps(request).lower()]


def test_the_summary_tells_of_the_captions(mined):
    folder, record, done = mined
    summary = json.loads((folder / "results" / "summaries" / "triplets" / "city" / "mini_train.json").read_text())
    found = summary["captioning"]
    assert found["captions"] == summary["views"]
    assert found["requests"] == len(answered(record))
    assert found["prompt_tokens"] == 300 * found["requests"]
    assert found["completion_tokens"] == 5 * found["requests"]
    assert found["words"]["median"] == found["tokens"]["median"] == 5
    assert found["share_naming_class"] == 0  # the stub knows no class
    assert found["openings"] == [{"words": "a thing of", "share": 1.0}]
    assert found["answers_per_s"] > 0
    assert "a thing of" in done.stdout and "per second" in done.stdout


def test_another_backend_and_number_of_cores_write_the_same_bytes(mined, city_root, tmp_path):
    folder, *_ = mined
    caption = {"backend": "vllm", "model": "stub", "vllm": {"python": fake_python(tmp_path, Behaviour())}}
    done = mine(tmp_path / "run", {"city": dataset(city_root, 2)}, cores=1, **caption)
    assert done.returncode == 0, done.stdout + done.stderr
    assert written(tmp_path / "run") == written(folder)
    assert (tmp_path / "run" / "results" / "logs" / "captions" / "city" / "mini_train" / LOG).exists()


def test_a_lost_output_is_written_again_without_a_request_and_a_moved_server_reruns_nothing(mined, city_root):
    folder, *_ = mined
    before = written(folder)
    elsewhere = {"backend": "endpoint", "model": "stub", "timeout_s": 9, "base_url": "http://127.0.0.1:9/v1"}
    done = mine(folder, {"city": dataset(city_root, 2)}, **elsewhere)
    assert done.returncode == 0 and "caption_views" not in done.stdout + done.stderr
    for stage in ("captions", "triplets", "summaries"):
        shutil.rmtree(folder / "results" / stage)
    done = mine(folder, {"city": dataset(city_root, 2)}, **elsewhere)  # where there is no server
    assert done.returncode == 0 and "caption_views" in done.stdout + done.stderr, done.stderr
    assert written(folder) == before


def test_mistakes_in_the_configuration_are_named_before_anything_runs(city_root, tmp_path):
    datasets = {"city": dataset(city_root, 2)}
    for caption, words in [
        ({"backend": "gpt"}, "gpt"),
        ({"backend": "endpoint"}, "base_url"),
        ({"backend": "vllm", "vllm": {"gpus": 2}}, "gpus"),
        ({"backend": "template", "max_views": 2}, "max_views"),
    ]:
        done = mine(tmp_path / "run", datasets, **caption)
        assert done.returncode == 1 and words in done.stderr, done.stderr
    assert not (tmp_path / "run" / "results").exists()


@pytest.fixture(scope="module")
def vllm_python(tmp_path_factory):
    """An interpreter with vLLM."""
    python = os.environ.get("BLENDCLIP_VLLM_PYTHON")
    if not python:
        pytest.skip("BLENDCLIP_VLLM_PYTHON names no interpreter with vLLM: make one with `blendclip vllm-env --cpu`")
    folder = tmp_path_factory.mktemp("vllm")
    (folder / "sitecustomize.py").write_text(SITE)
    wrapper = folder / "python"
    wrapper.write_text(f'#!/bin/sh\nexport PYTHONPATH={folder}\nexec {python} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


@pytest.fixture(scope="module")
def gemma(vllm_python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    script = Path(__file__).with_name("tiny_gemma.py")
    subprocess.run([vllm_python, script, folder], check=True, capture_output=True)
    return folder


def by_vllm(folder, datasets, vllm_python, gemma):
    arguments = ["--dtype", "bfloat16", "--enforce-eager", "--gpu-memory-utilization", "0.2"]
    vllm = {"python": str(vllm_python), "arguments": arguments, "start_timeout_s": 400}
    done = mine(folder, datasets, backend="vllm", model=str(gemma), max_in_flight=64, vllm=vllm)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in datasets:
        views = read(folder / "results" / "views" / name / "mini_train")
        captions = read(folder / "results" / "captions" / name / "mini_train")
        assert captions["view_id"].tolist() == views["view_id"].tolist()
        assert set(captions["caption_model"]) == {str(gemma)}
        assert captions["caption_tokens"].between(1, 77).all()
        assert captions["caption"].str.contains("is grey.", regex=False).all()
        assert captions["caption"].nunique() > 1  # it looks at the picture
    leftovers = subprocess.run(["pgrep", "-f", str(gemma)], capture_output=True, text=True)
    assert leftovers.stdout == ""


def test_vllm_captions_the_city_and_a_real_frame_through_the_whole_workflow(city_root, vllm_python, gemma, tmp_path):
    by_vllm(tmp_path / "city", {"city": dataset(city_root, 2)}, vllm_python, gemma)
    root, _ = recording("nuscenes_frame")
    by_vllm(tmp_path / "frame", {"frame": dataset(root, 1)}, vllm_python, gemma)
    assert len(read(tmp_path / "frame" / "results" / "triplets" / "frame" / "mini_train")) > 20
