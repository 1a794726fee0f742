// The masks' tint over the picture: stored masks as tinted bitmaps, the mask being painted from its own pixels.

import { maskKeyAt, TINT } from "./masks.js";

const SLOTS = 2;

const rgb = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

export class Overlay {
  /** `current()` -> {view, frame, visible}; `failed(error)` when a mask cannot be loaded. */
  constructor(stage, masks, { current, failed }) {
    Object.assign(this, { stage, masks, current, failed, loads: new Set(), empty: false, preview: null });
    this.painted = new WeakMap(); // LocalMask -> {canvas with its pixels, version}
  }

  /** Draws the tint of the current frame, all of it or one rectangle. */
  draw(rect) {
    const { view, frame, visible } = this.current();
    const layers = visible ? view.subjects.flatMap((subject) => this.#layers(subject, frame)) : [];
    if (this.preview) layers.push(this.preview);
    if (layers.length === 0 && this.empty) return;
    this.empty = layers.length === 0;
    this.stage.drawTint(layers, rect);
  }

  #layers(subject, frame) {
    const local = this.masks.local(subject.id, frame);
    if (local?.based) return [this.#canvasOf(local, subject.colour)];
    const key = local ? local.key : maskKeyAt(subject, frame);
    const stored = key === null ? undefined : this.masks.peek(subject, frame, key);
    if (key !== null && !stored) this.#load(subject, frame, key);
    return [stored, local && this.#canvasOf(local, subject.colour)].filter(Boolean);
  }

  /** Loads a mask and draws again. While both slots are taken the frame waits; only the newest one matters then. */
  #load(subject, frame, key) {
    if (this.loads.size >= SLOTS) return;
    const done = this.masks.load(subject, frame, key).catch(this.failed);
    this.loads.add(done);
    done.then(() => {
      this.loads.delete(done);
      this.draw();
    });
  }

  #canvasOf(local, colour) {
    const held = this.painted.get(local);
    if (held?.version === local.version) return held.canvas;
    const canvas = held?.canvas ?? new OffscreenCanvas(local.width, local.height);
    this.painted.set(local, { canvas, version: local.version });
    this.paint(local, colour, [0, 0, local.width, local.height]);
    return canvas;
  }

  /** Copies a rectangle of a local mask's pixels to its canvas. */
  paint(local, colour, [x0, y0, x1, y1]) {
    const canvas = this.painted.get(local)?.canvas;
    const [w, h] = [x1 - x0, y1 - y0];
    if (!canvas || w <= 0 || h <= 0) return;
    const image = new ImageData(w, h);
    const [red, green, blue] = rgb(colour);
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        image.data.set([red, green, blue, local.alpha[(y + y0) * local.width + x + x0] * TINT], (y * w + x) * 4);
      }
    }
    canvas.getContext("2d").putImageData(image, x0, y0);
  }

  /** Resolves when the masks of the current frame are drawn. */
  async idle() {
    while (this.loads.size) {
      await Promise.all(this.loads);
      await Promise.resolve(); // the redraw after a load may start the next one
    }
  }
}
