// The stage: the picture, the masks' tint and the marks, one canvas each, under zoom and pan. Draws what it is told.

import { make, setText } from "./dom.js";
import { clamp, clientToSource, fitView, keepInside, sourceToStage, zoomAt } from "./geometry.js";
import { drawDivider, drawMarks } from "./marks.js";

const LEAST_HEIGHT = 220;
const MOST_SCALE = 32;

export class Stage {
  /** `reserve()` -> CSS pixels to leave free below the stage; `changed()` is called after zoom, pan or resizing. */
  constructor(parent, { reserve, changed }) {
    Object.assign(this, { reserve, changed, width: 16, height: 9, view: { scale: 1, left: 0, top: 0 }, fitted: true });
    this.picture = make("canvas", { class: "al-picture" });
    this.tint = make("canvas", { class: "al-tint" });
    this.layer = make("div", { class: "al-layer" });
    this.content = make("div", { class: "al-content" }, this.picture, this.tint, this.layer);
    this.marks = make("canvas", { class: "al-marks" });
    this.chip = make("div", { class: "al-chip", role: "status", hidden: true });
    this.element = make("div", { class: "al-stage" }, this.content, this.marks, this.chip);
    parent.append(this.element);
    this.pen = this.picture.getContext("2d", { alpha: false });
    this.tintPen = this.tint.getContext("2d");
    this.marksPen = this.marks.getContext("2d");
    this.parent = parent;
    const resized = new ResizeObserver(() => this.fit());
    for (const part of [parent, parent.previousElementSibling].filter(Boolean)) resized.observe(part);
    window.addEventListener("resize", () => this.fit());
  }

  /** Clip size in source pixels; `shown` [h, w] is the size that frames are drawn at. */
  setSize(width, height, shown) {
    Object.assign(this, { width, height });
    [this.picture.height, this.picture.width] = shown;
    [this.tint.width, this.tint.height] = [width, height];
    this.fit();
    this.fitPicture();
  }

  /** Sizes the stage: as wide as the page gives, as tall as the window leaves (explicit px: CSS alone collapses it). */
  fit() {
    const width = this.parent.clientWidth;
    if (!width) return;
    const top = this.element.getBoundingClientRect().top + window.scrollY;
    const room = Math.max(LEAST_HEIGHT, window.innerHeight - top - this.reserve());
    const height = Math.round(Math.min(room, Math.max(LEAST_HEIGHT, (width * this.height) / this.width)));
    if (width === this.stageWidth && height === this.stageHeight) return;
    [this.stageWidth, this.stageHeight] = [width, height];
    this.element.style.height = `${height}px`;
    const density = window.devicePixelRatio || 1;
    this.marks.width = Math.round(width * density);
    this.marks.height = Math.round(height * density);
    if (this.fitted) this.view = fitView(width, height, this.width, this.height);
    this.#place();
  }

  fitPicture() {
    this.view = fitView(this.stageWidth, this.stageHeight, this.width, this.height);
    this.fitted = true;
    this.#place();
  }

  /** Zoom by `factor` at a screen position, or at the stage's middle. */
  zoom(factor, clientX, clientY) {
    const box = this.element.getBoundingClientRect();
    const x = clientX === undefined ? box.width / 2 : clientX - box.left;
    const y = clientY === undefined ? box.height / 2 : clientY - box.top;
    const least = Math.min(1, fitView(this.stageWidth, this.stageHeight, this.width, this.height).scale) / 4;
    this.#look(zoomAt(this.view, factor, x, y, least, MOST_SCALE));
  }

  pan(dx, dy) {
    this.#look({ scale: this.view.scale, left: this.view.left + dx, top: this.view.top + dy });
  }

  #look(view) {
    this.view = keepInside(view, this.stageWidth, this.stageHeight, this.width, this.height);
    this.fitted = false;
    this.#place();
  }

  #place() {
    const { scale, left, top } = this.view;
    Object.assign(this.content.style, {
      width: `${this.width * scale}px`,
      height: `${this.height * scale}px`,
      transform: `translate(${left}px, ${top}px)`,
    });
    this.content.classList.toggle("al-pixels", scale >= 3);
    this.changed();
  }

  /** Screen position -> source [x, y]. */
  toSource(event) {
    return clientToSource(event.clientX, event.clientY, this.content.getBoundingClientRect(), this.width, this.height);
  }

  /** Draws the pictures of a frame. In mode "wipe" the edit lies right of `wipe` (0–1 of the width). */
  drawPicture({ source, edited }, mode, wipe) {
    const { width, height } = this.picture;
    const pen = this.pen;
    const under = mode === "edited" ? (edited ?? source) : source;
    if (under) pen.drawImage(under, 0, 0, width, height);
    if (mode !== "wipe" || !edited) return;
    const cut = Math.round(clamp(wipe, 0, 1) * width);
    pen.save();
    pen.beginPath();
    pen.rect(cut, 0, width - cut, height);
    pen.clip();
    pen.drawImage(edited, 0, 0, width, height);
    pen.restore();
  }

  /** Draws tint layers (anything drawImage takes, at source size) one over the other, in all or in `rect`. */
  drawTint(layers, rect = [0, 0, this.width, this.height]) {
    const [x0, y0, x1, y1] = rect;
    const [w, h] = [x1 - x0, y1 - y0];
    if (w <= 0 || h <= 0) return;
    this.tint.hidden = layers.length === 0; // an empty canvas would still be blended with every frame
    this.tintPen.clearRect(x0, y0, w, h);
    for (const layer of layers) this.tintPen.drawImage(layer, x0, y0, w, h, x0, y0, w, h);
  }

  drawMarks(scene) {
    const pen = this.marksPen;
    const density = this.marks.width / (this.stageWidth || 1);
    pen.setTransform(density, 0, 0, density, 0, 0);
    pen.clearRect(0, 0, this.stageWidth, this.stageHeight);
    drawMarks(pen, scene, this.view);
    if (scene.wipe !== null) {
      const x = this.view.left + scene.wipe * this.width * this.view.scale;
      const [, top] = sourceToStage(0, -0.5, this.view);
      const [, bottom] = sourceToStage(0, this.height - 0.5, this.view);
      drawDivider(pen, x, Math.max(0, top), Math.min(this.stageHeight, bottom));
    }
  }

  /** A short remark on the picture, or none. */
  remark(text) {
    if (this.chip.hidden === Boolean(text)) this.chip.hidden = !text;
    setText(this.chip, text ?? "");
  }
}
