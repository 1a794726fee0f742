import assert from "node:assert/strict";
import test from "node:test";
import { TrackStore } from "../../assets/tracks.js";

const NaNs = [NaN, NaN, NaN, NaN, NaN];
const values = new Float32Array([1, 2, 1, 1, 2, 3, 4, 0, 3, 4, ...NaNs, 7, 8, 1, 5, 8]);

function opened(acts = []) {
  globalThis.fetch = async () => ({ ok: true, arrayBuffer: async () => values.buffer });
  const editor = {
    frame: 11, showMasks: true, selected: null,
    stage: { view: { scale: 1 } },
    drawMarks: () => {}, notices: { warn: assert.fail }, set: () => {},
    select(selection) { this.selected = selection; },
    act: async (name, args) => acts.push([name, args]),
  };
  const store = new TrackStore((path) => path, editor);
  const tokens = { key: "k", range: [10, 12], names: [[10, 1, 2], [11, 5, 8]], owners: [1, 0] };
  store.take({ subjects: [], tokens });
  return { store, editor };
}

test("anchor tokens are drawn where they are, with their subject's colour", async () => {
  const { store } = opened();
  await store.idle();
  assert.equal(store.tokens.at(1, 10), null);
  assert.deepEqual(store.tokens.at(0, 11), [3, 4, 0, 3, 4]);
  const shown = store.tokens.shown(11);
  assert.deepEqual(shown.map((one) => [one.x, one.y, one.seen]), [[3, 4, false], [7, 8, true]]);
  assert.deepEqual(shown[0].trail, [[1, 2, true], [3, 4, false]]);
  const scene = store.scene({ subjects: [{ id: 1, colour: "#123456", tracks: null }], subject: 1 }, 11);
  assert.deepEqual(scene.map((one) => one.subject.colour), ["#123456", "#ffffff"]);
});

test("a token is found under the pointer, and dragged from where it was found", async () => {
  const acts = [];
  const { store, editor } = opened(acts);
  await store.idle();
  assert.equal(store.tokens.under([-3, 4]), undefined); // hidden
  assert.equal(store.tokens.under([100, 100]), undefined);
  const token = store.tokens.under([8, 8]);
  store.tokens.select(token);
  assert.deepEqual(editor.selected, { kind: "token", frame: 11, x: 5, y: 8 });
  await store.tokens.drag(token, 9, 7);
  assert.deepEqual(acts, [["drag_token", { frame: 11, x: 5, y: 8, at: 11, dx: 4, dy: -1 }]]);
  store.take({ subjects: [], tokens: null });
  assert.deepEqual(store.tokens.shown(11), []);
});
