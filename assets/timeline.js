// The timeline: film-strip, anchors, segments and one lane per subject over the width of the page. Click or drag seeks;
// anchors can be dragged; Ctrl + wheel shows a part of the clip larger.

import { CHECK, problemAt } from "./confidence.js";
import { make, setText } from "./dom.js";
import { drawLanes, GUTTER, laneTops, Scale, STRIP, SUBJECT } from "./lanes.js";
import { secondsText, timecode } from "./readout.js";

const REACH = 8;

export class Timeline {
  constructor(root, editor) {
    Object.assign(this, { root, editor, from: 0, to: 1, width: 0, moving: null, strip: null, stripTurn: 0, asked: false });
    this.canvas = make("canvas", { "data-name": "lanes" });
    this.playhead = make("div", { class: "al-playhead" });
    this.readout = make("div", { class: "al-readout" });
    root.append(this.canvas, this.playhead, this.readout);
    this.pen = this.canvas.getContext("2d");
    for (const name of ["view", "status", "state", "review"]) editor.addEventListener(name, () => this.redraw());
    editor.addEventListener("pack", () => this.#fillStrip());
    editor.addEventListener("open", () => this.#open());
    for (const name of ["want", "frame"]) editor.addEventListener(name, () => this.#moved());
    this.canvas.addEventListener("pointerdown", (event) => this.#down(event));
    this.canvas.addEventListener("pointermove", (event) => this.#move(event));
    this.canvas.addEventListener("pointerup", () => this.#up());
    this.canvas.addEventListener("pointercancel", () => (this.moving = null));
    root.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    new ResizeObserver(() => this.#resized()).observe(root);
    new MutationObserver(() => this.redraw()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    if (editor.view) this.#open();
  }

  #open() {
    [this.from, this.to] = [0, this.editor.view.clip.frames];
    this.strip = null;
    this.#resized();
  }

  get scale() {
    return new Scale(this.width, this.editor.view.clip.frames, this.from, this.to);
  }

  /** Screen x of the middle of a frame's cell. */
  clientX(frame) {
    return this.canvas.getBoundingClientRect().left + this.scale.centre(frame);
  }

  // ---- drawing ---------------------------------------------------------------------------------------------------

  #resized() {
    this.width = this.root.clientWidth; // kept: asking for it at every frame would force a layout
    if (!this.editor.view || !this.width) return;
    this.#fillStrip();
    this.redraw();
    this.editor.stage.fit();
  }

  /** Draws the lanes at the next animation frame. */
  redraw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      if (this.editor.view && this.width) this.#draw();
    });
  }

  #draw() {
    const { view } = this.editor;
    const { width } = this;
    const { height } = laneTops(view.subjects.length);
    const density = window.devicePixelRatio || 1;
    const size = [Math.round(width * density), Math.round(height * density)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) {
      [this.canvas.width, this.canvas.height] = size;
      this.canvas.style.height = `${height}px`;
      document.documentElement.style.setProperty("--al-timeline-height", `${this.root.offsetHeight}px`); // the columns end above it
      this.editor.stage.fit();
    }
    this.pen.setTransform(density, 0, 0, density, 0, 0);
    this.pen.clearRect(0, 0, width, height);
    if (this.strip) this.pen.drawImage(this.strip, GUTTER, 0, width - GUTTER, STRIP);
    drawLanes(this.pen, { ...this.#shown(view), checked: this.editor.review }, this.editor.selection, this.scale, this.#theme());
    this.#moved();
  }

  /** The view with an anchor that is being dragged where it would go. */
  #shown(view) {
    if (!this.moving || this.moving.kind !== "anchor") return view;
    const { from, to } = this.moving;
    return { ...view, anchors: view.anchors.map((one) => (one.frame === from ? { ...one, frame: to } : one)) };
  }

  #theme() {
    const style = getComputedStyle(this.root);
    const colour = (name, other) => style.getPropertyValue(name).trim() || other;
    return {
      text: style.color,
      line: colour("--border-color-primary", "#888888"),
      ground: colour("--background-fill-primary", "#ffffff"),
      accent: colour("--color-accent", "#f97316"),
      font: style.fontFamily,
    };
  }

  #moved() {
    const { view, want, playback } = this.editor;
    if (!view || want < 0 || !this.width) return;
    if (want < this.from || want >= this.to) this.#centre(want);
    this.playhead.style.transform = `translateX(${this.scale.centre(want)}px)`;
    const seconds = playback.times ? secondsText(playback.times[want]) : "";
    const text = `${want} / ${view.clip.frames - 1}\n${timecode(want, view.clip.rate)}\n${seconds}`;
    setText(this.readout, text);
    this.#tell(view, want, seconds);
  }

  /** What a screen reader says of it: a slider over the frames. */
  #tell(view, frame, seconds) {
    const said = { "aria-valuemin": 0, "aria-valuemax": view.clip.frames - 1, "aria-valuenow": frame };
    const anchor = view.anchors.find((one) => one.frame === frame);
    const what = anchor ? (anchor.chosen ? ", approved anchor" : ", anchor") : "";
    const checked = this.editor.review.textAt(frame);
    said["aria-valuetext"] = `Frame ${frame} of ${view.clip.frames - 1}, ${seconds || timecode(frame, view.clip.rate)}${what}${checked && `. ${checked}`}`;
    for (const [name, value] of Object.entries(said)) this.root.setAttribute(name, value);
  }

