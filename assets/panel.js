// The rows of controls above and below the stage. They run the commands of the shortcut table and show the state.

import { button, make, setText } from "./dom.js";
import { Hint } from "./hint.js";
import { active } from "./poll.js";
import { jobText } from "./readout.js";
import { BRUSHES } from "./tools.js";

const TOOLS = [
  ["select", "select", "Select"],
  ["hand", "hand", "Hand"],
  ["point", "point", "Point"],
  ["box", "box", "Box"],
  ["brush", "brush", "Brush"],
  ["eraser", "eraser", "Eraser"],
  ["lasso", "lasso", "Lasso"],
  ["track", "track", "Tracked point"],
  ["paint", "paint", "Paint a take"],
];
const MODES = [
  ["source", "Source"],
  ["edited", "Edited"],
  ["wipe", "Wipe"],
  ["flicker", "Flicker"],
];
const RADIUS_STEPS = 100; // the size slider is logarithmic, 0.5 to 400 px
const toSlider = (radius) => Math.round((Math.log(radius / 0.5) / Math.log(800)) * RADIUS_STEPS);
const fromSlider = (value) => 0.5 * 800 ** (value / RADIUS_STEPS);

export class Panel {
  constructor(editor) {
    this.editor = editor;
    this.buttons = new Map();
    this.top = make("div", { class: "al-rows" }, this.#toolRow(), this.#subjectRow());
    this.hint = new Hint(editor);
    this.bottom = make("div", { class: "al-rows" }, this.hint.element, this.#transportRow());
    editor.keymap.addEventListener("change", () => this.#titles());
    for (const name of ["state", "view", "status", "open"]) editor.addEventListener(name, () => this.update());
    for (const name of ["cursor", "frame"]) editor.addEventListener(name, () => this.#moved());
  }

  /** A button that runs a command; kept under `name` to be shown pressed or disabled. */
  #command(name, look, command, argument) {
    const onclick = (event) => this.editor.run(command, argument, event);
    const made = button({ ...look, name, title: this.editor.keymap.titleFor(command, argument, look.title), onclick });
    Object.assign(made, { alCommand: command, alArgument: argument, alTitle: look.title });
    this.buttons.set(name, made);
    return made;
  }

  /** The keys in all titles as they are now. */
  #titles() {
    const { keymap } = this.editor;
    for (const one of this.buttons.values()) one.title = keymap.titleFor(one.alCommand, one.alArgument, one.alTitle);
    this.size.title = `Brush size (${keymap.keyText("brushSize", 0.8)} ${keymap.keyText("brushSize", 1.25)})`;
    this.update();
  }

  #toolRow() {
    const tools = TOOLS.map(([tool, icon, label]) => this.#command(`tool-${tool}`, { icon, label }, tool === "lasso" ? "lasso" : "tool", tool));
    const modes = MODES.map(([mode, text]) => this.#command(`mode-${mode}`, { text, label: `Show ${text}` }, "mode", mode));
    return make(
      "div",
      { class: "al-row", role: "toolbar", "aria-label": "Tools" },
      group("al-joined", ...tools),
      group("", this.#command("undo", { icon: "undo", label: "Undo" }, "undo"), this.#command("redo", { icon: "redo", label: "Redo" }, "redo")),
      make("span", { class: "al-space" }),
      group("al-joined", ...modes),
      group(
        "",
        this.#command("masks", { icon: "mask", label: "Show masks and marks" }, "toggleMasks"),
        this.#command("palette", { icon: "find", label: "Find a command" }, "palette"),
        this.#command("help", { text: "?", label: "Keys and help" }, "help"),
      ),
    );
  }

  #brushControls() {
    const { editor } = this;
    this.size = make("input", { type: "range", min: 0, max: RADIUS_STEPS, "aria-label": "Brush size", title: "Brush size" });
    this.size.addEventListener("input", () => editor.set({ radius: fromSlider(Number(this.size.value)) }));
    this.size.addEventListener("change", () => editor.root.focus({ preventScroll: true }));
    this.sizeText = make("span", { class: "al-number" });
    this.brushGroup = group("", this.size, this.sizeText);
    return this.brushGroup;
  }

  #paintControls() {
    const { editor } = this;
    this.colour = make("input", { type: "color", value: editor.colour, "aria-label": "Paint colour", title: "Paint colour" });
    this.colour.addEventListener("input", () => editor.set({ colour: this.colour.value }));
    this.opacity = make("input", { type: "range", min: 5, max: 100, value: 100, "aria-label": "Paint opacity", title: "Paint opacity" });
    this.opacity.addEventListener("input", () => editor.set({ opacity: Number(this.opacity.value) / 100 }));
    const keep = this.#command("keep", { icon: "keep", text: "Keep as take", label: "Keep as take" }, "keepPaint");
    this.paintGroup = group("", this.colour, this.opacity, keep);
    return this.paintGroup;
  }

  #subjectRow() {
    const { editor } = this;
    this.chips = make("div", { class: "al-chips", role: "radiogroup", "aria-label": "Subjects" });
    const add = this.#command("add-subject", { icon: "add", label: "Add a subject" }, "addSubject");
    return make(
      "div",
      { class: "al-row" },
      this.chips,
      add,
      make("span", { class: "al-space" }),
      this.#brushControls(),
      this.#paintControls(),
      group(
        "",
        this.#command("onion", { icon: "onion", label: "Onion skin of the neighbouring anchors" }, "onion"),
        this.#command("lock", { icon: "lock", label: "Lock the marks on this frame" }, "lockKeyframe"),
        this.#command("clear", { icon: "clear", label: "Clear the marks on this frame" }, "clearKeyframe"),
        this.#command("carry", { icon: "carry", text: "Carry", label: "Carry the masks through the shot" }, "carry"),
      ),
    );
  }

  #transportRow() {
    const one = (name, icon, label, command, argument) => this.#command(name, { icon, label }, command, argument);
    this.zoomText = this.#command("zoom", { text: "100 %", label: "Show the whole picture" }, "zoomFit");
    this.zoomText.classList.add("al-number");
    this.status = make("span", { class: "al-status" });
    this.job = make("span", { class: "al-work", hidden: true }, make("span"), this.#command("cancel", { icon: "close", label: "Cancel the job" }, "cancelJob"));
    return make(
      "div",
      { class: "al-row", role: "toolbar", "aria-label": "Transport" },
      group("", one("first", "first", "First frame", "goFirst"), one("back", "back", "One frame back", "step", -1), one("play", "play", "Play or pause", "playPause"), one("on", "on", "One frame on", "step", 1), one("last", "last", "Last frame", "goLast")),
      group("", one("anchor-back", "anchorBack", "Previous anchor", "goAnchor", -1), this.#command("anchor", { icon: "anchor", text: "Anchor", label: "Make this frame an anchor" }, "addAnchor"), one("anchor-on", "anchorOn", "Next anchor", "goAnchor", 1), one("sheet", "sheet", "Contact sheet", "sheet")),
      group("", one("range-in", "rangeIn", "Range starts here", "rangeIn"), one("range-out", "rangeOut", "Range ends here", "rangeOut")),
      this.status,
      make("span", { class: "al-space" }),
      this.job,
      this.zoomText,
    );
  }

  update() {
    const { editor } = this;
    const { view } = editor;
    for (const [tool] of TOOLS) this.#press(`tool-${tool}`, editor.tool === tool);
    for (const [mode] of MODES) this.#press(`mode-${mode}`, editor.mode === mode);
    this.#press("masks", editor.showMasks);
    this.#press("onion", Boolean(editor.compare?.onion.on));
    this.brushGroup.hidden = !BRUSHES.includes(editor.tool) && editor.tool !== "paint";
    this.paintGroup.hidden = editor.tool !== "paint";
    this.size.value = toSlider(editor.radius);
    setText(this.sizeText, `${editor.radius < 10 ? editor.radius.toFixed(1) : Math.round(editor.radius)} px`);
    this.#icon("play", editor.playback?.playing ? "pause" : "play");
    if (!view) return;
    this.#enable("undo", view.can_undo || editor.paint.count() > 0, view.undo_label && editor.keymap.titleFor("undo", undefined, `Undo: ${view.undo_label}`));
    this.#enable("redo", view.can_redo, view.redo_label && editor.keymap.titleFor("redo", undefined, `Redo: ${view.redo_label}`));
    this.#enable("keep", editor.paint.count() > 0);
    this.#subjects(view);
    this.#job(view.job);
    this.#moved();
  }

  /** What depends on the frame or the pointer. */
  #moved() {
    const { editor } = this;
    if (!editor.view) return;
    const keyframe = editor.keyframe();
    this.#press("anchor", Boolean(editor.anchor()));
    this.#press("lock", Boolean(keyframe?.locked));
    this.#enable("lock", Boolean(keyframe));
    this.#enable("clear", Boolean(keyframe) && !keyframe.locked);
    setText(this.zoomText, `${Math.round(editor.stage.view.scale * 100)} %`);
    const { cursor } = editor;
    setText(this.status, cursor ? `${Math.floor(cursor.x + 0.5)}, ${Math.floor(cursor.y + 0.5)}` : "");
  }

  #press(name, on) {
    const control = this.buttons.get(name);
    if (control.getAttribute("aria-pressed") !== String(on)) control.setAttribute("aria-pressed", String(on));
  }

