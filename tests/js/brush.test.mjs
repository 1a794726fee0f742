import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import test from "node:test";
import { paintStroke } from "../../assets/brush.js";
import { LocalMask, maskKeyAt } from "../../assets/masks.js";

const golden = JSON.parse(readFileSync(new URL("strokes.json", import.meta.url), "utf8"));

test("a disc of radius 1 is a plus", () => {
  const mask = new Uint8Array(25);
  assert.deepEqual(paintStroke(mask, 5, 5, [[2, 2]], 1, 255), [1, 1, 4, 4]);
  assert.deepEqual([...mask].map((v) => (v ? 1 : 0)).join(""), "0000000100011100010000000");
});

test("painting piece by piece is painting at once", () => {
  const points = [[3.25, 4.5], [40.125, 9], [22, 30.75], [22, 30.75]];
  const whole = new Uint8Array(64 * 48);
  paintStroke(whole, 64, 48, points, 5.5, 255);
  const pieces = new Uint8Array(64 * 48);
  paintStroke(pieces, 64, 48, points.slice(0, 1), 5.5, 255);
  for (let k = 1; k < points.length; k++) paintStroke(pieces, 64, 48, points.slice(k - 1, k + 1), 5.5, 255);
  assert.deepEqual(pieces, whole);
});

test("nothing outside the touched rectangle changes", () => {
  const mask = new Uint8Array(64 * 48);
  const [x0, y0, x1, y1] = paintStroke(mask, 64, 48, [[-3, 20], [12, 22]], 4.5, 255);
  mask.forEach((value, i) => {
    const [x, y] = [i % 64, Math.floor(i / 64)];
    if (value) assert.ok(x >= x0 && x < x1 && y >= y0 && y < y1);
  });
  assert.ok(mask.some((value) => value));
});

for (const { name, width, height, strokes, sha256, count } of golden) {
  test(`golden strokes: ${name}`, () => {
    const mask = new Uint8Array(width * height);
    for (const { xy, radius, mode } of strokes) paintStroke(mask, width, height, xy, radius, mode === "add" ? 255 : 0);
    assert.equal(mask.filter((value) => value).length, count);
    assert.equal(createHash("sha256").update(mask).digest("hex"), sha256);
  });
}

test("strokes survive a new ground under them", () => {
  const mask = new LocalMask(16, 8, "k1");
  const stroke = { xy: [[4, 4]], radius: 2, mode: "add", state: "drawing" };
  mask.strokes.push(stroke);
  mask.extend(stroke, stroke.xy);
  const ground = new Uint8Array(16 * 8).fill(0);
  ground[0] = 255;
  mask.rebase(ground, "k2");
  assert.equal(mask.alpha[0], 255);
  assert.equal(mask.alpha[4 * 16 + 4], 255);
  assert.equal(mask.alpha[4 * 16 + 8], 0);
});

test("a keyframe's mask beats the carried one", () => {
  const subject = { keyframes: [{ frame: 3, mask: "k" }, { frame: 5, mask: null }], carried: { key: "c", ranges: [[0, 8]] } };
  assert.deepEqual([2, 3, 5, 8].map((frame) => maskKeyAt(subject, frame)), ["c", "k", null, null]);
});