  #centre(frame) {
    const span = this.to - this.from;
    const from = Math.max(0, Math.min(this.editor.view.clip.frames - span, frame - span / 2));
    [this.from, this.to] = [from, from + span];
    this.#fillStrip();
    this.redraw();
  }

  /** Draws the film-strip picture by picture; a newer call takes over from an older one. */
  async #fillStrip() {
    const { view, source } = this.editor;
    const width = this.width - GUTTER;
    if (!view || width <= 0) return;
    const turn = ++this.stripTurn;
    const cell = (STRIP * view.clip.width) / view.clip.height;
    const strip = new OffscreenCanvas(width, STRIP);
    const pen = strip.getContext("2d");
    if (this.strip) pen.drawImage(this.strip, 0, 0, width, STRIP);
    const { scale } = this;
    for (let x = 0; x < width; x += cell) {
      const frame = scale.frameAt(GUTTER + Math.min(width - 1, x + cell / 2));
      if (!source.isPacked(frame)) continue;
      const picture = await this.#thumbnail(source, frame, cell);
      if (turn !== this.stripTurn) return;
      if (!picture) continue;
      pen.drawImage(picture, x, 0, cell, STRIP);
      picture.close();
    }
    this.strip = strip;
    this.redraw();
  }

  async #thumbnail(source, frame, width) {
    try {
      const blob = new Blob([await source.bytes(frame)], { type: "image/jpeg" });
      return await createImageBitmap(blob, { resizeWidth: Math.ceil(width), resizeHeight: STRIP, resizeQuality: "medium" });
    } catch (error) {
      console.warn(`film-strip: frame ${frame}: ${error.message}`); // the strip stays empty there; seeking reports errors
      return null;
    }
  }

  // ---- pointer ---------------------------------------------------------------------------------------------------

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #anchorAt(x, y) {
    const tops = laneTops(this.editor.view.subjects.length);
    if (y < tops.anchors || y >= tops.segments) return undefined;
    const near = (anchor) => Math.abs(this.scale.centre(anchor.frame) - x);
    const closest = [...this.editor.view.anchors].sort((a, b) => near(a) - near(b))[0];
    return closest && near(closest) <= REACH ? closest : undefined;
  }

  #down(event) {
    const { editor } = this;
    if (!editor.view || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    const [x, y] = this.#at(event);
    const [anchor, problem] = [this.#anchorAt(x, y), this.#problemAt(x, y)];
    if (problem) {
      editor.review.go(problem);
    } else if (anchor) {
      this.moving = { kind: "anchor", from: anchor.frame, to: anchor.frame };
      editor.playback.pause();
      editor.seek(anchor.frame);
      editor.select({ kind: "anchor", frame: anchor.frame });
    } else if (x >= GUTTER) {
      this.moving = { kind: "seek" };
      editor.select(null);
      editor.seek(this.scale.frameAt(x));
    } else {
      this.#pickSubject(y);
    }
  }

  #pickSubject(y) {
    const { view } = this.editor;
    const tops = laneTops(view.subjects.length);
    const subject = view.subjects[Math.floor((y - tops.subjects) / SUBJECT)];
    if (subject) this.editor.act("select_subject", { subject: subject.id });
  }

  /** The problem whose mark is under the pointer. */
  #problemAt(x, y) {
    const { check } = laneTops(this.editor.view.subjects.length);
    return x >= GUTTER && y >= check && y < check + CHECK / 2 ? problemAt(this.editor.review.problems, x, this.scale) : undefined;
  }

  /** What is known of the frame under the pointer, in the lane that shows it. */
  #hover(event) {
    if (!this.editor.view) return;
    const [x, y] = this.#at(event);
    const { check } = laneTops(this.editor.view.subjects.length);
    const inside = x >= GUTTER && y >= check && y < check + CHECK;
    const said = inside ? this.editor.review.textAt(this.scale.frameAt(x)) : "";
    if (this.canvas.title !== said) this.canvas.title = said;
  }

  #move(event) {
    if (!this.moving) return this.#hover(event);
    const frame = this.scale.frameAt(this.#at(event)[0]);
    if (this.moving.kind === "seek") {
      if (frame !== this.editor.want) this.editor.seek(frame);
    } else if (frame !== this.moving.to) {
      this.moving.to = frame;
      this.redraw();
    }
    return undefined;
  }

  async #up() {
    const { moving, editor } = this;
    if (moving?.kind === "anchor" && moving.to !== moving.from) {
      const moved = await editor.act("move_anchor", { frame: moving.from, to: moving.to });
      if (moved) {
        editor.seek(moving.to);
        await editor.seeker.idle();
        editor.select({ kind: "anchor", frame: moving.to });
      }
    }
    this.moving = null;
    this.redraw();
  }

  /** Shows a shorter ("in") or longer ("out") part round the current frame, or "all". */
  show(how) {
    const { frames } = this.editor.view.clip;
    const factor = { in: 1 / 1.5, out: 1.5, all: frames }[how];
    [this.from, this.to] = this.scale.zoomed(factor, this.scale.centre(this.editor.want));
    this.#fillStrip();
    this.redraw();
  }

  #wheel(event) {
    if ((!event.ctrlKey && !event.altKey) || !this.editor.view) return;
    event.preventDefault();
    const [x] = this.#at(event);
    [this.from, this.to] = this.scale.zoomed(Math.exp(event.deltaY * 0.002), Math.max(GUTTER, x));
    this.#fillStrip();
    this.redraw();
  }
}

/** Builds the timeline as soon as the editor of this page is there. */
export function mount(element) {
  const root = element.querySelector(".al-timeline");
  const bind = () => {
    window.anchorlineTimeline = new Timeline(root, window.anchorline);
  };
  if (window.anchorline) bind();
  else document.addEventListener("anchorline:ready", bind, { once: true });
}
