// Painting a take: an RGBA layer of source size over the picture of an anchor. Strokes are kept as data until the
// layer is kept as a take, so they can be taken back one by one; layers of several anchors wait side by side.

import { make } from "./dom.js";

export class PaintLayers {
  constructor(parent, width, height) {
    Object.assign(this, { width, height, strokes: new Map(), frame: -1 });
    this.canvas = make("canvas", { class: "al-paint", hidden: true });
    [this.canvas.width, this.canvas.height] = [width, height];
    parent.replaceChildren(this.canvas);
    this.pen = this.canvas.getContext("2d");
    this.scratch = new OffscreenCanvas(width, height);
  }

  /** Shows the layer of `frame`. */
  show(frame) {
    if (frame === this.frame) return;
    const empty = this.count(this.frame) === 0 && this.count(frame) === 0;
    this.frame = frame;
    if (!empty) this.redraw();
  }

  count(frame = this.frame) {
    return this.strokes.get(frame)?.length ?? 0;
  }

  /** Starts a stroke {xy, radius, colour, opacity, erase} on the shown frame. */
  begin(stroke) {
    this.strokes.set(this.frame, [...(this.strokes.get(this.frame) ?? []), stroke]);
    this.redraw();
  }

  /** Takes the newest stroke back; false when there is none. */
  undo() {
    if (this.count() === 0) return false;
    this.strokes.get(this.frame).pop();
    this.redraw();
    return true;
  }

  clear(frame) {
    this.strokes.delete(frame);
    if (frame === this.frame) this.redraw();
  }

  redraw() {
    this.canvas.hidden = this.count() === 0;
    this.pen.clearRect(0, 0, this.width, this.height);
    for (const stroke of this.strokes.get(this.frame) ?? []) this.#stroke(stroke);
  }

  /** One stroke has one opacity, also where it crosses itself: it is drawn solid first, then laid over. */
  #stroke({ xy, radius, colour, opacity, erase }) {
    const pen = this.scratch.getContext("2d");
    pen.clearRect(0, 0, this.width, this.height);
    Object.assign(pen, { strokeStyle: colour, lineWidth: 2 * radius, lineCap: "round", lineJoin: "round" });
    pen.beginPath();
    pen.moveTo(xy[0][0] + 0.5, xy[0][1] + 0.5);
    for (const [x, y] of xy.length > 1 ? xy.slice(1) : xy) pen.lineTo(x + 0.5, y + 0.5);
    pen.stroke();
    this.pen.save();
    this.pen.globalAlpha = opacity;
    this.pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
    this.pen.drawImage(this.scratch, 0, 0);
    this.pen.restore();
  }

  /** The shown layer as base64 PNG, RGBA at source size. */
  async png() {
    const blob = await new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
    const bytes = new Uint8Array(await blob.arrayBuffer());
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    return btoa(text);
  }
}
