// The sheet of all keys, where each can be changed. A key that another command has is named and may be swapped.

import { Dialog } from "./dialog.js";
import { button, make } from "./dom.js";
import { chordOf, chordText } from "./keys.js";
import { isBare } from "./keymap.js";

export class HelpSheet {
  constructor(editor) {
    Object.assign(this, { editor, asking: null });
    this.dialog = new Dialog(editor.root, "al-help", "Keys");
    const close = button({ icon: "close", label: "Close the sheet of keys", title: "Close (Esc)", onclick: () => this.close() });
    const tour = button({ text: "Take the tour", label: "Take the tour", onclick: () => (this.close(), editor.run("tour")) });
    const all = button({ text: "All keys as they were", label: "All keys as they were", name: "keys-reset", onclick: () => this.#resetAll() });
    this.filter = make("input", { type: "search", class: "al-find", placeholder: "Filter", "aria-label": "Filter the commands" });
    this.filter.addEventListener("input", () => this.#fill());
    this.filter.addEventListener("focus", () => (this.asking = null)); // what is typed there is no answer
    this.said = make("p", { class: "al-help-said", role: "status" }, HOW);
    this.groups = make("div", { class: "al-help-groups" });
    const head = make("header", {}, make("b", {}, "Keys"), this.filter, tour, all, make("span", { class: "al-space" }), close);
    this.dialog.box.append(head, this.said, make("div", { class: "al-scroll" }, this.groups));
    // Before the window's own keys: the next key is the answer, whatever it is.
    this.dialog.veil.addEventListener("keydown", (event) => this.asking && this.#answer(event), { capture: true });
    editor.keymap.addEventListener("change", () => this.open && this.#fill());
  }

  get open() {
    return this.dialog.isOpen;
  }

  toggle() {
    if (this.open) return this.close();
    this.filter.value = "";
    this.said.replaceChildren(HOW);
    this.#fill();
    return this.dialog.show(this.filter);
  }

  close() {
    this.asking = null;
    this.dialog.close();
  }

  #fill() {
    const { keymap } = this.editor;
    const wanted = this.filter.value.trim().toLowerCase();
    const rows = keymap.rows.filter((row) => `${row.label} ${row.group} ${keymap.keysOf(row).join(" ")}`.toLowerCase().includes(wanted));
    const keyed = rows.filter((row) => row.keys.length || keymap.keysOf(row).length);
    const names = [...new Set(keyed.map((row) => row.group))];
    const groups = names.map((name) => section(name, keyed.filter((row) => row.group === name).map((row) => this.#row(row))));
    const rest = rows.filter((row) => !keyed.includes(row));
    if (rest.length) groups.push(section("Without a key: these can be given one", rest.map((row) => this.#row(row))));
    this.groups.replaceChildren(...groups);
  }

  #row(row) {
    const { keymap } = this.editor;
    const keys = keymap.keysOf(row);
    if (row.fixed) {
      const shown = keys.length > 4 ? `${chordText(keys[0])} … ${chordText(keys.at(-1))}` : keys.map(chordText).join(" ");
      return line([make("kbd", {}, shown)], row.label);
    }
    const chips = keys.map((chord, index) => this.#chip(row, index, chordText(chord), `Change the key ${chordText(chord)} of: ${row.label}`));
    chips.push(this.#chip(row, keys.length, "+", `Add a key for: ${row.label}`));
    if (keymap.isChanged(row)) chips.push(button({ icon: "undo", label: `The key as it was for: ${row.label}`, onclick: () => this.#reset(row) }));
    return line(chips, row.label);
  }

  #chip(row, index, text, label) {
    const chip = make("button", { type: "button", class: "al-key", "aria-label": label, title: label, "data-row": row.id, "data-index": index }, text);
    chip.addEventListener("click", () => this.#ask(row, index));
    return chip;
  }

  #find(row, index) {
    return this.groups.querySelector(`[data-row="${CSS.escape(row.id)}"][data-index="${index}"]`);
  }

  #ask(row, index) {
    this.asking = { row, index };
    this.#fill();
    const chip = this.#find(row, index);
    chip.classList.add("al-asking");
    chip.textContent = "…";
    chip.focus();
    const has = index < this.editor.keymap.keysOf(row).length;
    const gone = button({ text: "No key", label: `No key for: ${row.label}`, onclick: () => this.#leave(row, index) });
    this.#say(`Press the new key for “${row.label}”; Esc leaves it as it is.`, ...(has ? [gone] : []));
  }

  #answer(event) {
    const onButton = Boolean(event.target.closest(".al-help-said"));
    if (onButton && ["Enter", " ", "Tab"].includes(event.key)) return; // presses the button, or leaves it
    event.preventDefault();
    event.stopPropagation();
    if (isBare(event)) return;
    const { row, index } = this.asking;
    if (event.key === "Escape") {
      this.#done(row, index, HOW);
      return;
    }
    this.#bind(row, index, chordOf(event), false);
  }

  #bind(row, index, chord, swap) {
    const { keymap } = this.editor;
    const { refused, holder } = keymap.bind(row.id, index, chord, swap);
    if (holder) {
      const old = keymap.keysOf(row)[index];
      const how = old ? `Swap: it gets ${chordText(old)}` : "Take it away from there";
      const take = button({ text: how, label: how, name: "keys-swap", onclick: () => this.#bind(row, index, chord, true) });
      this.#say(`${chordText(chord)} already means “${holder.label}”. Press another key, or:`, take);
      take.focus();
      return;
    }
    if (refused) this.#say(refused);
    else this.#done(row, index, `${chordText(chord)} now means “${row.label}”.`);
  }

  #leave(row, index) {
    this.editor.keymap.remove(row.id, index);
    this.#done(row, 0, `That key of “${row.label}” is free now.`);
  }

  #reset(row) {
    const { holder } = this.editor.keymap.reset(row.id);
    const said = holder ? `The key is taken by “${holder.label}”; change that one first, or take all keys back.` : `“${row.label}” has its own key again.`;
    this.#done(row, 0, said);
  }

  #resetAll() {
    this.editor.keymap.resetAll();
    this.asking = null;
    this.#say("All keys are as they were.");
  }

  #done(row, index, said) {
    this.asking = null;
    this.#say(said);
    this.#fill();
    (this.#find(row, index) ?? this.filter).focus();
  }

  #say(...parts) {
    this.said.replaceChildren(...parts);
  }
}

const HOW = "Press a key on this sheet with the mouse or Enter to change it; + adds one. Keys do nothing while you type in a field.";

const section = (name, rows) => make("section", {}, make("b", {}, name), ...rows);

const line = (keys, label) => make("div", { class: "al-help-row" }, make("span", {}, ...keys), make("span", {}, label));
