// The command palette: every command of the page by a few letters of its name, with its keys, or why it cannot be done now.

import { Dialog } from "./dialog.js";
import { make } from "./dom.js";
import { found } from "./fuzzy.js";
import { chordText } from "./keys.js";
import { idOf } from "./keymap.js";
import { reasonAgainst } from "./reasons.js";

const MOST = 60;
const HIDDEN = ["palette", "escape", "subject"];
const HINT = "What do you want to do?";

export class Palette {
  constructor(editor) {
    Object.assign(this, { editor, shown: [], at: 0, lately: [] });
    this.dialog = new Dialog(editor.root, "al-palette", "Commands");
    this.input = make("input", {
      type: "text", class: "al-find", role: "combobox", autocomplete: "off", spellcheck: "false",
      "aria-expanded": "true", "aria-controls": "al-commands", "aria-autocomplete": "list", "aria-label": "Find a command",
    });
    this.list = make("ul", { id: "al-commands", role: "listbox", "aria-label": "Commands" });
    this.count = make("div", { class: "al-unseen", role: "status" });
    this.dialog.box.append(this.input, this.list, this.count);
    this.input.addEventListener("input", () => this.#fill());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // the keyboard stays in the field
    this.list.addEventListener("click", (event) => this.#clicked(event));
  }

  toggle() {
    if (this.dialog.isOpen) this.close();
    else this.open();
  }

  open(query = "", hint = HINT) {
    this.input.value = query;
    this.input.placeholder = hint;
    this.#fill();
    this.dialog.show(this.input);
  }

  close() {
    this.dialog.close();
  }

  /** What can be chosen: {id, label, group, keys, command, argument}. */
  #rows() {
    const { keymap, view } = this.editor;
    const rows = keymap.rows.filter((row) => !HIDDEN.includes(row.command)).map((row) => ({ ...row, keys: keymap.keysOf(row) }));
    const subjects = view.subjects.map((one, index) => {
      const keys = index < 10 ? [String((index + 1) % 10)] : [];
      return { id: idOf("pickSubject", one.id), group: "Subjects", label: `Mark subject ${one.name}`, keys, command: "pickSubject", argument: one.id };
    });
    return [...rows, ...subjects];
  }

  #found() {
    const query = this.input.value.trim();
    const rows = found(query, this.#rows(), (row) => `${row.label} ${row.group}`);
    if (/^\d+$/.test(query) && Number(query) < this.editor.view.clip.frames) {
      rows.unshift({ id: "frame", group: "Move", label: `Go to frame ${Number(query)}`, keys: [], command: "goFrame", argument: Number(query) });
    }
    if (query) return rows;
    const late = this.lately.map((id) => rows.find((row) => row.id === id)).filter(Boolean);
    return [...late, ...rows.filter((row) => !late.includes(row))];
  }

  #fill() {
    const all = this.#found();
    this.shown = this.input.value.trim() ? all.slice(0, MOST) : all;
    this.list.replaceChildren(...this.shown.map((row, index) => this.#option(row, index)));
    if (!this.shown.length) this.list.append(make("li", { class: "al-none", role: "presentation" }, "No command is called that."));
    this.count.textContent = `${this.shown.length} commands`;
    this.#goTo(0);
  }

  #option(row, index) {
    const why = reasonAgainst(this.editor, row);
    const keys = make("span", { class: "al-keys" }, ...row.keys.slice(0, 2).map((chord) => make("kbd", {}, chordText(chord))));
    const text = make("span", { class: "al-what" }, row.label, ...(why ? [make("small", {}, why)] : []));
    return make(
      "li",
      { id: `al-command-${index}`, role: "option", "aria-selected": "false", "aria-disabled": String(Boolean(why)), "data-index": index, "data-id": row.id },
      make("span", { class: "al-group-name" }, row.group),
      text,
      keys,
    );
  }

  #goTo(index) {
    const options = [...this.list.querySelectorAll("[role=option]")];
    options[this.at]?.setAttribute("aria-selected", "false");
    this.at = Math.max(0, Math.min(options.length - 1, index));
    const option = options[this.at];
    if (!option) return this.input.removeAttribute("aria-activedescendant");
    option.setAttribute("aria-selected", "true");
    this.input.setAttribute("aria-activedescendant", option.id);
    return option.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    const { length } = this.shown;
    if (event.key in steps) {
      const step = steps[event.key];
      const next = this.at + step;
      this.#goTo(Math.abs(step) === 1 ? (next + length) % Math.max(1, length) : next);
    } else if (event.key === "Enter" && !event.isComposing) this.#run(this.shown[this.at]);
    else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") this.close();
    else return;
    event.preventDefault();
  }

  #clicked(event) {
    const option = event.target.closest("[role=option]");
    if (option) this.#run(this.shown[Number(option.dataset.index)]);
  }

  #run(row) {
    if (!row) return;
    const why = reasonAgainst(this.editor, row);
    if (why) {
      this.count.textContent = why;
      this.#goTo(this.at);
      return;
    }
    if (row.command === "goFrame" && row.argument === undefined) return this.open("", "Type the number of a frame, then Enter");
    this.lately = [row.id, ...this.lately.filter((id) => id !== row.id)].slice(0, 4);
    this.close();
    this.editor.run(row.command, row.argument);
  }
}
