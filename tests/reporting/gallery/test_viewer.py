"""The page in a browser: clouds turn, follow the pointer, and leave the page its wheel."""

from __future__ import annotations

import asyncio

import pytest

from blendclip.reporting.gallery.write_gallery import write_gallery
from tests.reporting.gallery.browser import CHROMIUM, Page, visit
from tests.reporting.gallery.toy import make_results

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

CANVAS = "document.querySelector('.gallery-cloud')"
COLOURED = f"""(() => {{
  const c = {CANVAS}, rgba = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let count = 0;
  for (let i = 0; i < rgba.length; i += 4) {{
    count += Math.max(rgba[i], rgba[i + 1], rgba[i + 2]) - Math.min(rgba[i], rgba[i + 1], rgba[i + 2]) > 60;
  }}
  return count;
}})()"""
PICTURE = f"{CANVAS}.toDataURL()"
NO_WEBGL = """const original = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  return kind === 'webgl' ? null : original.call(this, kind, ...more);
};"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer")
    make_results(folder / "results")
    fragment = write_gallery(folder / "results", ["first", "second"], ["city"], folder)
    head = "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Gallery</title>"
    (folder / "index.html").write_text(
        f"{head}<link rel=icon href='data:,'><section><h2>Gallery</h2>{fragment}</section>"
    )
    return (folder / "index.html").as_uri()


async def pictures(page: Page) -> tuple[str, str]:
    """The first cloud, drawn, and half a second later."""
    await page.until(f"{COLOURED} > 20")
    first = await page.value(PICTURE)
    await asyncio.sleep(0.5)
    return first, await page.value(PICTURE)


async def mouse(page: Page, kind: str, x: float, y: float, **more) -> None:
    button = {} if kind == "mouseWheel" else {"button": "left", "clickCount": 1, "buttons": 1}
    await page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **(button | more))


@pytest.mark.parametrize("first_script", ["", NO_WEBGL], ids=["webgl", "flat"])
def test_clouds_turn_until_stopped(page, tmp_path, first_script):
    async def act(page: Page) -> None:
        first, later = await pictures(page)
        assert first != later
        await page.value("document.querySelector('.gallery-pause').click()")
        await asyncio.sleep(0.3)
        first, later = await pictures(page)
        assert first == later

    assert visit(page, tmp_path, act, first_script=first_script) == []


def test_both_painters_draw_the_same_view(page, tmp_path):
    found = []

    async def act(page: Page) -> None:
        await page.until(f"{COLOURED} > 20")
        box = f"""(() => {{
          const c = {CANVAS}, rgba = c.getContext('2d').getImageData(0, 0, c.width, c.height).data, seen = [];
          for (let i = 0; i < rgba.length; i += 4) {{
            if (Math.max(rgba[i], rgba[i + 1], rgba[i + 2]) - Math.min(rgba[i], rgba[i + 1], rgba[i + 2]) > 60) {{
              seen.push([(i / 4) % c.width, Math.floor(i / 4 / c.width), rgba[i] > rgba[i + 2] ? 1 : 0]);
            }}
          }}
          const mean = (k, of) => of.reduce((sum, one) => sum + one[k], 0) / of.length;
          const red = seen.filter((one) => one[2]), blue = seen.filter((one) => !one[2]);
          return [mean(0, seen), mean(1, seen), mean(1, red), mean(1, blue)];
        }})()"""
        found.append(await page.value(box))

    for name, script in (("webgl", ""), ("flat", NO_WEBGL)):
        assert visit(page, tmp_path / name, act, first_script=script, still=True) == []
    webgl, flat = found
    assert flat == pytest.approx(webgl, abs=4)
    assert webgl[2] < webgl[3]  # what is high is above


def test_reduced_motion_keeps_clouds_still_until_dragged(page, tmp_path):
    async def act(page: Page) -> None:
        first, later = await pictures(page)
        assert first == later
        x, y = await page.value(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({CANVAS}.getBoundingClientRect())"
        )
        await mouse(page, "mousePressed", x, y)
        await mouse(page, "mouseMoved", x + 40, y)
        await mouse(page, "mouseReleased", x + 40, y)
        await page.until(f"{PICTURE} !== {first!r}")
        dragged, later = await pictures(page)
        assert dragged == later
        await page.value(f"{CANVAS}.dispatchEvent(new MouseEvent('dblclick'))")
        await page.until(f"{PICTURE} === {first!r}")

    assert visit(page, tmp_path, act, still=True) == []


def test_the_wheel_is_the_pages_until_a_cloud_is_clicked(page, tmp_path):
    async def act(page: Page) -> None:
        first, _ = await pictures(page)
        x, y = await page.value(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({CANVAS}.getBoundingClientRect())"
        )
        await mouse(page, "mouseWheel", x, y, deltaX=0, deltaY=120)
        await page.until("scrollY > 50")
        assert await page.value(PICTURE) == first
        await page.value("scrollTo(0, 0)")
        await mouse(page, "mousePressed", x, y)
        await mouse(page, "mouseReleased", x, y)
        assert await page.value(f"document.activeElement === {CANVAS}")
        await mouse(page, "mouseWheel", x, y, deltaX=0, deltaY=-120)
        await page.until(f"{PICTURE} !== {first!r}")
        assert await page.value("scrollY") == 0

    assert visit(page, tmp_path, act, still=True) == []


def test_keys_turn_a_focused_cloud(page, tmp_path):
    async def act(page: Page) -> None:
        first, _ = await pictures(page)
        await page.value(f"{CANVAS}.focus()")
        await page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft", code="ArrowLeft")
        await page.until(f"{PICTURE} !== {first!r}")
        await page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight")
        await page.until(f"{PICTURE} === {first!r}")

    assert visit(page, tmp_path, act, still=True) == []


def test_selectors_show_one_run_and_benchmark(page, tmp_path):
    shown = """[...document.querySelectorAll('.gallery-panel')].filter((panel) => panel.offsetHeight)
      .map((panel) => panel.dataset.run + ' ' + panel.dataset.kind)"""
    select_second = """(() => {
      const select = document.querySelector('[name=run]');
      select.value = 'second';
      select.dispatchEvent(new Event('change', {bubbles: true}));
    })()"""

    async def act(page: Page) -> None:
        assert await page.value(shown) == ["first wrong"]
        await page.value("document.querySelector('[value=right]').click()")
        assert await page.value(shown) == ["first right"]
        await page.value(select_second)
        assert await page.value(shown) == ["second right"]
        await page.value("document.querySelector('.gallery-choice').scrollIntoView()")
        drawn = COLOURED.replace(CANVAS, "document.querySelector('.gallery-panel:not([hidden]) .gallery-cloud')")
        await page.until(f"{drawn} > 5")

    assert visit(page, tmp_path, act) == []


def test_a_phone_needs_no_sideways_scrolling(page, tmp_path):
    async def act(page: Page) -> None:
        await page.until(f"{COLOURED} > 20")
        assert await page.value("document.documentElement.scrollWidth <= innerWidth")

    assert visit(page, tmp_path, act, width=390) == []


def test_a_missing_script_is_told_in_its_card(page, tmp_path):
    async def act(page: Page) -> None:
        await page.until("document.body.textContent.includes('gallery/clouds/77.js is missing')")

    spoil = """new MutationObserver(() => {
      const canvas = document.querySelector('.gallery-cloud');
      if (canvas) canvas.dataset.script = '77';
    }).observe(document, {childList: true, subtree: true});"""
    complaints = visit(page, tmp_path, act, first_script=spoil)
    assert all("ERR_FILE_NOT_FOUND" in complaint for complaint in complaints)
