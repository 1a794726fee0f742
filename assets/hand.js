// The pointer of the canvas moved by keys: for everybody who cannot, or would rather not, use a mouse.
// Arrows move it, Enter is the left button, Shift+Enter the right one, Escape puts it away. A tool that draws is
// pressed by one Enter and let go by the next.

import { clamp, sourceToStage } from "./geometry.js";

const STEP = 8; // CSS px
const FAR = 48;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const AT_ONCE = ["point", "track"]; // tools that a press alone makes do something

export class Hand {
  constructor(editor) {
    Object.assign(this, { editor, at: null, button: null });
    editor.addEventListener("open", () => this.put(null));
  }

  get on() {
    return this.at !== null;
  }

  toggle() {
    const { stage, notices } = this.editor;
    if (this.on) return this.put(null);
    notices.say("The keys move the pointer now: arrows (Shift: far, Alt: one pixel), Enter presses, Shift+Enter is the right button, Esc ends it.");
    return this.put([Math.round(stage.width / 2), Math.round(stage.height / 2)]);
  }

  put(at) {
    if (at === null && this.button !== null) this.editor.pointer.cancel();
    if (at === null) this.button = null;
    this.at = at;
    if (!this.editor.view) return;
    this.editor.set({ cursor: at ? { x: at[0], y: at[1], adds: true } : null });
  }

  /** Whether the key was for the pointer; does what it says. */
  takes(chord) {
    if (!this.on) return false;
    const parts = chord.split("+");
    const move = MOVES[parts.at(-1)];
    if (move && !parts.includes("Ctrl")) this.#move(move, parts);
    else if (chord === "Enter" || chord === "Space") this.#press(0);
    else if (chord === "Shift+Enter") this.#press(2);
    else if (chord === "Escape") this.put(null);
    else return false;
    return true;
  }

  #move([dx, dy], parts) {
    const { stage } = this.editor;
    const step = parts.includes("Alt") ? 1 : (parts.includes("Shift") ? FAR : STEP) / stage.view.scale;
    const [x, y] = [clamp(this.at[0] + dx * step, 0, stage.width - 1), clamp(this.at[1] + dy * step, 0, stage.height - 1)];
    this.at = [x, y];
    this.editor.pointer.move(this.#event(this.button));
    this.editor.announce?.say(`${Math.round(x)}, ${Math.round(y)}`);
  }

  #press(button) {
    const { pointer, tool } = this.editor;
    if (this.button === null) {
      pointer.down(this.#event(button));
      this.button = button;
      if (!AT_ONCE.includes(tool)) return;
    }
    const event = this.#event(this.button);
    this.button = null;
    pointer.up(event);
  }

  /** What the pointer's tools read of an event. */
  #event(button) {
    const { stage } = this.editor;
    const box = stage.element.getBoundingClientRect();
    const [x, y] = sourceToStage(...this.at, stage.view);
    const buttons = button === null ? 0 : button === 2 ? 2 : 1;
    return { clientX: box.left + x, clientY: box.top + y, button: button ?? 0, buttons, altKey: false, shiftKey: false };
  }
}