  #enable(name, on, title) {
    const control = this.buttons.get(name);
    if (control.disabled === on) control.disabled = !on;
    if (title && control.title !== title) control.title = title;
  }

  #icon(name, icon) {
    const control = this.buttons.get(name);
    if (control.dataset.icon === icon) return;
    control.dataset.icon = icon;
    control.replaceChildren(...button({ icon, label: icon }).childNodes);
  }

  #subjects(view) {
    const state = JSON.stringify([view.subject, view.subjects.map(({ id, name, colour }) => [id, name, colour])]);
    if (state === this.shownSubjects) return;
    this.shownSubjects = state;
    const chips = view.subjects.map((subject, index) => {
      const key = index < 10 ? ` (${(index + 1) % 10})` : "";
      const onclick = () => this.editor.act("select_subject", { subject: subject.id });
      const chip = button({ text: subject.name, label: subject.name, title: `${subject.name}${key}`, name: `subject-${subject.id}`, onclick });
      chip.prepend(make("i", { style: `background: ${subject.colour}` }));
      chip.setAttribute("role", "radio");
      chip.setAttribute("aria-checked", String(subject.id === view.subject));
      return chip;
    });
    this.chips.replaceChildren(...chips);
  }

  #job(job) {
    this.job.hidden = !active(job);
    if (!this.job.hidden) setText(this.job.firstChild, jobText(job));
  }
}

const group = (kind, ...children) => make("span", { class: `al-group ${kind}` }, ...children);
