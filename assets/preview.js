// The mask that a click would give, shown under the cursor while Shift is held with the point tool. Nothing is kept of it.

import { tint } from "./masks.js";
import { onGrid } from "./geometry.js";
import { adds } from "./tools.js";

const REST_MS = 60;

/** Runs `load(value, signal)` for the newest value only, once values rest; `done(value, result)` never gets an older one. */
export class Latest {
  constructor({ load, done, failed, rest = REST_MS }) {
    Object.assign(this, { load, done, failed, rest, timer: 0, running: null });
  }

  ask(value) {
    this.cancel();
    this.timer = setTimeout(() => this.#run(value), this.rest);
  }

  cancel() {
    clearTimeout(this.timer);
    this.running?.abort();
    this.running = null;
  }

  async #run(value) {
    const own = new AbortController();
    this.running = own;
    try {
      const result = await this.load(value, own.signal);
      if (this.running === own) this.done(value, result);
    } catch (error) {
      if (this.running === own) this.failed(error);
    }
  }
}

export class HoverPreview {
  constructor(editor) {
    this.editor = editor;
    this.held = null; // the Shift event while it is held
    this.asked = "";
    this.latest = new Latest({
      load: (at, signal) => this.#load(at, signal),
      done: (at, bitmap) => this.#show(at, bitmap),
      failed: (error) => editor.notices.warn(`The mask cannot be previewed (${error.message}).`),
    });
    document.addEventListener("keydown", (event) => {
      if (event.target.closest?.("input, textarea, select, [contenteditable=true]")) return;
      if (event.key === "Shift" || (this.held && event.key === "Alt")) this.#hold(event);
    });
    document.addEventListener("keyup", (event) => {
      if (event.key === "Shift") this.#hold(null);
      else if (this.held && event.key === "Alt") this.#hold(event);
    });
    window.addEventListener("blur", () => this.#hold(null));
    for (const name of ["cursor", "state", "view", "frame", "open"]) editor.addEventListener(name, () => this.#follow());
  }

  #hold(event) {
    this.held = event;
    this.#follow();
  }

  /** Asks for what the cursor is on now; takes the preview away where there is none to show. */
  #follow() {
    const at = this.#wanted();
    const name = at ? JSON.stringify(at) : "";
    if (name === this.asked) return;
    this.asked = name;
    if (!at) {
      this.latest.cancel();
      this.#draw(null);
      return;
    }
    this.editor.root.dataset.preview = "wait"; // what is drawn stays until the new one is there
    this.latest.ask(at);
  }

  #wanted() {
    const { view, cursor, tool, mode, frame, playback, pointer } = this.editor;
    if (!this.held || !view || !cursor || tool !== "point" || mode !== "source" || playback.playing) return null;
    const [x, y] = [onGrid(cursor.x), onGrid(cursor.y)];
    if (x < 0 || y < 0 || x > view.clip.width - 1 || y > view.clip.height - 1) return null;
    if (pointer.gesture || this.editor.pending.length || this.editor.keyframe()?.locked) return null;
    const label = adds(this.editor, { button: 0, buttons: 0, altKey: this.held.altKey }) ? 1 : -1;
    return { project: this.editor.project, rev: view.rev, subject: view.subject ?? 0, frame, x, y, label };
  }

  async #load({ subject, frame, x, y, label }, signal) {
    const response = await fetch(this.editor.api.url(`preview/${subject}/${frame}.png?x=${x}&y=${y}&label=${label}`), { signal });
    if (!response.ok) throw new Error((await response.json()).error);
    const canvas = new OffscreenCanvas(this.editor.stage.width, this.editor.stage.height);
    tint(canvas.getContext("2d"), await createImageBitmap(await response.blob()), this.editor.subject()?.colour ?? "#ffffff");
    return canvas;
  }

  #show(at, canvas) {
    if (JSON.stringify(at) === this.asked) this.#draw(canvas);
  }

  #draw(canvas) {
    const { overlay, root } = this.editor;
    root.dataset.preview = canvas ? "1" : "0";
    if (!overlay || overlay.preview === canvas) return;
    overlay.preview = canvas;
    overlay.draw();
  }
}
