"""The page's JavaScript: its unit tests under node, and the brush against the same strokes drawn by an independent reference.

`tests/js/strokes.json` holds golden strokes with the digest of their mask; both languages must reach it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from app.canvas import EditorCanvas, Timeline
from engine.segmentation.strokes import draw_strokes
from engine.types import Stroke

ROOT = Path(__file__).resolve().parent.parent
STROKES = json.loads((ROOT / "tests" / "js" / "strokes.json").read_text(encoding="utf-8"))


def brushed(width: int, height: int, strokes: list[dict]) -> np.ndarray:
    """(H, W) uint8: each stroke's polyline swept by its disc, pixel centres at integers, float64."""
    mask = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    for stroke in strokes:
        xy, radius = stroke["xy"], stroke["radius"]
        for (ax, ay), (bx, by) in zip([xy[0], *xy[:-1]], xy, strict=True):
            dx, dy = bx - ax, by - ay
            px, py = x - ax, y - ay
            length = dx * dx + dy * dy
            along = np.clip((px * dx + py * dy) / length, 0.0, 1.0) if length > 0 else np.zeros_like(px)
            ex, ey = px - along * dx, py - along * dy
            mask[ex * ex + ey * ey <= radius * radius] = 255 if stroke["mode"] == "add" else 0
    return mask


@pytest.mark.parametrize("case", STROKES, ids=lambda case: case["name"])
def test_golden_strokes(case: dict) -> None:
    mask = brushed(case["width"], case["height"], case["strokes"])
    strokes = [Stroke(tuple((x, y) for x, y in one["xy"]), one["radius"], one["mode"]) for one in case["strokes"]]
    assert np.array_equal(draw_strokes(np.zeros_like(mask), strokes), mask)
    assert int((mask > 0).sum()) == case["count"]
    assert hashlib.sha256(mask.tobytes()).hexdigest() == case["sha256"]


def test_javascript() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    files = sorted(str(path) for path in (ROOT / "tests" / "js").glob("*.test.mjs"))
    assert files
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_assets_are_modules_that_exist() -> None:
    for path in (ROOT / "assets").glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path.name
        for line in text.splitlines():
            if line.startswith("import ") or line.startswith("} from "):
                name = line.rsplit('"', 2)[1]
                assert (path.parent / name).is_file(), f"{path.name}: {name}"


def test_components_declare_their_events() -> None:
    canvas = EditorCanvas(render=False)
    for name in ("changed", "frame", "run", "carry"):
        assert callable(getattr(canvas, name))
    with pytest.raises(AttributeError):
        _ = canvas.painted
    # A template that mentions the value would be built again on every update and lose the canvas.
    for component in (canvas, Timeline(render=False)):
        assert "value" not in component.html_template and "{" not in component.html_template
