"""Views to caption and ways to do it."""

import hashlib
import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from blendclip import schemas, storage
from blendclip.mining.captions.client import ClientOptions
from blendclip.mining.captions.model import ModelCaptioner
from blendclip.mining.captions.prompts import ChatPrompt
from blendclip.mining.captions.servers import EndpointServer
from blendclip.mining.captions.stage import PartFiles, caption_views
from tests.mining.pipeline import PROMPTS

PROMPT = PROMPTS / "caption" / "object.yaml"
QUICK = ClientOptions(max_in_flight=16, timeout_s=0.4, first_pause_s=0.01, longest_pause_s=0.05, max_attempts=10)
CATEGORIES = [("vehicle.car", "car"), ("human.pedestrian.adult", "pedestrian"), ("static_object.bicycle_rack", None)]


def jpeg(number, size=(64, 48)):
    """A picture of its own for each number."""
    noise = np.random.default_rng(number).integers(0, 255, (6, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize(size).save(buffer, "JPEG")
    return buffer.getvalue()


def view(number, picture=None, instance=None, timestamp_us=None, channel="CAM_FRONT"):
    token = hashlib.sha256(str(number).encode()).hexdigest()[:16]
    category, class_name = CATEGORIES[number % len(CATEGORIES)]
    who = {name: f"{name}0" for name in ("dataset", "split", "scene", "sample_token")}
    return who | {
        "view_id": f"dataset0/{token}/{channel}",
        "instance_token": instance or f"instance{number % 5}",
        "annotation_token": token,
        "timestamp_us": number * 500_000 if timestamp_us is None else timestamp_us,
        "category": category,
        "class_name": class_name,
        "channel": channel,
        "image": {"bytes": jpeg(number if picture is None else picture), "path": f"{token}-{channel}.jpg"},
        "crop_xyxy_px": [0.0, 0.0, 64.0, 48.0],
        "covered_fraction": 0.0,
        "attributes": ["vehicle.parked"],
        "size_lwh_m": [4.0, 2.0, 1.5],
        "camera_distance_m": 20.0,
        "camera_azimuth_rad": 0.0,
    }


def write_views(path, rows, row_group=50):
    tables = [
        storage.table_of(rows[start : start + row_group], schemas.VIEWS) for start in range(0, len(rows), row_group)
    ]
    storage.write_parquet(path, schemas.VIEWS, tables, storage.metadata("views", {}))
    return path


def part(folder, number, rows):
    name = f"part-{number:05d}.parquet"
    views = write_views(folder / "views" / name, rows)
    rejects = folder / "rejects" / f"part-{number:05d}.captions.parquet"
    captions = folder / "captions" / name
    return PartFiles(views, captions, rejects, captions.with_suffix(".json"))


def caption(parts, url, cache, client=QUICK, model="stub", prompt=PROMPT, **options):
    """Caption parts through the server at `url`."""
    captioner = ModelCaptioner(model, ChatPrompt.read(prompt), lambda: EndpointServer(url), cache, client)
    return caption_views(parts, captioner, **options)


def rows_of(path):
    return pq.read_table(path).to_pylist()


@pytest.fixture
def two_parts(tmp_path):
    """150 and 40 views, of which ten show the same picture as ten others."""
    first = [view(number) for number in range(150)]
    second = [view(200 + number, picture=number if number < 10 else None) for number in range(40)]
    return [part(tmp_path, 0, first), part(tmp_path, 1, second)]
