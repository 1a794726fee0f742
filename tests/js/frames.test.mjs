import assert from "node:assert/strict";
import test from "node:test";
import { Lru } from "../../assets/lru.js";
import { editedAt, Pictures, shownTake } from "../../assets/pictures.js";
import { Seeker } from "../../assets/seeker.js";
import { chunkCost, contiguousRuns, FrameSource, parseIndex } from "../../assets/source.js";

function pack(frames, size = 10) {
  const index = new DataView(new ArrayBuffer(frames * 24));
  const data = new Uint8Array(frames * size);
  for (let i = 0; i < frames; i++) {
    [i, i * size, size].forEach((value, k) => index.setBigUint64(i * 24 + k * 8, BigInt(value), true));
    data.fill(i, i * size, (i + 1) * size);
  }
  return { index: new Uint8Array(index.buffer), data };
}

/** A server in memory that knows ranges; `served` lists what was asked. */
function server({ index, data }, packed = Infinity) {
  const served = [];
  const state = { packed };
  const fetcher = async (path, { headers = {} } = {}) => {
    served.push(`${path} ${headers.Range ?? ""}`.trim());
    if (path.startsWith("frame/")) return new Response(new Uint8Array([Number(path.match(/\d+/)[0]), 1]));
    const file = path === "pack/index" ? index.subarray(0, Math.min(index.length, state.packed * 24)) : data;
    const done = { "X-Complete": state.packed * 24 >= index.length ? "1" : "0" };
    const range = headers.Range?.match(/bytes=(\d+)-(\d*)/);
    if (!range) return new Response(file, { headers: done });
    if (Number(range[1]) >= file.length) return new Response("", { status: 416 });
    return new Response(file.slice(Number(range[1]), range[2] ? Number(range[2]) + 1 : undefined), { status: 206, headers: done });
  };
  return { fetcher, served, state };
}

const source = (options) => new FrameSource({ url: (path) => path, decode: async (bytes) => ({ frame: bytes[0], close() {} }), ...options });

test("the index is read as little-endian triples, a torn tail is left", () => {
  const { index } = pack(3);
  assert.deepEqual(parseIndex(index.buffer.slice(0, 60)), [[0, 0, 10], [1, 10, 10]]);
});

test("runs are what lies one after the other", () => {
  assert.deepEqual(contiguousRuns([[5, 20, 10], [4, 0, 10], [6, 10, 10], [9, 40, 1]]), [[[4, 0, 10], [6, 10, 10], [5, 20, 10]], [[9, 40, 1]]]);
});

test("chunks come nearest first", () => {
  assert.equal(chunkCost(2, 2), 0);
  assert.ok(chunkCost(3, 2) < chunkCost(1, 2) && chunkCost(1, 2) < chunkCost(4, 2));
});

test("a seek into a cold pack fetches its frame alone, the background the rest, then nothing", async () => {
  const { fetcher, served } = server(pack(60));
  const frames = source({ frames: 60, fetcher });
  await frames.refreshIndex();
  assert.equal((await frames.get(50)).frame, 50);
  assert.deepEqual(served.slice(1), ["pack/data bytes=500-509"]);
  frames.centre = 50;
  await frames.fill();
  assert.deepEqual(served.slice(2), ["pack/data bytes=480-599", "pack/data bytes=240-479", "pack/data bytes=0-239"]);
  for (let i = 0; i < 60; i++) assert.equal((await frames.get(i)).frame, i);
  assert.equal(served.length, 5);
});

test("while the pack grows, frames come from the decoder and new rows are read once", async () => {
  const { fetcher, served, state } = server(pack(60), 24);
  const frames = source({ frames: 60, fetcher });
  assert.equal(await frames.refreshIndex(), 24);
  assert.equal(frames.complete, false);
  assert.equal((await frames.get(30)).frame, 30);
  assert.equal(served.at(-1), "frame/30.jpg");
  assert.equal(await frames.refreshIndex(), 0);
  state.packed = 60;
  assert.equal(await frames.refreshIndex(), 36);
  assert.equal(frames.complete, true);
  assert.equal(served.at(-1), "pack/index bytes=576-");
});

test("compressed frames stay within their budget and follow the play head", async () => {
  const { fetcher, served } = server(pack(240, 100));
  const frames = source({ frames: 240, fetcher, memory: 6000 });
  await frames.refreshIndex();
  await frames.fill();
  assert.deepEqual([...frames.chunks.entries.keys()], [0, 1]);
  frames.centre = 200;
  await frames.fill();
  assert.deepEqual([...frames.chunks.entries.keys()], [8, 9]);
  const asked = served.length;
  await frames.fill();
  assert.equal(served.length, asked);
  assert.ok(frames.chunks.weight <= 6000);
});

test("forgotten bitmaps are closed", () => {
  const closed = [];
  const held = new Lru(2, { drop: (value) => closed.push(value) });
  ["a", "b"].forEach((key) => held.set(key, key));
  held.get("a");
  held.set("c", "c");
  assert.deepEqual(closed, ["b"]);
  assert.deepEqual([...held.entries.keys()], ["a", "c"]);
});

