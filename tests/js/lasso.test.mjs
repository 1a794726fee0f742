import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import test from "node:test";
import { fillArea } from "../../assets/brush.js";
import { LocalMask } from "../../assets/masks.js";
import { TrackStore } from "../../assets/tracks.js";

const golden = JSON.parse(readFileSync(new URL("lassos.json", import.meta.url), "utf8"));

for (const { name, width, height, xy, mode, count, sha256 } of golden) {
  test(`golden lasso: ${name}`, () => {
    const mask = new Uint8Array(width * height).fill(mode === "erase" ? 255 : 0);
    const before = mask.slice();
    const [x0, y0, x1, y1] = fillArea(mask, width, height, xy, mode === "add" ? 255 : 0);
    assert.equal(mask.filter((value) => value).length, count);
    assert.equal(createHash("sha256").update(mask).digest("hex"), sha256);
    mask.forEach((value, i) => {
      const [x, y] = [i % width, Math.floor(i / width)];
      if (value !== before[i]) assert.ok(x >= x0 && x < x1 && y >= y0 && y < y1);
    });
  });
}

test("a local mask fills lassos among strokes, in order", () => {
  const mask = new LocalMask(16, 12, null);
  mask.strokes.push({ xy: [[2, 2], [12, 2], [12, 10], [2, 10]], filled: true, mode: "add" });
  mask.strokes.push({ xy: [[7, 6]], radius: 2, mode: "erase" });
  mask.repaint();
  assert.equal(mask.alpha[3 * 16 + 3], 255);
  assert.equal(mask.alpha[6 * 16 + 7], 0);
});

test("tracked points: what was said counts, else what was computed, else nothing", async () => {
  const values = new Float32Array([1, 2, 0.9, 3, 4, 0, NaN, NaN, NaN, 7, 8, 0.5]);
  globalThis.fetch = async () => ({ ok: true, arrayBuffer: async () => values.buffer });
  let drawn = 0;
  const store = new TrackStore((path) => path, { drawMarks: () => (drawn += 1), notices: { warn: assert.fail } });
  const subject = { id: 1, tracks: { key: "a", range: [10, 12], points: [{ id: 4, spots: [[10, 1.5, 2, true]] }, { id: 5, spots: [[11, 7, 8, true]] }] } };
  store.take({ subjects: [subject] });
  await store.idle();
  assert.equal(drawn, 1);
  assert.deepEqual(store.at(subject, 4, 10), [1.5, 2, 1]);
  assert.deepEqual(store.at(subject, 4, 11), [3, 4, 0]);
  assert.equal(store.at(subject, 5, 10), null);
  assert.equal(store.at(subject, 4, 12), null);
  const shown = store.shown(subject, 11);
  assert.deepEqual(shown.map((one) => [one.id, one.seen, one.said]), [[4, false, false], [5, true, true]]);
  assert.deepEqual(shown[0].trail, [[1.5, 2, true], [3, 4, false]]);
});
