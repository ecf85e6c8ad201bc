"""The page of a sweep's named boxes: what it holds, and in a browser that it draws, sorts, filters and marks."""

import base64
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from blendclip.cli.main import main
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.mining.scene import read_scene
from blendclip.naming.page.writing import write_sample_page
from tests.models import small_model
from tests.naming.test_boxes import by_sample, detections, written
from tests.reporting.gallery.browser import CHROMIUM, Page, visit

BOXES = [[0, 8, 0, 4, 2, 2, 0.5], [5, -5, 0, 3, 3, 2, 0], [90, 0, 0, 4, 2, 2, 0], [-9, 0, 0, 2, 2, 2, 1]]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a sweep of 9,000 points with four boxes, one of them empty."""
    folder = tmp_path_factory.mktemp("page")
    small_model().save(folder / "mine")
    sweep = np.random.default_rng(0).uniform([-12, -12, -2, 0, 0], [12, 12, 1, 255, 31], (9000, 5))
    sweep.astype(np.float32).tofile(folder / "sweep.pcd.bin")
    lines = ["x,y,z,length,width,height,yaw", *(",".join(map(str, box)) for box in BOXES)]
    (folder / "boxes.csv").write_text("\n".join(lines))
    arguments = [f"--boxes={folder / 'boxes.csv'}", f"--model={folder / 'mine'}", "--classes=nuscenes", "--device=cpu"]
    outputs = [f"--output={folder / 'names.parquet'}", f"--html={folder / 'page.html'}"]
    assert main(["name", str(folder / "sweep.pcd.bin"), *arguments, *outputs]) == 0
    return folder / "page.html"


def scene_of(page):
    text = (page.with_name("page_files") / "scene.js").read_text()
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


def test_the_page_holds_every_box_with_its_corners_and_its_name(page):
    scene, rows = scene_of(page), pq.read_table(page.with_name("names.parquet")).to_pylist()
    assert [box["name"] for box in scene["boxes"]] == [row["name"] or "" for row in rows] and len(rows) == 4
    corners = np.array(scene["boxes"][1]["corners"])
    assert corners.min(axis=0).tolist() == [3.5, -6.5, -1] and corners.max(axis=0).tolist() == [6.5, -3.5, 1]
    assert len(base64.b64decode(scene["sweep"]["points"])) == 9000 * 6
    html = page.read_text()
    assert html.count('class="gallery-card naming-row"') == 4 and "no name: no point of any sweep" in html
    assert not re.search(r"https?://", html)


def test_a_sample_of_an_index_is_shown_about_the_vehicle(city_root, tmp_path):
    write_index(city_root, DriveOptions("v1.0-mini"), "city", ["mini_train"], tmp_path)
    scene = read_scene(tmp_path / "mini_train.parquet")
    model = small_model()
    model.save(tmp_path / "mine")
    results = written(tmp_path, by_sample(detections(scene)))
    arguments = [f"--model={tmp_path / 'mine'}", "--classes=city", "--device=cpu", "--sweeps=2", f"--root={city_root}"]
    arguments += [f"--index={tmp_path / 'mini_train.parquet'}", f"--boxes={results}"]
    assert main(["name", *arguments, f"--output={tmp_path / 'n.parquet'}", f"--html={tmp_path / 'page.html'}"]) == 0
    rows = pq.read_table(tmp_path / "n.parquet").to_pylist()
    first = [row for row in rows if row["sample_token"] == rows[0]["sample_token"]]
    shown = scene_of(tmp_path / "page.html")["boxes"]
    assert len(shown) == len(first) < len(rows)
    keyframe = scene.sample_token.tolist().index(rows[0]["sample_token"])
    middle = np.mean(shown[0]["corners"], axis=0)
    np.testing.assert_allclose(middle, first[0]["translation"] - scene.global_SE3_ego[keyframe, :, 3], atol=2e-3)
    # Points lie in the boxes that the page draws: sweep and boxes are in one frame.
    with_points = [int(count) for count in re.findall(r'data-points="(\d+)"', (tmp_path / "page.html").read_text())]
    assert sum(count > 0 for count in with_points) > len(with_points) / 2
    index, output = tmp_path / "mini_train.parquet", tmp_path / "again.html"
    assert write_sample_page(index, city_root, tmp_path / "n.parquet", output) == rows[0]["sample_token"]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_draws_sorts_filters_and_marks(page, tmp_path):
    pixels = """(number) => {
      const c = document.querySelectorAll('.naming-view')[number];
      const rgba = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      let points = 0, boxes = 0, marked = 0;
      for (let i = 0; i < rgba.length; i += 4) {
        boxes += rgba[i] === 0x7f && rgba[i + 1] === 0xd6 && rgba[i + 2] === 0xff;
        marked += rgba[i] === 0xff && rgba[i + 1] === 0xd5 && rgba[i + 2] === 0x4a;
        points += rgba[i] + rgba[i + 1] + rgba[i + 2] > 150;
      }
      return [points, boxes, marked];
    }"""
    order = "[...document.querySelectorAll('.naming-row:not([hidden])')].map((row) => Number(row.dataset.score))"

    async def act(page: Page) -> None:
        await page.until(f"({pixels})(0)[0] > 500")
        for number in (0, 1):
            points, boxes, marked = await page.value(f"({pixels})({number})")
            assert points > 500 and boxes > 50 and marked == 0
        scores = await page.value(order)
        assert len(scores) == 4 and scores == sorted(scores, reverse=True)
        await page.value("document.querySelector('.naming-row').click()")
        await page.until(f"({pixels})(0)[2] > 10")
        set_least = f"document.querySelector('[name=score]').value = {scores[1]}"
        await page.value(f"{set_least}; document.querySelector('.naming-choice').dispatchEvent(new Event('input'))")
        kept = await page.value(order)
        assert kept == [score for score in scores if score >= scores[1]] and len(kept) < 4
        assert (await page.value("document.querySelector('.naming-count').textContent")).endswith("of 4 boxes")
        await page.value("document.querySelector('[name=order]').value = 'score'")
        await page.value("document.querySelector('.naming-choice').dispatchEvent(new Event('input'))")
        assert await page.value(order) == sorted(kept)

    assert visit(page.as_uri(), tmp_path, act) == []