test("the last asked frame wins, a late older one is not drawn over it", async () => {
  const waits = new Map();
  const drawn = [];
  const seeker = new Seeker({
    inMemory: (frame) => frame < 10,
    peek: (frame) => (frame === 0 ? "now" : undefined),
    load: (frame) => new Promise((resolve) => waits.set(frame, resolve)),
    draw: (frame) => drawn.push(frame),
    failed: assert.fail,
  });
  seeker.show(0);
  assert.deepEqual(drawn, [0]);
  [20, 21, 22, 23].forEach((frame) => seeker.show(frame));
  assert.deepEqual([...waits.keys()], [20, 21]);
  seeker.show(3);
  waits.get(3)("bitmap");
  await seeker.idle();
  assert.deepEqual(drawn, [0, 3]);
  waits.get(20)("bitmap");
  await new Promise(setImmediate);
  assert.deepEqual(drawn, [0, 3]);
});

test("frames in memory are all drawn, in order, whichever is decoded first; no more than eight at a time", async () => {
  const waits = new Map();
  const drawn = [];
  const load = (frame) => new Promise((resolve) => waits.set(frame, resolve));
  const seeker = new Seeker({ inMemory: () => true, peek: () => undefined, load, draw: (frame) => drawn.push(frame), failed: assert.fail });
  [1, 2, 3].forEach((frame) => seeker.show(frame));
  [3, 1, 2].forEach((frame) => waits.get(frame)("bitmap"));
  await seeker.idle();
  assert.deepEqual(drawn, [1, 2, 3]);
  await new Promise(setImmediate);
  for (let frame = 11; frame <= 21; frame++) seeker.show(frame);
  assert.deepEqual([...waits.keys()].at(-1), 18);
  for (let frame = 11; frame <= 18; frame++) waits.get(frame)("bitmap");
  await new Promise(setImmediate);
  waits.get(21)("bitmap");
  await seeker.idle();
  assert.deepEqual(drawn, [1, 2, 3, 11, 12, 13, 14, 15, 16, 17, 18, 21]);
});

test("waiting requests collapse to the newest", async () => {
  const waits = new Map();
  const drawn = [];
  const load = (frame) => new Promise((resolve) => waits.set(frame, resolve));
  const seeker = new Seeker({ inMemory: () => false, peek: () => undefined, load, draw: (frame) => drawn.push(frame), failed: assert.fail });
  for (let frame = 0; frame < 30; frame++) seeker.show(frame);
  waits.get(0)("bitmap");
  await new Promise(setImmediate);
  waits.get(29)("bitmap");
  await seeker.idle();
  assert.deepEqual(drawn, [0, 29]);
  assert.deepEqual([...waits.keys()], [0, 1, 29]);
});

test("the edited picture of a frame", () => {
  const take = (key) => ({ key });
  const anchors = [{ frame: 4, takes: [take("a"), take("b")], chosen: "a" }, { frame: 6, takes: [take("c"), take("d")], chosen: null }, { frame: 8, takes: [], chosen: null }];
  const view = { anchors, segments: [{ start: 0, stop: 10, key: "K/1", frames: [[0, 3], [8, 9]] }] };
  assert.deepEqual([4, 6].map((frame) => shownTake(anchors.find((one) => one.frame === frame)).key), ["a", "d"]);
  assert.equal(shownTake({ ...anchors[0], shown: "b" }).key, "b");
  assert.equal(editedAt(view, 4).path, "object/a.png");
  assert.equal(editedAt(view, 2).path, "edited/2.jpg?v=K%2F1");
  assert.equal(editedAt(view, 8).kind, "rendered");
  assert.equal(editedAt(view, 3), null);
});

test("a preview is shown when it has come, the rough one until the proper one has", () => {
  const segment = { start: 0, stop: 10, key: "K", frames: [], instant: { proper: [[4, 6]] } };
  const view = { anchors: [], segments: [segment], clip: { frames: 10 } };
  assert.deepEqual(editedAt(view, 2), { kind: "preview", path: "instant/2.jpg?v=K&proper=0", rough: "instant/2.jpg?v=K&proper=0" });
  assert.equal(editedAt(view, 5).path, "instant/5.jpg?v=K&proper=1");
  assert.equal(editedAt({ ...view, segments: [{ ...segment, instant: null }] }, 5), null);
  const pictures = new Pictures({ close() {} }, (path) => path);
  assert.deepEqual(pictures.needs(view, 5, "edited"), { source: true, edited: null });
  const picture = { close() {} };
  pictures.edited.set("instant/5.jpg?v=K&proper=0", picture);
  assert.equal(pictures.needs(view, 5, "edited").edited.path, "instant/5.jpg?v=K&proper=0");
  pictures.edited.set("instant/5.jpg?v=K&proper=1", picture);
  assert.equal(pictures.needs(view, 5, "wipe").edited.path, "instant/5.jpg?v=K&proper=1");
  assert.equal(pictures.needs(view, 5, "source").edited, null);
});
