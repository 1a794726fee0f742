import assert from "node:assert/strict";
import test from "node:test";
import * as geometry from "../../assets/geometry.js";

test("the middle of a pixel is an integer, at every scale", () => {
  for (const scale of [0.5, 1, 1.37, 3]) {
    const rect = { left: 13.25, top: -7.5, width: 854 * scale, height: 480 * scale };
    for (const [px, py] of [[0, 0], [853, 479], [400, 33]]) {
      const [x, y] = geometry.clientToSource(rect.left + (px + 0.5) * scale, rect.top + (py + 0.5) * scale, rect, 854, 480);
      assert.ok(Math.abs(x - px) < 1e-9 && Math.abs(y - py) < 1e-9);
      const view = { scale, left: rect.left, top: rect.top };
      assert.deepEqual(geometry.sourceToStage(px, py, view), [rect.left + (px + 0.5) * scale, rect.top + (py + 0.5) * scale]);
    }
  }
});

test("pixelIndex floors to the pixel and stays inside", () => {
  assert.deepEqual([-9, -0.5, 0.49, 0.5, 9.4, 99].map((x) => geometry.pixelIndex(x, 10)), [0, 0, 0, 1, 9, 9]);
});

test("zooming keeps the point under the pointer", () => {
  const view = geometry.fitView(700, 400, 854, 480);
  const before = [(300 - view.left) / view.scale, (120 - view.top) / view.scale];
  const next = geometry.zoomAt(view, 2.5, 300, 120, 0.1, 32);
  assert.ok(Math.abs((300 - next.left) / next.scale - before[0]) < 1e-9);
  assert.ok(Math.abs((120 - next.top) / next.scale - before[1]) < 1e-9);
  assert.equal(geometry.zoomAt(view, 1e6, 0, 0, 0.1, 32).scale, 32);
});

test("panning never loses the picture", () => {
  const far = geometry.keepInside({ scale: 1, left: -5000, top: 5000 }, 700, 400, 854, 480);
  assert.deepEqual([far.left, far.top], [40 - 854, 360]);
});

test("a dragged box covers the pixels it touches, exclusive at the end", () => {
  assert.deepEqual(geometry.boxFromCorners([9.6, 4.4], [2.2, 1.0], 100, 100), [2, 1, 11, 5]);
  assert.deepEqual(geometry.boxFromCorners([-20, -20], [500, 500], 100, 60), [0, 0, 100, 60]);
  assert.equal(geometry.boxFromCorners([5, 5], [5.1, 5.1], 100, 100), null);
});

test("marks are found within reach, the nearest first", () => {
  const points = [[10, 10, 1], [14, 10, -1]];
  assert.equal(geometry.nearestPoint(points, 13, 10, 5), 1);
  assert.equal(geometry.nearestPoint(points, 30, 10, 5), -1);
  assert.deepEqual(geometry.boxHandle([10, 10, 30, 30], 9.5, 20, 2), [-1, 0]);
  assert.deepEqual(geometry.boxHandle([10, 10, 30, 30], 20, 20, 2), [0, 0]);
  assert.equal(geometry.boxHandle([10, 10, 30, 30], 40, 20, 2), null);
});
