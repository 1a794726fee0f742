import assert from "node:assert/strict";
import test from "node:test";
import { COMMANDS } from "../../assets/commands.js";
import { fit, found } from "../../assets/fuzzy.js";
import { idOf, isBare, Keymap } from "../../assets/keymap.js";
import { SHORTCUTS } from "../../assets/keys.js";

test("every row has an id of its own and runs a command", () => {
  const map = new Keymap();
  assert.equal(map.rows.length, SHORTCUTS.length);
  assert.equal(new Set(map.rows.map((row) => row.id)).size, SHORTCUTS.length);
  for (const row of map.rows) assert.equal(typeof COMMANDS[row.command], "function", row.id);
});

test("a key that another command has is named, and swapped only when asked", () => {
  const map = new Keymap();
  assert.equal(map.bind("tool:brush", 0, "E").holder.id, "tool:eraser");
  assert.equal(map.rowFor("E").id, "tool:eraser");
  assert.deepEqual(map.bind("tool:brush", 0, "E", true), {});
  assert.equal(map.rowFor("E").id, "tool:brush");
  assert.equal(map.rowFor("B").id, "tool:eraser");
  assert.equal(map.titleFor("tool", "brush"), "Brush: add to the mask (E)");
});

test("a further key taken from another command leaves that one without it", () => {
  const map = new Keymap();
  map.bind("addSubject", 0, "J", true);
  assert.equal(map.rowFor("J").id, "addSubject");
  assert.deepEqual(map.keysOf(map.row("shuttle:-1")), []);
  assert.equal(map.titleFor("shuttle", -1), "Play backwards; again: faster");
});

test("what the browser keeps, and what stays as it is, is refused with a sentence", () => {
  const map = new Keymap();
  assert.match(map.bind("tool:brush", 0, "Ctrl+W").refused, /belongs to the browser/);
  assert.match(map.bind("tool:brush", 0, "Escape").refused, /stays so/);
  assert.match(map.bind("escape", 0, "B").refused, /stay as they are/);
  assert.match(map.bind("step:-1", 0, ",").refused, /already/);
  assert.deepEqual(map.own, {});
});

test("one row or all rows become what they were", () => {
  const map = new Keymap();
  map.bind("tool:brush", 0, "Alt+B");
  map.bind("tool:eraser", 1, "B");
  assert.equal(map.reset("tool:brush").holder.id, "tool:eraser");
  map.remove("tool:eraser", 1);
  assert.deepEqual(map.reset("tool:brush"), {});
  assert.deepEqual(map.own, {});
  map.remove("tool:hand", 0);
  assert.equal(map.rowFor("H"), undefined);
  map.resetAll();
  assert.equal(map.rowFor("H").id, "tool:hand");
});

test("what was kept is taken, but for what is none", () => {
  const map = new Keymap();
  map.take({ "tool:brush": ["Alt+B"], escape: ["B"], "tool:hand": "H", later: ["F9"] });
  assert.equal(map.rowFor("Alt+B").id, "tool:brush");
  assert.equal(map.rowFor("Escape").id, "escape");
  assert.equal(map.rowFor("H").id, "tool:hand");
  map.add([{ group: "Export", keys: [], command: "later", label: "A panel that came afterwards" }]);
  assert.equal(map.rowFor("F9").id, "later");
});

test("modifiers alone are no key yet", () => {
  assert.ok(isBare({ key: "Shift" }) && isBare({ key: "Dead" }) && !isBare({ key: "a" }));
  assert.equal(idOf("tool", "brush"), "tool:brush");
  assert.equal(idOf("undo"), "undo");
});

test("commands are found by the starts of their words, then by what is inside, then by letters in order", () => {
  const rows = ["Show the source", "Export the clip", "Move the wipe to the left", "Approve"];
  const best = (query) => found(query, rows, (row) => row)[0];
  assert.equal(best("exp"), "Export the clip");
  assert.equal(best("wipe left"), "Move the wipe to the left");
  assert.equal(best("prov"), "Approve");
  assert.equal(best("epo"), "Export the clip");
  assert.deepEqual(found("zebra", rows, (row) => row), []);
  assert.deepEqual(found("", rows, (row) => row), rows);
  assert.ok(fit("show", "Show the source") > fit("how", "Show the source"));
});
