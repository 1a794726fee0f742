// The list of edits beside the canvas, the topmost first: pick the one to work on, switch it on and off, name it, move it.
//
// Shown is the result up to the edit that is worked on; those above it are dimmed. Every act is one of the server's and can be
// taken back.

import { button, make, setText } from "./dom.js";
import { loadStyle } from "./style.js";

/** What the picked edit changes: [value of the act's `subjects`, text], one per choice. */
export function aims(view) {
  const subjects = view.subjects.map((one) => [[one.id], one.name]);
  return [[null, view.subjects.length === 1 ? view.subjects[0].name : "All subjects"], ...(subjects.length > 1 ? subjects : []), [[], "Whole frame"]];
}

/** `subjects` of an edit after a click on the choice `value`, with `more` held: that one joins or leaves the others. */
export function aimed(subjects, value, more) {
  if (!more || !Array.isArray(subjects) || !value?.length) return value;
  const [id] = value;
  const left = subjects.includes(id) ? subjects.filter((one) => one !== id) : [...subjects, id];
  return left.length ? left : subjects;
}

/** "motion · 2 of 3 anchors approved" of an edit. */
export function factsOf(edit) {
  const anchors = edit.anchors ? `${edit.approved} of ${edit.anchors} anchor${edit.anchors === 1 ? "" : "s"} approved` : "no anchors yet";
  return edit.on ? anchors : `off · ${anchors}`;
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

export class EditList {
  constructor(root, editor) {
    Object.assign(this, { root, editor, shown: "", renaming: null });
    editor.edits = this;
    const add = button({ icon: "add", label: "Add an edit above this one", name: "add-edit", onclick: () => this.add() });
    this.count = make("span", { class: "al-edits-count" });
    this.rows = make("div", { class: "al-edits-rows", role: "radiogroup", "aria-label": "Edits, the topmost first" });
    this.aims = make("div", { class: "al-edits-aims", role: "group", "aria-label": "What this edit changes" });
    this.rows.addEventListener("keydown", (event) => this.#key(event));
    root.append(make("header", {}, make("b", {}, "Edits"), this.count, add), this.rows, this.aims);
    for (const name of ["view", "open"]) editor.addEventListener(name, () => this.update());
    this.update();
  }

  get view() {
    return this.editor.view;
  }

  /** The edit that is worked on. */
  get picked() {
    return this.view.edits.find((one) => one.id === this.view.edit);
  }

  // ---- acts --------------------------------------------------------------------------------------------------------

  async add() {
    const view = await this.editor.act("add_edit");
    if (!view) return;
    this.#shown();
    this.editor.notices.say(`${this.picked.name} edits the result of the edits below it.`);
  }

  async pick(id) {
    if (id === this.view.edit) return;
    if (await this.editor.act("select_edit", { edit: id })) this.#shown();
  }

  /** Over other edits, their result is what is worked on: the source would hide it. */
  #shown() {
    if (this.view.below && this.editor.mode === "source") this.editor.setMode("edited");
    else this.editor.redraw();
  }

  /** The edit above (1) or below (-1) the picked one. */
  step(way) {
    const next = this.view.edits[this.#place() + way];
    if (next) return this.pick(next.id);
    return this.editor.notices.say(this.view.edits.length > 1 ? "There is no further edit that way." : "There is one edit; + beside the edits adds another.");
  }

  #place() {
    return this.view.edits.findIndex((one) => one.id === this.view.edit);
  }

  switch(edit = this.picked) {
    return this.editor.act("switch_edit", { edit: edit.id, on: !edit.on });
  }

  async move(way) {
    const to = this.#place() + way;
    if (this.view.edits[to]) await this.editor.act("move_edit", { edit: this.view.edit, to });
  }

  async remove() {
    const { name, id } = this.picked;
    if (await this.editor.act("remove_edit", { edit: id })) this.editor.notices.say(`Removed ${name}; Ctrl+Z brings it back.`);
  }

  rename() {
    this.renaming = this.view.edit;
    this.update();
    this.root.querySelector("input")?.select();
  }

  async #named(text) {
    const { renaming } = this;
    if (renaming === null) return;
    this.renaming = null;
    const edit = this.view.edits.find((one) => one.id === renaming);
    if (text !== null && edit && text.trim() && text.trim() !== edit.name) await this.editor.act("rename_edit", { edit: renaming, name: text });
    this.update();
  }

  #key(event) {
    if (event.target.tagName === "INPUT") return;
    const acts = {
      ArrowUp: () => (event.altKey ? this.move(1) : this.step(1)),
      ArrowDown: () => (event.altKey ? this.move(-1) : this.step(-1)),
      " ": () => this.switch(),
      Enter: () => this.rename(),
      Delete: () => this.remove(),
    };
    if (!acts[event.key] || event.target.getAttribute("role") !== "radio") return;
    event.preventDefault();
    event.stopPropagation();
    acts[event.key]();
  }

  // ---- what is shown -----------------------------------------------------------------------------------------------

  update() {
    const { view } = this;
    if (!view?.edits) return;
    const state = JSON.stringify([view.edit, view.edits, view.subjects.map(({ id, name, colour }) => [id, name, colour]), view.read_only, this.renaming]);
    if (state === this.shown) return;
    this.shown = state;
    const focused = this.rows.contains(document.activeElement);
    setText(this.count, view.edits.length > 1 ? `working on ${this.#place() + 1} of ${view.edits.length}` : "");
    this.rows.replaceChildren(...view.edits.map((edit, place) => this.#row(edit, place)).reverse());
    this.aims.replaceChildren(...this.#choices());
    this.#inSight();
    if (focused || this.renaming !== null) this.rows.querySelector("input, [aria-checked=true][role=radio]")?.focus();
  }

  /** Scrolls the picked row into the list's own window, and nothing else. */
  #inSight() {
    const row = this.rows.querySelector(`[data-edit="${this.view.edit}"]`);
    const { offsetTop: top, offsetHeight: height } = row;
    const from = this.rows.offsetTop;
    if (top - from < this.rows.scrollTop) this.rows.scrollTop = top - from;
    else if (top - from + height > this.rows.scrollTop + this.rows.clientHeight) this.rows.scrollTop = top - from + height - this.rows.clientHeight;
  }

  #row(edit, place) {
    const { view } = this;
    const picked = edit.id === view.edit;
    const about = `${edit.name}: ${factsOf(edit)}`;
    const turn = button({ icon: "mask", label: `${edit.name} is part of the result`, name: `edit-on-${edit.id}`, title: edit.on ? "On: part of the result" : "Off: left out of the result", onclick: () => this.switch(edit) });
    turn.setAttribute("role", "switch");
    turn.setAttribute("aria-checked", String(edit.on));
    const row = make("div", { class: "al-edits-row", "data-edit": edit.id, "data-on": String(edit.on), "data-above": String(place > this.#place()) }, turn);
    if (this.renaming === edit.id) row.append(this.#field(edit));
    else {
      const name = button({ text: edit.name, label: about, title: picked ? `${about} (Enter: rename)` : about, name: `edit-${edit.id}`, onclick: () => this.pick(edit.id) });
      name.append(make("small", {}, factsOf(edit)));
      name.setAttribute("role", "radio");
      name.setAttribute("aria-checked", String(picked));
      name.tabIndex = picked ? 0 : -1;
      name.addEventListener("dblclick", () => this.rename());
      row.append(name);
    }
    if (picked) row.append(...this.#tools(place));
    return row;
  }

  #tools(place) {
    const { edits } = this.view;
    const one = (name, icon, label, off, onclick) => {
      const made = button({ icon, label, name, onclick });
      made.disabled = off;
      return made;
    };
    return [
      one("edit-up", "up", "Move this edit up", place === edits.length - 1, () => this.move(1)),
      one("edit-down", "down", "Move this edit down", place === 0, () => this.move(-1)),
      one("edit-rename", "rename", "Rename this edit", false, () => this.rename()),
      one("edit-remove", "clear", "Remove this edit", edits.length === 1, () => this.remove()),
    ];
  }

  #field(edit) {
    const field = make("input", { type: "text", value: edit.name, maxlength: 120, "aria-label": "Name of the edit", "data-name": "edit-name" });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#named(field.value);
      else if (event.key === "Escape") this.#named(null);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    field.addEventListener("blur", () => this.#named(field.value));
    return field;
  }

  #choices() {
    const { subjects } = this.picked;
    return aims(this.view).map(([value, text], index) => {
      const on = same(subjects, value) || (Array.isArray(subjects) && value?.length === 1 && subjects.includes(value[0]));
      const onclick = (event) => this.editor.act("aim_edit", { subjects: aimed(subjects, value, event.shiftKey || event.ctrlKey) });
      const title = value?.length ? `${text} (with Shift: beside the others)` : text;
      const made = button({ text, label: `Changes ${text}`, title, name: `aim-${index}`, onclick });
      made.setAttribute("aria-pressed", String(on));
      return made;
    });
  }
}

/** Builds the list as soon as the editor of this page is there. */
export async function mount(element) {
  await loadStyle("edits.css");
  const root = element.querySelector(".al-edits");
  const bind = () => new EditList(root, window.anchorline);
  if (window.anchorline) bind();
  else document.addEventListener("anchorline:ready", bind, { once: true });
}
