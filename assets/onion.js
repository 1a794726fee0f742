// Onion skin: the takes of the anchors before and after the shown frame, warped to it by the engine, over the picture.
// What motion on the way is not known yet is read roughly and said to be so; where nothing can be warped, that is said.

import { make, setText } from "./dom.js";
import { Latest } from "./preview.js";
import { shownTake } from "./pictures.js";
import { Lru } from "./lru.js";

const HELD = 24;
const AGAIN_MS = 700;
const SIDES = { both: "Before and after", before: "Before", after: "After" };

/** The anchors with a take next to `frame` in its shot: {before, after}, each {frame, key} or null. */
export function neighbours(view, frame) {
  const edges = [0, ...view.cuts, view.clip.frames];
  const start = Math.max(...edges.filter((cut) => cut <= frame));
  const stop = Math.min(...edges.filter((cut) => cut > frame));
  const near = view.anchors.filter((one) => one.takes.length && one.frame >= start && one.frame < stop && one.frame !== frame);
  const place = (anchor) => (anchor ? { frame: anchor.frame, key: shownTake(anchor).key } : null);
  const before = near.filter((one) => one.frame < frame).sort((a, b) => b.frame - a.frame)[0];
  const after = near.filter((one) => one.frame > frame).sort((a, b) => a.frame - b.frame)[0];
  return { before: place(before), after: place(after) };
}

/** One line about what is shown: `found` holds {frame, state: "shown" | "none" | "waits", rough, seen} for each side asked for. */
export function skinText(found) {
  if (!found.length) return "No anchor with a take beside this frame in its shot";
  const said = found.map((one) => {
    if (one.state === "waits") return `${one.frame}: being read`;
    if (one.state === "none") return `${one.frame}: nothing to show here`;
    return `${one.frame}: ${Math.round(one.seen * 100)} %${one.rough ? ", motion only roughly read" : ""}`;
  });
  return `From ${said.join(" · ")}`;
}

export class OnionSkin {
  constructor(editor) {
    Object.assign(this, { editor, on: false, side: "both", opacity: 0.5, asked: "", found: [] });
    this.kept = new Lru(HELD, { drop: (one) => one.bitmap?.close() });
    this.canvas = make("canvas", { class: "al-onion", hidden: true });
    editor.stage.content.insertBefore(this.canvas, editor.stage.tint);
    this.part = this.#controls();
    this.latest = new Latest({
      load: (wanted, signal) => this.#load(wanted, signal),
      done: () => {},
      failed: (error) => editor.notices.warn(`The onion skin cannot be shown (${error.message}).`),
    });
    for (const name of ["frame", "view", "state", "open"]) editor.addEventListener(name, () => this.#follow());
  }

  toggle() {
    this.on = !this.on;
    this.asked = "";
    this.editor.root.dataset.onion = this.on ? "1" : "0";
    this.editor.overlay?.draw();
    this.editor.changed("state");
  }

  #controls() {
    const options = Object.entries(SIDES).map(([value, text]) => make("option", { value }, text));
    const side = make("select", { "aria-label": "Onion skin: which neighbours" }, ...options);
    side.addEventListener("change", () => {
      this.side = side.value;
      this.#follow();
      this.editor.root.focus({ preventScroll: true });
    });
    this.strength = make("input", { type: "range", min: 5, max: 100, value: 50, "aria-label": "Onion skin: opacity" });
    this.strength.addEventListener("input", () => {
      this.opacity = Number(this.strength.value) / 100;
      this.#draw();
    });
    this.note = make("span", { class: "al-compare-note", role: "status", "data-name": "onion-note" });
    return make("span", { class: "al-compare-part", hidden: true }, make("span", {}, "Onion skin"), side, this.strength, this.note);
  }

  /** Asks for what belongs to the shown frame, once it rests. */
  #follow() {
    const { editor } = this;
    this.part.hidden = !this.on;
    if (!this.on || !editor.view || editor.frame < 0) return this.#clear();
    const near = neighbours(editor.view, editor.frame);
    const sides = this.side === "both" ? ["before", "after"] : [this.side];
    const places = sides.map((side) => near[side]).filter(Boolean);
    const wanted = { frame: editor.frame, rev: editor.view.rev, places };
    const name = JSON.stringify(wanted);
    if (name === this.asked) return undefined;
    this.asked = name;
    this.found = places.map(({ frame }) => ({ frame, state: "waits" }));
    setText(this.note, skinText(this.found));
    this.#draw();
    return places.length ? this.latest.ask(wanted) : this.latest.cancel();
  }

  #clear() {
    this.latest.cancel();
    this.asked = "";
    this.found = [];
    this.canvas.hidden = true;
  }

  async #load({ frame, rev, places }, signal) {
    const come = async (place, index) => {
      const found = await this.#one(place, frame, rev, signal);
      if (!signal.aborted) this.#come(index, found);
    };
    await Promise.all(places.map(come));
  }

  async #one(place, frame, rev, signal) {
    const name = `${place.frame}:${place.key}:${frame}:${rev}`;
    const held = this.kept.get(name);
    if (held) return held;
    for (;;) {
      const response = await fetch(this.editor.api.url(`onion/${place.frame}/${frame}.png?take=${place.key}`), { signal });
      if (response.status === 200) {
        const [rough, seen] = [response.headers.get("X-Rough") === "1", Number(response.headers.get("X-Seen"))];
        const one = { frame: place.frame, state: "shown", rough, seen, bitmap: await createImageBitmap(await response.blob()) };
        this.kept.set(name, one);
        return one;
      }
      if (response.status !== 204) throw new Error(`the server answered ${response.status}`);
      if (response.headers.get("X-Nothing")) return { frame: place.frame, state: "none" };
      // The first picture of a long way may take longer than the server waits.
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      if (signal.aborted) throw new Error("no longer wanted");
    }
  }

  /** One side is there; the other may still be read. */
  #come(index, found) {
    this.found[index] = found;
    setText(this.note, skinText(this.found));
    this.#draw();
  }

  #draw() {
    const shown = this.on ? this.found.filter((one) => one.state === "shown") : [];
    this.canvas.hidden = shown.length === 0;
    this.editor.root.dataset.skins = shown.map((one) => one.frame).join();
    if (!shown.length) return;
    const [{ bitmap }] = shown;
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) [this.canvas.width, this.canvas.height] = [bitmap.width, bitmap.height];
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.globalAlpha = this.opacity;
    for (const one of shown) pen.drawImage(one.bitmap, 0, 0, this.canvas.width, this.canvas.height);
  }
}
