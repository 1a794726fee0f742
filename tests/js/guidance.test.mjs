import assert from "node:assert/strict";
import test from "node:test";
import { frameText } from "../../assets/announce.js";
import { nextStep, toolHint } from "../../assets/hint.js";
import { Keymap } from "../../assets/keymap.js";
import { reasonAgainst } from "../../assets/reasons.js";
import { placeBeside } from "../../assets/tour.js";
import { STEPS } from "../../assets/tour_steps.js";

const clip = { frames: 20, width: 64, height: 48, rate: [25, 1] };
const subject = { id: 1, name: "bag", keyframes: [], carried: null };
const editorOf = (change = {}, more = {}) => {
  const view = { clip, subjects: [subject], anchors: [], segments: [], job: null, pack: { complete: true }, ...change };
  const anchor = (frame = 3) => view.anchors.find((one) => one.frame === frame);
  return { view, want: 3, frame: 3, tool: "point", keymap: new Keymap(), anchor, keyframe: () => undefined, subject: () => subject, paint: { count: () => 0 }, controls: { reason: () => "" }, ...more };
};
const marked = [{ ...subject, keyframes: [{ frame: 0 }] }];

test("the next act follows from where the project stands", () => {
  const label = (change, more) => nextStep(editorOf(change, more))?.label;
  assert.equal(nextStep(editorOf()).text, "Click on what you want to change.");
  assert.equal(label(), undefined);
  assert.equal(label({}, { tool: "hand" }), "Take the point tool");
  assert.equal(label({ subjects: marked }), "Make this frame an anchor");
  assert.equal(label({ subjects: marked, anchors: [{ frame: 3, takes: [], chosen: null }] }), "Make a take");
  assert.equal(label({ subjects: marked, anchors: [{ frame: 9, takes: [], chosen: null }] }), "Go there");
  assert.equal(label({ subjects: marked, anchors: [{ frame: 3, takes: [{ key: "a" }], chosen: null }] }), "Approve it");
  const approved = [{ frame: 3, takes: [{ key: "a" }], chosen: "a" }];
  assert.equal(label({ anchors: approved, segments: [{ state: "done" }, { state: "dirty" }] }), "Propagate");
  assert.equal(label({ anchors: approved, segments: [{ state: "done" }] }), "Export the clip");
  assert.equal(nextStep(editorOf({ anchors: approved, segments: [{ state: "dirty" }], job: { kind: "propagate", state: "running" } })), null);
  assert.equal(label({ subjects: marked, job: { kind: "carry", state: "running" } }), "Make this frame an anchor");
});

test("the tool's hint says the keys as they are now", () => {
  const editor = editorOf({}, { tool: "brush" });
  assert.match(toolHint(editor), /\[ \] size/);
  editor.keymap.bind("brushSize:0.8", 0, "F9");
  assert.match(toolHint(editor), /F9 \] size/);
});

test("a command that cannot be done says why", () => {
  const why = (command, argument, editor = editorOf()) => reasonAgainst(editor, { id: argument ? `${command}:${argument}` : command, command, argument });
  assert.match(why("undo"), /nothing to undo/);
  assert.match(why("goAnchor", -1), /no anchor yet/);
  assert.match(why("moveAnchor", 1), /Frame 3 is not an anchor/);
  assert.match(why("control", "approve"), /no take yet/);
  assert.match(why("control", "make-take"), /Nothing is marked/);
  assert.equal(why("control", "make-take", editorOf({ subjects: marked })), "");
  assert.equal(why("control", "export"), "");
  assert.equal(why("control", "elsewhere", editorOf({}, { controls: { reason: (name) => `not ${name}` } })), "not elsewhere");
});

test("a frame is told in words: anchor, mask, problem", () => {
  const { view } = editorOf({ anchors: [{ frame: 3, takes: [], chosen: null }], segments: [{ start: 0, stop: 20, state: "dirty" }] });
  const problems = [{ kind: "next_anchor", start: 0, stop: 9 }, { kind: "mask", start: 2, stop: 5, sentence: "The mask jumps here." }];
  assert.equal(frameText(view, 3, subject, problems), "Frame 3 of 19, 00:00:00:03; anchor without a take; no mask of bag here; not rendered; problem: The mask jumps here.");
  assert.equal(frameText(view, 0, { ...subject, keyframes: [{ frame: 0 }] }), "Frame 0 of 19, 00:00:00:00; bag is marked here; not rendered.");
});

test("the tour's card stands beside what it shows, inside the window", () => {
  const box = { left: 100, top: 100, right: 140, bottom: 130, width: 40, height: 30 };
  assert.deepEqual(placeBeside(box, 200, 100, 1000, 800), [20, 142]);
  assert.deepEqual(placeBeside({ ...box, top: 700, bottom: 730 }, 200, 100, 1000, 800), [20, 588]);
  assert.deepEqual(placeBeside({ ...box, left: 900, right: 940, top: 10, bottom: 790, height: 780 }, 200, 100, 1000, 800), [688, 350]);
  assert.deepEqual(placeBeside({ ...box, top: 900, bottom: 930 }, 200, 100, 1000, 800), [20, 692]); // scrolled out of sight
  assert.deepEqual(placeBeside(null, 200, 100, 360, 640), [8, 532]);
});

test("every step of the tour says its key only where there is one", () => {
  for (const { text } of STEPS) {
    assert.ok(text({ key: () => "" }).length > 20);
    assert.ok(!text({ key: () => " (K)" }).includes("undefined"));
  }
});
