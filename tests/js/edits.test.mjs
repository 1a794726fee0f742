import assert from "node:assert/strict";
import { test } from "node:test";

import { linesOf, stretchAt } from "../../assets/audition.js";
import { aimed, aims, factsOf } from "../../assets/edits.js";
import { editedAt } from "../../assets/pictures.js";

const view = {
  range: [2, 40],
  cuts: [20],
  anchors: [{ frame: 5, chosen: "a", takes: [] }, { frame: 9, chosen: null, takes: [] }, { frame: 12, chosen: "b", takes: [] }],
  segments: [],
};

test("the stretch around a frame ends at approved anchors, cuts and the range", () => {
  assert.deepEqual(stretchAt(view, 9), [5, 12]);
  assert.deepEqual(stretchAt(view, 3), [2, 5]);
  assert.deepEqual(stretchAt(view, 12), [12, 20]);
  assert.deepEqual(stretchAt(view, 30), [20, 40]);
});

test("an edit is aimed at all subjects, some of them, or the whole frame", () => {
  const subjects = [{ id: 1, name: "bag" }, { id: 4, name: "hat" }];
  assert.deepEqual(aims({ subjects }), [[null, "All subjects"], [[1], "bag"], [[4], "hat"], [[], "Whole frame"]]);
  assert.deepEqual(aims({ subjects: subjects.slice(0, 1) }), [[null, "bag"], [[], "Whole frame"]]);
  assert.deepEqual(aimed([1], [4], false), [4]);
  assert.deepEqual(aimed([1], [4], true), [1, 4]);
  assert.deepEqual(aimed([1, 4], [4], true), [1]);
  assert.deepEqual(aimed([4], [4], true), [4]); // never nobody by accident: that would be the whole frame
  assert.deepEqual(aimed(null, [4], true), [4]);
  assert.equal(aimed([1], null, true), null);
});

test("what is said of an edit and of a tile", () => {
  assert.equal(factsOf({ anchors: 1, approved: 1, on: true }), "1 of 1 anchor approved");
  assert.equal(factsOf({ anchors: 0, approved: 0, on: false }), "off · no anchors yet");
  assert.deepEqual(linesOf({ state: "done", seconds: 0.25, flicker: 1, strayed: null, outside: 0 }), [
    "0.25 s a frame · flicker 1.0 level",
    "no anchor to compare with · outside untouched",
  ]);
  assert.deepEqual(linesOf({ state: "failed", why: "No." }), ["No."]);
});

test("where an edit has made nothing yet, the result of those below it is shown; one that is off shows nothing else", () => {
  const below = { key: "k", ranges: [[0, 10]] };
  const edits = [{ id: 1, on: true }, { id: 2, on: true }];
  const taken = { frame: 5, takes: [{ key: "t" }], chosen: "t" };
  const here = { ...view, edits, edit: 2, below, anchors: [taken] };
  assert.equal(editedAt(here, 4).kind, "below");
  assert.equal(editedAt(here, 12), null);
  assert.equal(editedAt(here, 5).kind, "take");
  const off = { ...here, edits: [edits[0], { id: 2, on: false }] };
  assert.equal(editedAt(off, 5).kind, "below");
  const rendered = { ...here, segments: [{ start: 0, stop: 10, frames: [[0, 10]], key: "s" }] };
  assert.equal(editedAt(rendered, 4).kind, "rendered");
});
