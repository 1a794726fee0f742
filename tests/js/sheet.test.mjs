import assert from "node:assert/strict";
import test from "node:test";
import { neighbours, skinText } from "../../assets/onion.js";
import { agreementText, takeText } from "../../assets/sheet_view.js";

const take = (key) => ({ key, label: key });
const view = {
  cuts: [20],
  clip: { frames: 40 },
  anchors: [
    { frame: 2, takes: [take("a")], chosen: "a" },
    { frame: 5, takes: [] },
    { frame: 8, takes: [take("b"), take("c")], chosen: null },
    { frame: 15, takes: [take("d")], chosen: null },
    { frame: 25, takes: [take("e")], chosen: null },
  ],
};

test("neighbours have takes, lie in the shot, and are the nearest", () => {
  assert.deepEqual(neighbours(view, 10), { before: { frame: 8, key: "c" }, after: { frame: 15, key: "d" } });
  assert.deepEqual(neighbours(view, 8), { before: { frame: 2, key: "a" }, after: { frame: 15, key: "d" } });
  assert.deepEqual(neighbours(view, 18), { before: { frame: 15, key: "d" }, after: null });
  assert.deepEqual(neighbours(view, 21), { before: null, after: { frame: 25, key: "e" } });
  assert.deepEqual(neighbours(view, 39), { before: { frame: 25, key: "e" }, after: null });
});

test("what the onion skin says is what it knows", () => {
  assert.match(skinText([]), /No anchor with a take/);
  assert.equal(skinText([{ frame: 8, state: "waits" }]), "From 8: being read");
  const found = [{ frame: 8, state: "shown", seen: 0.934, rough: true }, { frame: 15, state: "none" }];
  assert.equal(skinText(found), "From 8: 93 %, motion only roughly read · 15: nothing to show here");
});

test("agreement in a number and in words", () => {
  const pair = { left: 2, right: 8, score: 91, psnr: 31.2, seen: 0.97, why: "", waits: "" };
  assert.equal(agreementText(pair).short, "91");
  assert.match(agreementText(pair).words, /^Anchors 2 and 8 agree: 91 of 100 \(31.2 dB; 97 % /);
  assert.match(agreementText({ ...pair, score: 12 }).words, /differ: 12 of 100/);
  assert.deepEqual(agreementText({ ...pair, score: null, waits: "Being measured." }), { short: "…", words: "Anchors 2 and 8: Being measured." });
  assert.equal(agreementText({ ...pair, score: null, why: "In different shots." }).short, "–");
});

test("a take says its number, its state and its marks", () => {
  const anchor = { ...view.anchors[2], chosen: "c", locked: true };
  assert.equal(takeText(anchor, 0, { fresh: true }), "Frame 8, take 1 of 2: b, not approved, new");
  const ranked = { ...anchor, takes: [{ ...anchor.takes[0], fit: 73 }, anchor.takes[1]] };
  assert.equal(takeText(ranked, 0), "Frame 8, take 1 of 2: b, not approved, fits what was asked 73 of 100");
  assert.equal(takeText(anchor, 1, { letter: "A" }), "Frame 8, take 2 of 2: c, approved and locked, marked A to compare");
});
