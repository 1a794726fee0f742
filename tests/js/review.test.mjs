import assert from "node:assert/strict";
import test from "node:test";
import { CHECK, drawConfidence, levelColour, problemAt } from "../../assets/confidence.js";
import { Scale } from "../../assets/lanes.js";
import { ACTS, placeText, Review } from "../../assets/review.js";

const problem = (kind, frame, more = {}) => ({ kind, start: frame, stop: frame + 1, frame, severity: 0.5, level: "doubtful", sentence: `${kind}.`, act: "look", says: "Look at it", subject: null, ...more });

class Desk extends EventTarget {
  constructor(problems, lanes = null) {
    super();
    Object.assign(this, { log: [], answers: [{ key: "a", lanes, problems }], view: { review: "a", subject: 1, subjects: [{ id: 1, name: "swan" }, { id: 2, name: "bag" }] } });
    this.api = { review: async () => this.answers[0] };
    this.playback = { pause: () => this.log.push("pause") };
    this.notices = { say: (text) => this.log.push(text) };
    this.root = { focus: () => {} };
    this.mode = "edited";
    this.work = { request: (job) => this.log.push(`request ${job}`) };
  }
  changed(name) { this.dispatchEvent(new Event(name)); }
  async seek(frame) { this.log.push(`seek ${frame}`); }
  async act(name, args) { this.log.push(`${name} ${JSON.stringify(args)}`); return {}; }
  anchor() { return undefined; }
  set() {}
  setMode(mode) { this.mode = mode; }
  setTool(tool) { this.log.push(`tool ${tool}`); }
}

const opened = async (...given) => {
  const desk = new Desk(...given);
  const review = new Review(desk);
  await review.settled();
  return [desk, review];
};

test("one key goes through the list, round and back", async () => {
  const [desk, review] = await opened([problem("doubt", 7), problem("mask", 3), problem("waiting", 20)]);
  for (const way of [1, 1, 1, 1, -1, -1]) await review.step(way);
  assert.deepEqual(desk.log.filter((line) => line.startsWith("seek")), ["seek 7", "seek 3", "seek 20", "seek 7", "seek 20", "seek 3"]);
  assert.ok(desk.log.includes("Problem 2 of 3, frame 3: mask."));
});

test("backwards from nowhere is the last, and an empty list says so", async () => {
  const [desk, review] = await opened([problem("doubt", 7), problem("mask", 3)]);
  await review.step(-1);
  assert.ok(desk.log.includes("seek 3"));
  const [other, none] = await opened([]);
  none.step(1);
  assert.match(other.log[0], /no problem is known/);
});

test("the current problem stays the current one when the list changes", async () => {
  const [desk, review] = await opened([problem("doubt", 7), problem("mask", 3)]);
  await review.go(review.problems[1]);
  desk.answers = [{ key: "b", lanes: null, problems: [problem("mask", 3, { severity: 0.9 }), problem("new", 1)] }];
  desk.view = { ...desk.view, review: "b" };
  await new Promise((resolve) => setTimeout(resolve, 450));
  desk.changed("view");
  await review.settled();
  assert.equal(review.current, review.problems[0]);
  await review.step(1);
  assert.ok(desk.log.includes("seek 1"));
});

test("to correct a mask its subject is picked, the source is shown, the brush is taken", async () => {
  const [desk, review] = await opened([problem("mask", 3, { act: "correct_mask", subject: 2 })]);
  await review.act(review.problems[0]);
  assert.deepEqual(desk.log, ["pause", "seek 3", 'select_subject {"subject":2}', "tool brush"]);
  assert.equal(desk.mode, "source");
});

test("every act of the engine is known to the page", () => {
  assert.deepEqual(Object.keys(ACTS).sort(), ["add_anchor", "approve", "carry", "correct_mask", "correct_point", "look", "make_take", "propagate"]);
});

test("what the lane shows is also said", async () => {
  const lanes = { worst: "09", doubt: "09", unseen: "--", masks: { 1: "03" }, points: { 2: "-9" } };
  const [, review] = await opened([problem("doubt", 1)], lanes);
  assert.equal(review.textAt(0), "doubt of the edit 0 %; mask of swan 100 % sure");
  assert.equal(review.textAt(1), "doubt of the edit 100 %; mask of swan 67 % sure; points of bag 0 % sure; doubtful: doubt.");
  assert.equal(review.summary(), "To check: 1 doubtful.");
});

test("places in words", () => {
  assert.equal(placeText({ start: 4, stop: 5 }), "frame 4");
  assert.equal(placeText({ start: 4, stop: 9 }), "frames 4–8");
});

test("worse is higher, whatever the colour", () => {
  const bars = [];
  const pen = new Proxy({}, { get: (target, name) => (name === "fillRect" ? (x, y, w, h) => bars.push([x, y, w, h, target.fillStyle]) : (target[name] ?? (() => {}))), set: (target, name, value) => ((target[name] = value), true) });
  const scale = new Scale(1000, 4);
  drawConfidence(pen, { review: { lanes: { worst: "0259" }, problems: [] }, next: null }, scale, 0, { line: "", text: "", ground: "", accent: "" });
  const heights = bars.slice(1).map(([, , , height]) => height);
  assert.equal(heights.length, 3);
  assert.deepEqual([...heights].sort((a, b) => a - b), heights);
  assert.ok(Math.max(...heights) <= CHECK);
  assert.equal(new Set([2, 5, 9].map(levelColour)).size, 3);
});

test("a mark is hit within its reach", () => {
  const scale = new Scale(1000, 100);
  const problems = [problem("a", 10), problem("b", 50)];
  assert.equal(problemAt(problems, scale.centre(50) + 5, scale), problems[1]);
  assert.equal(problemAt(problems, scale.centre(30), scale), undefined);
});
