// The tour on the sample: shows one control after the other and waits for the user to use it. It covers nothing that is
// used, takes no keys, and can be left at any moment.

import { button, make, setText } from "./dom.js";
import { STEPS } from "./tour_steps.js";

const LOOK_MS = 150;
const SAMPLE = "5a3b1e000001"; // the sample's project (app/store.py)
const GAP = 12; // CSS px between the card and what it shows
const EDGE = 8;

export class Tour {
  constructor(editor) {
    Object.assign(this, { editor, at: -1, memory: {}, timer: 0, started: 0 });
    this.text = make("p", { role: "status" });
    this.count = make("small");
    this.buttons = make("div", { class: "al-tour-buttons" });
    this.card = make("section", { class: "al-tour", "aria-label": "Tour", hidden: true }, this.count, this.text, this.buttons);
    this.ring = make("div", { class: "al-ring", hidden: true, "aria-hidden": "true" });
    document.body.append(this.ring);
    editor.root.append(this.card);
    editor.addEventListener("open", () => !this.on && editor.project !== SAMPLE && (this.card.hidden = true));
  }

  get on() {
    return this.at >= 0;
  }

  /** Offers the tour to somebody who sees the sample for the first time. */
  offer() {
    const { project, settings } = this.editor;
    if (this.on || project !== SAMPLE || settings.values.tour) return;
    this.#show("New here? A tour of two minutes on this sample ends in a finished clip.", "", [
      ["Take the tour", () => this.start()],
      ["No, thanks", () => this.#leave("seen")],
    ]);
    this.#place(null);
  }

  /** Begins with the first step, on the sample. */
  async start() {
    const { editor } = this;
    clearInterval(this.timer);
    if (editor.project !== SAMPLE) await this.#openSample();
    if (editor.project !== SAMPLE) return editor.notices.warn("The sample cannot be opened, so there is no tour.");
    this.started = performance.now();
    this.timer = setInterval(() => this.#look(), LOOK_MS);
    return this.#goTo(0);
  }

  async #openSample() {
    await this.editor.controls.use("open-sample");
    const until = performance.now() + 20000;
    while (this.editor.project !== SAMPLE || !this.editor.root.dataset.ready) {
      if (performance.now() > until) return;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  #goTo(step) {
    this.at = step;
    const { keymap } = this.editor;
    const key = (command, argument) => {
      const text = keymap.keyText(command, argument);
      return text ? ` (${text})` : "";
    };
    STEPS[step].enter?.(this.editor, this.memory);
    this.#show(STEPS[step].text({ key }), `Step ${step + 1} of ${STEPS.length}`, [
      ["Skip this step", () => this.#next()],
      ["End the tour", () => this.#leave("seen")],
    ]);
    this.#look();
  }

  #next() {
    if (this.at + 1 < STEPS.length) this.#goTo(this.at + 1);
    else this.#finish();
  }

  #finish() {
    const seconds = Math.round((performance.now() - this.started) / 1000);
    this.seconds = seconds;
    this.#stop();
    this.editor.controls.show("exports");
    this.#show(`Done, in ${seconds} s: the finished clip is in the list under Export. Now a clip of your own?`, "", [
      ["Upload a clip", () => (this.#leave("done"), this.editor.controls.use("upload"))],
      ["Close", () => this.#leave("done")],
    ]);
    this.#place(null);
    this.#keep("done");
  }

  #stop() {
    clearInterval(this.timer);
    this.at = -1;
    this.ring.hidden = true;
  }

  #leave(how) {
    this.#stop();
    this.card.hidden = true;
    this.#keep(this.editor.settings.values.tour === "done" ? "done" : how);
  }

  #keep(how) {
    const { settings, notices } = this.editor;
    if (settings.values.tour !== how) settings.keep({ tour: how }).catch((error) => notices.warn(error.message));
  }

  #show(text, count, choices) {
    setText(this.text, text);
    setText(this.count, count);
    this.count.hidden = !count;
    this.buttons.replaceChildren(...choices.map(([label, onclick]) => button({ text: label, label, onclick })));
    this.card.hidden = false;
  }

  /** Whether the user has done the step; keeps ring and card where the control is. */
  #look() {
    const { editor } = this;
    if (!this.on || !editor.view) return;
    const step = STEPS[this.at];
    if (editor.project !== SAMPLE) this.#leave("seen");
    else if (step.done(editor, this.memory)) this.#next();
    else this.#place(this.#target(step));
  }

  #target(step) {
    const where = step.where(this.editor);
    if (typeof where !== "string") return where;
    return this.editor.controls.shown(where);
  }

  #place(target) {
    if (target && target !== this.shown) target.scrollIntoView({ block: "nearest" }); // once: the user may scroll on
    this.shown = target;
    const box = target?.getBoundingClientRect();
    const seen = Boolean(box?.width);
    this.ring.hidden = !seen;
    if (seen) Object.assign(this.ring.style, { left: `${box.left - 4}px`, top: `${box.top - 4}px`, width: `${box.width + 8}px`, height: `${box.height + 8}px` });
    const { offsetWidth: width, offsetHeight: height } = this.card;
    const [left, top] = placeBeside(seen ? box : null, width, height, window.innerWidth, window.innerHeight);
    Object.assign(this.card.style, { left: `${left}px`, top: `${top}px` });
  }
}

/** Where a card of this size goes: beside `box`, on the first side with room; without a box in the lower left corner. */
export function placeBeside(box, width, height, windowWidth, windowHeight) {
  const inside = (value, size, most) => Math.max(EDGE, Math.min(value, most - size - EDGE));
  if (!box) return [EDGE, windowHeight - height - EDGE];
  const middleX = inside(box.left + box.width / 2 - width / 2, width, windowWidth);
  const middleY = inside(box.top + box.height / 2 - height / 2, height, windowHeight);
  if (box.bottom + GAP + height < windowHeight) return [middleX, box.bottom + GAP];
  if (box.top - GAP - height > 0) return [middleX, inside(box.top - GAP - height, height, windowHeight)];
  if (box.left - GAP - width > 0) return [box.left - GAP - width, middleY];
  return [inside(box.right + GAP, width, windowWidth), middleY];
}
