import assert from "node:assert/strict";
import test from "node:test";
import { Api, ApiError } from "../../assets/api.js";
import { COMMANDS } from "../../assets/commands.js";
import { chordOf, chordText, SHORTCUTS, takesShortcuts } from "../../assets/keys.js";
import { laneTops, Scale } from "../../assets/lanes.js";
import { endTime, frameAt } from "../../assets/playback.js";
import { jobText, timecode } from "../../assets/readout.js";

const press = (key, modifiers = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...modifiers });

test("every shortcut runs a command and no chord is used twice", () => {
  const chords = SHORTCUTS.flatMap((row) => row.keys);
  assert.equal(new Set(chords).size, chords.length);
  for (const row of SHORTCUTS) assert.equal(typeof COMMANDS[row.command], "function", row.command);
});

test("key events become chords", () => {
  const cases = [
    ["Ctrl+Shift+Z", press("Z", { ctrlKey: true, shiftKey: true })],
    ["Ctrl+Z", press("z", { metaKey: true })],
    ["?", press("?", { shiftKey: true })],
    ["[", press("[", { ctrlKey: true, altKey: true, getModifierState: () => true })],
    ["Alt+I", press("ˆ", { altKey: true, code: "KeyI" })],
    ["Shift+ArrowLeft", press("ArrowLeft", { shiftKey: true })],
    ["Space", press(" ")],
    ["Plus", press("+", { shiftKey: true })],
    ["B", press("и", { code: "KeyB" })], // another script: the Latin letter on the key
    ["Y", press("y", { code: "KeyZ" })], // another Latin layout: the letter that is typed
    ["Shift+Ö", press("Ö", { code: "Semicolon", shiftKey: true })],
  ];
  for (const [chord, event] of cases) assert.equal(chordOf(event), chord);
  assert.equal(chordText("Ctrl+Shift+Z"), "Ctrl+Shift+Z");
});

test("keys stay with what the user types in", () => {
  const body = { tagName: "BODY" };
  const element = (tagName, { type = "", inside = "", own = false } = {}) => ({
    tagName,
    type,
    own,
    ownerDocument: { body },
    closest: (selector) => (inside && (selector === "[role]" || selector.includes(inside)) ? {} : null),
  });
  body.ownerDocument = { body };
  body.closest = () => null;
  const root = { contains: (target) => target.own === true };
  const takes = (target, chord) => takesShortcuts(target, chord, [root]);
  assert.equal(takes(body, "B"), true);
  assert.equal(takes(element("DIV", { own: true }), "B"), true);
  assert.equal(takes(element("DIV"), "B"), false);
  assert.equal(takes(element("INPUT", { type: "text" }), "B"), false);
  assert.equal(takes(element("INPUT", { type: "text", own: true }), "B"), false);
  assert.equal(takes(element("TEXTAREA", { inside: "textarea" }), "B"), false);
  assert.equal(takes(element("INPUT", { type: "range", own: true }), "B"), true);
  assert.equal(takes(element("INPUT", { type: "range", own: true }), "ArrowLeft"), false);
  assert.equal(takes(element("BUTTON"), "ArrowLeft"), true);
  assert.equal(takes(element("BUTTON"), "Space"), false);
  assert.equal(takes(element("BUTTON", { inside: '"listbox"' }), "ArrowLeft"), false);
  assert.equal(takes(element("BUTTON", { inside: '"tab"' }), "ArrowLeft"), false);
  assert.equal(takes(element("BUTTON", { inside: '"tabpanel"' }), "ArrowLeft"), true, "a button of a panel");
});

test("acts are sent in order, one after the other", async () => {
  const log = [];
  const fetcher = async (_, init) => {
    const { name } = JSON.parse(init.body);
    log.push(`+${name}`);
    await new Promise((resolve) => setTimeout(resolve, name === "slow" ? 20 : 1));
    log.push(`-${name}`);
    if (name === "bad") return new Response(JSON.stringify({ error: "No such thing." }), { status: 422 });
    return new Response(JSON.stringify({ view: { name } }));
  };
  const api = new Api("/api/", "p", fetcher);
  const slow = api.act("slow", {}, 0);
  const bad = api.act("bad", {}, 0);
  const quick = api.act("quick", {}, 0);
  assert.equal((await slow).name, "slow");
  await assert.rejects(bad, (error) => error instanceof ApiError && error.message === "No such thing." && error.status === 422);
  assert.equal((await quick).name, "quick");
  assert.deepEqual(log, ["+slow", "-slow", "+bad", "-bad", "+quick", "-quick"]);
  await api.idle();
  assert.equal(api.waiting, 0);
});

test("a lost server is one sentence", async () => {
  const api = new Api("/api/", "p", () => Promise.reject(new TypeError("fetch failed")));
  await assert.rejects(api.view(), /server does not answer/);
});

test("the frame of a time is the last one shown by then", () => {
  const times = Float32Array.from([0, 0.04, 0.1, 0.12]);
  assert.deepEqual([-1, 0, 0.039, 0.04, 0.09, 0.1, 0.5].map((time) => frameAt(times, time)), [0, 0, 0, 1, 1, 2, 3]);
  const steady = Float32Array.from({ length: 9000 }, (_, i) => i / 29.97);
  steady.forEach((time, i) => assert.equal(frameAt(steady, time), i));
  assert.ok(Math.abs(endTime(times) - 0.14) < 1e-6);
});

test("numbers as people read them", () => {
  assert.equal(timecode(0, [24, 1]), "00:00:00:00");
  assert.equal(timecode(24 * 3661 + 7, [24, 1]), "01:01:01:07");
  assert.equal(timecode(31, [30000, 1001]), "00:00:01:01");
  assert.equal(jobText({ kind: "propagate", state: "running", phase: "Rendering", done: 3, total: 9, eta: 8.4 }), "Rendering · 3/9 · 8 s left");
  assert.equal(jobText({ kind: "export", state: "queued", phase: "", done: 0, total: 0, eta: null }), "Exporting · queued");
});

test("timeline positions and frames are each other's inverse", () => {
  for (const [frames, from, to] of [[120, 0, 120], [1, 0, 1], [5400, 1000.5, 1200.25]]) {
    const scale = new Scale(1283, frames, from, to);
    for (let frame = Math.ceil(from); frame < Math.floor(to); frame++) {
      assert.equal(scale.frameAt(scale.centre(frame)), frame);
      if (scale.perFrame > 1) assert.equal(scale.frameAt(scale.left(frame)), frame);
    }
    assert.equal(scale.frameAt(1e6), frames - 1);
  }
  const [from, to] = new Scale(1000, 100).zoomed(0.5, 400);
  assert.equal(to - from, 50);
  const zoomed = new Scale(1000, 100, from, to);
  assert.equal(zoomed.frameAt(400), new Scale(1000, 100).frameAt(400));
  assert.ok(laneTops(3).height - laneTops(2).height === 14);
});
