"""What the end-to-end tests do with the page: seek, read pixels, click on the picture, wait for jobs."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from tests.bench.editor import EditorServer
from tests.media_fixtures import CELL

HEIGHT, WIDTH, FRAMES = 240, 384, 36
PIXELS = """([x, y, w, h]) => {
  const canvas = document.querySelector('.al-picture');
  return Array.from(canvas.getContext('2d').getImageData(x, y, w, h).data);
}"""


def opened(page: Any) -> None:
    """Waits until the canvas shows a project and the clip is prepared."""
    page.wait_for_selector(".al-editor[data-ready='1']", timeout=120_000)
    page.wait_for_function("window.anchorline.view.pack.complete", timeout=120_000)


def view(page: Any) -> dict[str, Any]:
    page.evaluate("window.anchorline.settled()")
    return page.evaluate("window.anchorline.refresh().then(() => window.anchorline.view)")


def seek(page: Any, frame: int) -> None:
    page.evaluate("(frame) => window.anchorline.seek(frame)", frame)
    page.wait_for_selector(f".al-editor[data-frame='{frame}']")


def barcode(page: Any) -> int:
    """The frame number in the pixels that the canvas shows."""
    data = np.array(page.evaluate(PIXELS, [0, 0, 18 * CELL, 3 * CELL]), np.uint8).reshape(3 * CELL, 18 * CELL, 4)
    bits = data[CELL + CELL // 2, CELL + CELL // 2 : 17 * CELL : CELL, 0] > 127
    return int(sum(1 << i for i, bit in enumerate(bits) if bit))


def at(page: Any, x: float, y: float) -> tuple[float, float]:
    """Window coordinates of a source pixel."""
    box = page.locator(".al-marks").bounding_box()
    return box["x"] + (x + 0.5) * box["width"] / WIDTH, box["y"] + (y + 0.5) * box["height"] / HEIGHT


def disc(frame: int) -> tuple[int, int]:
    return int(WIDTH * (0.2 + 0.6 * (frame % 40) / 40)), int(HEIGHT * 0.65)


def stored(server: EditorServer, key: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(server.get(f"/api/projects/{server.project}/object/{key}.png"))))


def wait_job(page: Any, kind: str, state: str, within: float = 120.0) -> None:
    page.wait_for_selector(f"#job .al-job[data-kind='{kind}'][data-state='{state}']", timeout=within * 1000)


def open_tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()
