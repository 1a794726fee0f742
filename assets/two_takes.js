// Two pictures beside each other or with a wipe between them, under one zoom and pan.

import { button, make, setText } from "./dom.js";
import { clamp, fitView, keepInside, zoomAt } from "./geometry.js";
import { chordOf } from "./keys.js";

const MOST_SCALE = 32;
const NEAR = 10; // CSS px from the line that still take hold of it
const PAN = 40;
const STEP = 0.05;

export class TwoTakes {
  /** `address(key)` of a take's picture, `source(frame)` of a source frame's. */
  constructor(parent, address, source) {
    Object.assign(this, { address, source, mode: "side", wipe: 0.5, view: { scale: 1, left: 0, top: 0 }, pictures: [], names: [], size: [16, 9], closed: null });
    const act = (name, text, title, onclick) => button({ text, label: title, title, name: `two-${name}`, onclick });
    this.side = act("side", "Side by side", "Side by side (V)", () => this.setMode("side"));
    this.over = act("wipe", "Wipe", "Wipe between them (V)", () => this.setMode("wipe"));
    this.place = make("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "Place of the wipe, percent from the left" });
    this.place.addEventListener("input", () => this.setWipe(Number(this.place.value) / 100));
    this.zoomed = make("span", { class: "al-number" });
    this.canvas = make("canvas", {});
    this.captions = [make("span", {}), make("span", {})];
    this.area = make("div", { class: "al-two-area", tabindex: "0", role: "img" }, this.canvas, ...this.captions);
    const head = make(
      "header",
      {},
      make("b", {}, "Compare"),
      this.side,
      this.over,
      this.place,
      make("span", { class: "al-space" }),
      this.zoomed,
      act("fit", "Fit", "Whole picture (Z)", () => this.fit()),
      act("swap", "Swap", "Swap the two (X)", () => this.swap()),
      button({ icon: "close", label: "Close the comparison", title: "Close (Esc)", name: "two-close", onclick: () => this.close() }),
    );
    this.root = make("div", { class: "al-two", role: "dialog", "aria-label": "Compare two takes", hidden: true }, head, this.area);
    this.root.addEventListener("keydown", (event) => this.#key(event));
    this.#pointer();
    new ResizeObserver(() => this.isOpen && this.#resize()).observe(this.area);
    parent.append(this.root);
  }

  get isOpen() {
    return !this.root.hidden;
  }

  /** Shows two of {frame, key (null = the source), name}; `closed()` when they are put away. */
  async open(two, closed) {
    const urls = two.map(({ frame, key }) => (key ? this.address(key) : this.source(frame)));
    const pictures = await Promise.all(urls.map(load));
    this.#drop();
    Object.assign(this, { pictures, names: two.map((one) => one.name), closed });
    // A source comes at preview size; both are drawn at the larger one's.
    const large = pictures.reduce((a, b) => (b.width > a.width ? b : a));
    this.size = [large.width, large.height];
    this.root.hidden = false;
    this.setMode(this.mode);
    this.#resize();
    this.fit();
    this.area.focus();
  }

  close() {
    if (!this.isOpen) return;
    this.root.hidden = true;
    this.#drop();
    this.closed?.();
  }

  setMode(mode) {
    this.mode = mode;
    this.root.dataset.mode = mode;
    this.side.setAttribute("aria-pressed", String(mode === "side"));
    this.over.setAttribute("aria-pressed", String(mode === "wipe"));
    this.place.hidden = mode !== "wipe";
    if (this.view.fitted) this.fit();
    else this.#draw();
  }

  setWipe(share) {
    this.wipe = clamp(share, 0, 1);
    this.root.dataset.wipe = this.wipe.toFixed(2);
    const per = String(Math.round(this.wipe * 100));
    if (this.place.value !== per) this.place.value = per;
    this.#draw();
  }

  swap() {
    this.pictures.reverse();
    this.names.reverse();
    this.#draw();
  }

  fit() {
    this.view = { ...fitView(...this.#pane(), ...this.size), fitted: true };
    this.#draw();
  }

  zoom(factor, x, y) {
    const [width, height] = this.#pane();
    const least = Math.min(1, fitView(width, height, ...this.size).scale) / 2;
    this.#look(zoomAt(this.view, factor, x ?? width / 2, y ?? height / 2, least, MOST_SCALE));
  }

  pan(dx, dy) {
    this.#look({ ...this.view, left: this.view.left + dx, top: this.view.top + dy });
  }

  #look(view) {
    this.view = keepInside(view, ...this.#pane(), ...this.size);
    this.#draw();
  }

  /** CSS pixels of one picture's place: half of the area side by side. */
  #pane() {
    const { clientWidth, clientHeight } = this.area;
    return [this.mode === "side" ? Math.floor(clientWidth / 2) : clientWidth, clientHeight];
  }

  #resize() {
    const density = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.area.clientWidth * density);
    this.canvas.height = Math.round(this.area.clientHeight * density);
    if (this.view.fitted) this.fit();
    else this.#draw();
  }

  #drop() {
    for (const picture of this.pictures) picture.close();
    this.pictures = [];
  }

  // ---- drawing -------------------------------------------------------------------------------------------------

  /** CSS pixels of the wipe's line in the area. */
  #line() {
    return this.view.left + this.wipe * this.size[0] * this.view.scale;
  }

