"""A headless Chromium with one page, driven over its debugging protocol."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless --no-sandbox --no-first-run --disable-quic --disable-background-networking --disable-component-update "
    "--disable-sync --enable-unsafe-swiftshader --remote-debugging-port=0"
).split()


class Page:
    """An open page; `complaints` are its errors, warnings and uncaught exceptions."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=60)
            self._note(message)
            if message.get("id") == self._calls:
                assert "error" not in message, message
                return message["result"]

    async def value(self, expression: str) -> Any:
        """Of a JavaScript expression, awaited."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        for _ in range(150):
            if await self.value(expression):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never came true: {expression}; the page says {self.complaints}")

    async def screenshot(self, path: Path, **clip: float) -> None:
        more = {"clip": {"x": 0, "y": 0, "scale": 1} | clip, "captureBeyondViewport": True} if clip else {}
        path.write_bytes(base64.b64decode((await self.call("Page.captureScreenshot", **more))["data"]))

    def _note(self, message: dict[str, Any]) -> None:
        about = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"]))
        if message.get("method") == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning"):
            self.complaints.append(str(about["args"]))
        if message.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.complaints.append(about["entry"]["text"])


def visit(
    url: str,
    profile: Path,
    act: Callable[[Page], Awaitable[None]],
    width: int = 1280,
    height: int = 900,
    first_script: str = "",
    still: bool = False,
) -> list[str]:
    """Open a page, let `act` use it, and return what the page complained of.

    Args:
        url: to open.
        profile: an empty folder for the browser.
        act: what to do with the loaded page.
        width: of the window, CSS pixels.
        height: of the window, CSS pixels.
        first_script: run before the page's own.
        still: whether the visitor prefers reduced motion.
    """
    return asyncio.run(_visit(url, profile, act, (width, height), first_script, still))


async def _visit(
    url: str,
    profile: Path,
    act: Callable[[Page], Awaitable[None]],
    size: tuple[int, int],
    first_script: str,
    still: bool,
) -> list[str]:
    window = f"--window-size={size[0]},{size[1]}"
    quiet = asyncio.subprocess.DEVNULL
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM, *_FLAGS, window, f"--user-data-dir={profile}", "about:blank", stdout=quiet, stderr=quiet
    )
    try:
        port = await _port(profile)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
                target = next(target for target in await reply.json() if target["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                motion = {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"}
                await page.call("Emulation.setEmulatedMedia", features=[motion])
                metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
                await page.call("Emulation.setDeviceMetricsOverride", **metrics)
                await page.call("Page.addScriptToEvaluateOnNewDocument", source=first_script)
                await page.call("Page.navigate", url=url)
                await page.until("location.href !== 'about:blank' && document.readyState === 'complete'")
                await act(page)
                return page.complaints
    finally:
        browser.terminate()
        await browser.wait()


async def _port(profile: Path) -> int:
    for _ in range(300):
        if (profile / "DevToolsActivePort").is_file() and (
            lines := (profile / "DevToolsActivePort").read_text().split()
        ):
            return int(lines[0])
        await asyncio.sleep(0.1)
    raise AssertionError("Chromium did not start")
