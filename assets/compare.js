// Comparing on the canvas: flicker between source and edit, the source while a key is held, and the bar with the wipe's
// place. Zoom and pan belong to the stage, so every way of looking shares them.

import { make } from "./dom.js";
import { REMARKS } from "./instant.js";
import { OnionSkin } from "./onion.js";

const FLICKER_MS = 500; // each picture: one change back and forth a second, far below what is harmful to look at

export class Compare {
  constructor(editor) {
    Object.assign(this, { editor, held: "", phase: "edited", timer: 0 });
    this.onion = new OnionSkin(editor);
    this.place = make("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": "Place of the wipe, percent from the left" });
    this.place.addEventListener("input", () => {
      editor.set({ wipe: Number(this.place.value) / 100 });
      editor.redraw();
    });
    this.wipe = make("label", { class: "al-compare-part", hidden: true }, make("span", {}, "Wipe"), this.place);
    this.bar = make("div", { class: "al-compare", role: "group", "aria-label": "Compare", hidden: true }, this.wipe, this.onion.part);
    this.bar.addEventListener("pointerdown", (event) => event.stopPropagation()); // not a stroke of a tool
    editor.stage.element.append(this.bar);
    for (const name of ["state", "open"]) editor.addEventListener(name, () => this.#follow());
    document.addEventListener("keyup", (event) => this.held && event.code === this.held && this.hold(""));
    window.addEventListener("blur", () => this.hold(""));
  }

  /** What pictures have to be there. */
  get loads() {
    return this.held ? "source" : this.editor.mode;
  }

  /** How they are drawn: "source", "edited" or "wipe". */
  get draws() {
    if (this.held) return "source";
    return this.editor.mode === "flicker" ? this.phase : this.editor.mode;
  }

  /** What is said about the picture, by the kind of the edited one. */
  remark(kind) {
    if (this.held) return this.editor.mode === "source" ? null : "Source";
    if (this.editor.mode === "source") return null;
    if (this.editor.mode === "flicker" && kind !== "none") return this.phase === "source" ? "Source" : (REMARKS[kind] ?? "Edited");
    return REMARKS[kind] ?? null;
  }

  /** Shows the source as long as the key with this code is down; "" lets go. Without a key it stays until it is asked for again. */
  hold(code) {
    if (code === this.held) return;
    this.held = code;
    this.editor.root.dataset.held = code ? "source" : "";
    this.editor.redraw();
  }

  /** A key event holds the source, anything else switches it. */
  holdBy(event) {
    if (event?.type === "keydown" && event.code) return this.hold(event.code);
    return this.hold(this.held ? "" : "switch");
  }

  #follow() {
    const { editor } = this;
    const { mode } = editor;
    if (mode === "flicker" && !this.timer) this.timer = setInterval(() => this.#turn(), FLICKER_MS);
    if (mode !== "flicker" && this.timer) {
      clearInterval(this.timer);
      Object.assign(this, { timer: 0, phase: "edited" });
    }
    const per = String(Math.round(editor.wipe * 100));
    if (this.place.value !== per) this.place.value = per;
    this.wipe.hidden = mode !== "wipe";
    this.bar.hidden = this.wipe.hidden && !this.onion.on;
  }

  #turn() {
    if (!this.editor.view || document.visibilityState !== "visible") return;
    this.phase = this.phase === "edited" ? "source" : "edited";
    this.editor.root.dataset.phase = this.phase;
    this.editor.redraw();
  }
}