  #draw() {
    if (!this.pictures.length) return;
    const pen = this.canvas.getContext("2d");
    const density = this.canvas.width / (this.area.clientWidth || 1);
    const [width, height] = this.#pane();
    pen.setTransform(density, 0, 0, density, 0, 0);
    pen.clearRect(0, 0, this.area.clientWidth, height);
    pen.imageSmoothingEnabled = this.view.scale < 3;
    const line = this.#line();
    if (this.mode === "side") {
      this.#part(pen, this.pictures[0], 0, [0, 0, width, height]);
      this.#part(pen, this.pictures[1], width, [width, 0, width, height]);
      rule(pen, width, height);
    } else {
      this.#part(pen, this.pictures[0], 0, [0, 0, Math.max(0, line), height]);
      this.#part(pen, this.pictures[1], 0, [line, 0, Math.max(0, width - line), height]);
      rule(pen, line, height, true);
    }
    this.captions.forEach((caption, index) => setText(caption, this.names[index]));
    this.area.setAttribute("aria-label", `${this.names[0]} on the left, ${this.names[1]} on the right`);
    setText(this.zoomed, `${Math.round(this.view.scale * 100)} %`);
    this.root.dataset.view = [this.view.scale, this.view.left, this.view.top].map((value) => value.toFixed(2)).join();
  }

  #part(pen, picture, from, [x, y, width, height]) {
    const { scale, left, top } = this.view;
    pen.save();
    pen.beginPath();
    pen.rect(x, y, width, height);
    pen.clip();
    pen.drawImage(picture, from + left, top, this.size[0] * scale, this.size[1] * scale);
    pen.restore();
  }

  // ---- pointer and keys ------------------------------------------------------------------------------------------

  #pointer() {
    let move = null;
    this.area.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.area.focus();
      this.area.setPointerCapture(event.pointerId);
      let [x, y] = [event.clientX, event.clientY];
      const left = this.area.getBoundingClientRect().left;
      const onLine = this.mode === "wipe" && Math.abs(event.clientX - left - this.#line()) <= NEAR;
      move = (next) => {
        if (onLine) this.setWipe((next.clientX - left - this.view.left) / (this.size[0] * this.view.scale));
        else this.pan(next.clientX - x, next.clientY - y);
        [x, y] = [next.clientX, next.clientY];
      };
    });
    this.area.addEventListener("pointermove", (event) => move?.(event));
    for (const end of ["pointerup", "pointercancel"]) this.area.addEventListener(end, () => (move = null));
    this.area.addEventListener("dblclick", () => this.fit());
    this.area.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const box = this.area.getBoundingClientRect();
        const [width] = this.#pane();
        const x = event.clientX - box.left;
        this.zoom(Math.exp(-event.deltaY * 0.002), this.mode === "side" && x > width ? x - width : x, event.clientY - box.top);
      },
      { passive: false },
    );
  }

  #key(event) {
    const chord = chordOf(event);
    const line = this.mode === "wipe";
    const keys = {
      ArrowLeft: () => (line ? this.setWipe(this.wipe - STEP) : this.pan(PAN, 0)),
      ArrowRight: () => (line ? this.setWipe(this.wipe + STEP) : this.pan(-PAN, 0)),
      ArrowUp: () => this.pan(0, PAN),
      ArrowDown: () => this.pan(0, -PAN),
      "Shift+ArrowLeft": () => this.pan(PAN, 0),
      "Shift+ArrowRight": () => this.pan(-PAN, 0),
      Plus: () => this.zoom(1.25),
      "=": () => this.zoom(1.25),
      "-": () => this.zoom(1 / 1.25),
      Z: () => this.fit(),
      V: () => this.setMode(line ? "side" : "wipe"),
      W: () => this.setMode("wipe"),
      X: () => this.swap(),
      Escape: () => this.close(),
    };
    if (event.target === this.place && chord.startsWith("Arrow")) return event.stopPropagation();
    event.stopPropagation();
    if (chord === "Tab" || chord === "Shift+Tab") return this.#tab(event);
    if (!keys[chord]) return undefined;
    event.preventDefault();
    return keys[chord]();
  }

  #tab(event) {
    const inside = [...this.root.querySelectorAll("button, input, [tabindex='0']")].filter((one) => one.offsetParent !== null);
    const [edge, other] = event.shiftKey ? [inside[0], inside.at(-1)] : [inside.at(-1), inside[0]];
    if (document.activeElement !== edge) return;
    event.preventDefault();
    other.focus();
  }
}

async function load(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`a picture cannot be loaded (answer ${response.status})`);
  return createImageBitmap(await response.blob());
}

/** The line between two pictures, with a grip where it can be dragged. */
function rule(pen, x, height, grip = false) {
  pen.fillStyle = "rgba(0, 0, 0, 0.6)";
  pen.fillRect(x - 2, 0, 4, height);
  pen.fillStyle = "#ffffff";
  pen.fillRect(x - 1, 0, 2, height);
  if (!grip) return;
  pen.beginPath();
  pen.arc(x, height / 2, 9, 0, 7);
  pen.fill();
  pen.fillStyle = "#16181c";
  pen.fillRect(x - 4, height / 2 - 4, 2, 8);
  pen.fillRect(x + 2, height / 2 - 4, 2, 8);
}
