// Which key runs which command: the table of keys.js and the controls of the page, with the user's own keys over them.
// A row is {id, group, keys, command, label, argument}; its id ("tool:brush") names it in what is kept.

import { chordText, SHORTCUTS } from "./keys.js";

/** Chords that the browser keeps for itself, or that a page must leave alone to stay usable. */
const BROWSER = ["Tab", "Shift+Tab", "F5", "F11", "F12", "Alt+F4", ..."CVXWTNLRQF".split("").map((key) => `Ctrl+${key}`), "Ctrl+Shift+N", "Ctrl+Shift+T", "Ctrl+Shift+W"];
const MODIFIERS = ["Control", "Shift", "Alt", "Meta", "AltGraph", "CapsLock", "Dead", "Process", "Unidentified", "OS", "Fn"];
const MOST_KEYS = 4; // more stand for one row only together, such as the digits

export const idOf = (command, argument) => (argument === undefined ? command : `${command}:${argument}`);

/** Whether a key event is a modifier alone, or no key yet. */
export const isBare = (event) => MODIFIERS.includes(event.key);

export class Keymap extends EventTarget {
  constructor(rows = SHORTCUTS) {
    super();
    this.rows = [];
    this.own = {}; // id -> chords that the user chose instead of the row's
    this.add(rows);
  }

  /** More rows; one whose id is there already is left out, and keys that an earlier row has stay that row's. */
  add(rows) {
    const taken = new Set(this.rows.flatMap((row) => row.keys));
    for (const row of rows) {
      const id = idOf(row.command, row.argument);
      if (this.row(id)) continue;
      const keys = row.keys.filter((chord) => !taken.has(chord));
      this.rows.push({ ...row, id, keys, fixed: keys.length > MOST_KEYS || row.command === "escape" });
    }
    this.#changed();
  }

  row(id) {
    return this.rows.find((one) => one.id === id);
  }

  keysOf(row) {
    return this.own[row.id] ?? row.keys;
  }

  /** The row that a chord runs, or undefined. */
  rowFor(chord) {
    return this.rows.find((row) => this.keysOf(row).includes(chord));
  }

  isChanged(row) {
    return row.id in this.own;
  }

  /** The first key of a command as people read it, or "". */
  keyText(command, argument) {
    const row = this.row(idOf(command, argument)) ?? this.rows.find((one) => one.command === command && argument === undefined);
    const [chord] = row ? this.keysOf(row) : [];
    return chord ? chordText(chord) : "";
  }

  /** "Label (key)" for the title of a control that runs a command; `label` in place of the row's. */
  titleFor(command, argument, label) {
    const row = this.row(idOf(command, argument)) ?? this.rows.find((one) => one.command === command && argument === undefined);
    const key = this.keyText(command, argument);
    const name = label ?? row?.label ?? command;
    return key ? `${name} (${key})` : name;
  }

  /**
   * Puts `chord` in place of the row's key number `index` (one past the last: another key).
   * Returns {} when done, {refused: sentence}, or {holder: row} where another row has it and `swap` is false;
   * with `swap` the other row gets the key that this one gives up.
   */
  bind(id, index, chord, swap = false) {
    const row = this.row(id);
    if (row.fixed) return { refused: `The keys of “${row.label}” stay as they are.` };
    if (BROWSER.includes(chord)) return { refused: `${chordText(chord)} belongs to the browser; take another key.` };
    const keys = this.keysOf(row);
    if (keys.includes(chord)) return keys[index] === chord ? {} : { refused: `${chordText(chord)} is a key of this command already.` };
    const holder = this.rowFor(chord);
    if (holder?.fixed) return { refused: `${chordText(chord)} means “${holder.label}” and stays so; take another key.` };
    if (holder && !swap) return { holder };
    if (holder) this.#set(holder, this.keysOf(holder).flatMap((one) => (one === chord ? (keys[index] ?? []) : one)));
    this.#set(row, index < keys.length ? keys.map((one, k) => (k === index ? chord : one)) : [...keys, chord]);
    this.#changed();
    return {};
  }

  /** Takes a key away from a row. */
  remove(id, index) {
    const row = this.row(id);
    if (row.fixed) return;
    this.#set(row, this.keysOf(row).filter((_, k) => k !== index));
    this.#changed();
  }

  /** The row's own keys again. Returns {} or {holder: row} where another row has one of them by now. */
  reset(id) {
    const row = this.row(id);
    const holder = this.rows.find((one) => one !== row && row.keys.some((chord) => this.keysOf(one).includes(chord)));
    if (holder) return { holder };
    delete this.own[id];
    this.#changed();
    return {};
  }

  resetAll() {
    this.take({});
  }

  /** Takes what was kept: id -> chords. What is no list of chords, or of a row that stays as it is, is left out. */
  take(own) {
    const chords = (value) => Array.isArray(value) && value.every((one) => typeof one === "string");
    this.own = Object.fromEntries(Object.entries(own ?? {}).filter(([id, value]) => chords(value) && !this.row(id)?.fixed));
    this.#changed();
  }

  #set(row, keys) {
    this.own[row.id] = keys;
    if (JSON.stringify(keys) === JSON.stringify(row.keys)) delete this.own[row.id];
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
