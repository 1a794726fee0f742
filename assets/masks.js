// Masks of the subjects: loaded by frame, tinted in the subject's colour, and painted at once while the brush moves.
//
// While strokes are on their way to the server a `LocalMask` stands in for the stored one: the last stored mask plus
// those strokes. It goes when the server's own mask (the same pixels) has arrived.

import { fillArea, paintStroke } from "./brush.js";
import { Lru } from "./lru.js";
import { holds } from "./pictures.js";

const TINTED = 24;
const COMPRESSED_BYTES = 40e6;
export const TINT = 0.42; // how much of the colour covers the picture

/** Version key of a subject's mask on a frame, or null where it has none. */
export function maskKeyAt(subject, frame) {
  const keyframe = subject.keyframes.find((one) => one.frame === frame);
  if (keyframe) return keyframe.mask;
  return subject.carried && holds(subject.carried.ranges, frame) ? subject.carried.key : null;
}

/** Draws a mask (white, alpha = mask) as a translucent fill with an outline, both in `colour`. */
export function tint(pen, mask, colour) {
  const { width, height } = pen.canvas;
  const line = Math.max(1, Math.round(height / 540));
  const dip = (operation, alpha) => Object.assign(pen, { globalCompositeOperation: operation, globalAlpha: alpha, fillStyle: colour });
  for (const [dx, dy] of [[-1, 0], [1, 0], [0, -1], [0, 1]]) pen.drawImage(mask, dx * line, dy * line, width, height);
  dip("destination-out", 1);
  pen.drawImage(mask, 0, 0, width, height); // what is left is the outline
  dip("source-over", TINT);
  pen.drawImage(mask, 0, 0, width, height);
  dip("source-in", 1);
  pen.fillRect(0, 0, width, height);
  mask.close();
}

export class LocalMask {
  /** `key` is the version of the stored mask that the strokes go on; `alpha` (H × W) holds the result. */
  constructor(width, height, key) {
    Object.assign(this, { width, height, key, strokes: [], based: key === null, version: 0 });
    this.base = new Uint8Array(width * height);
    this.alpha = new Uint8Array(width * height);
  }

  /** Paints the newest part of a stroke, or a whole lasso; `stroke` = {xy, radius, mode, filled}. Returns the touched rectangle. */
  extend(stroke, points) {
    if (stroke.filled) return fillArea(this.alpha, this.width, this.height, points, stroke.mode === "add" ? 255 : 0);
    return paintStroke(this.alpha, this.width, this.height, points, stroke.radius, stroke.mode === "add" ? 255 : 0);
  }

  /** Takes a stored mask as the new ground and paints the strokes that it does not hold yet. */
  rebase(base, key) {
    Object.assign(this, { base, key, based: true });
    this.repaint();
  }

  repaint() {
    this.version += 1;
    this.alpha.set(this.base);
    for (const stroke of this.strokes) this.extend(stroke, stroke.xy);
  }
}

export class MaskStore {
  constructor(url, width, height) {
    Object.assign(this, { url, width, height });
    this.files = new Lru(COMPRESSED_BYTES, { weigh: (blob) => blob.size + 200 });
    this.tinted = new Lru(TINTED, { drop: (bitmap) => bitmap.close() });
    this.loading = new Map();
    this.locals = new Map();
  }

  close() {
    this.files.clear();
    this.tinted.clear();
    this.locals.clear();
  }

  #path(subject, frame, key) {
    return `mask/${subject}/${frame}.png?v=${encodeURIComponent(key)}`;
  }

  /** The stored mask, tinted (ImageBitmap at source size), if it is at hand. */
  peek(subject, frame, key) {
    return this.tinted.get(this.#path(subject.id, frame, key) + subject.colour);
  }

  /** Loads and tints a stored mask. */
  async load(subject, frame, key) {
    const name = this.#path(subject.id, frame, key) + subject.colour;
    if (this.tinted.has(name)) return this.tinted.get(name);
    if (!this.loading.has(name)) {
      const made = this.#tint(subject, frame, key).then((bitmap) => this.tinted.set(name, bitmap));
      this.loading.set(name, made.finally(() => this.loading.delete(name)));
    }
    await this.loading.get(name);
    return this.tinted.get(name);
  }

  async #file(subject, frame, key) {
    const path = this.#path(subject, frame, key);
    const held = this.files.get(path);
    if (held) return held;
    const response = await fetch(this.url(path));
    const blob = response.ok ? await response.blob() : new Blob([]);
    this.files.set(path, blob); // also an empty one: what is not there is not asked for again
    if (!response.ok && response.status !== 404) throw new Error(`${path} answered ${response.status}`);
    return blob;
  }

  async #tint(subject, frame, key) {
    const canvas = new OffscreenCanvas(this.width, this.height);
    const blob = await this.#file(subject.id, frame, key);
    if (blob.size) tint(canvas.getContext("2d"), await createImageBitmap(blob), subject.colour);
    return canvas.transferToImageBitmap();
  }

  /** Alpha (H × W) of a stored mask, exactly as stored. */
  async alpha(subject, frame, key) {
    const alpha = new Uint8Array(this.width * this.height);
    const blob = key === null ? null : await this.#file(subject, frame, key);
    if (!blob?.size) return alpha;
    const pen = new OffscreenCanvas(this.width, this.height).getContext("2d", { willReadFrequently: true });
    pen.drawImage(await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" }), 0, 0);
    const pixels = pen.getImageData(0, 0, this.width, this.height).data;
    for (let i = 0; i < alpha.length; i++) alpha[i] = pixels[i * 4 + 3];
    return alpha;
  }

  local(subject, frame) {
    return this.locals.get(`${subject}/${frame}`);
  }

  /** The local mask to paint on; made on the first stroke. `overlay` is drawn again when its ground has arrived. */
  startLocal(subject, frame, overlay) {
    const held = this.local(subject.id, frame);
    if (held) return held;
    const key = maskKeyAt(subject, frame);
    const mask = new LocalMask(this.width, this.height, key);
    this.locals.set(`${subject.id}/${frame}`, mask);
    if (!mask.based) this.#ground(mask, subject.id, frame, key).then(() => overlay.draw(), overlay.failed);
    return mask;
  }

  async #ground(mask, subject, frame, key) {
    const base = await this.alpha(subject, frame, key);
    if (mask.key === key) mask.rebase(base, key);
  }

  /** After the server's answer: strokes it holds leave the local masks; masks without strokes give way to the stored ones. */
  async settle(view) {
    for (const [name, mask] of [...this.locals]) {
      if (mask.strokes.some((stroke) => stroke.state !== "stored")) continue;
      const [id, frame] = name.split("/").map(Number);
      const subject = view.subjects.find((one) => one.id === id);
      const key = subject ? maskKeyAt(subject, frame) : null;
      const stored = [...mask.strokes];
      mask.key = key;
      const base = await this.alpha(id, frame, key);
      if (subject && key !== null) await this.load(subject, frame, key);
      if (mask.key !== key) continue; // a newer answer is being settled
      mask.strokes = mask.strokes.filter((stroke) => !stored.includes(stroke));
      mask.rebase(base, key);
      if (mask.strokes.length === 0) this.locals.delete(name);
    }
  }
}
