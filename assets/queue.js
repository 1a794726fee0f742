// Jobs of the project that wait for their turn: earlier, later, or not at all.

import { button, make } from "./dom.js";
import { loadStyle } from "./style.js";

const NAMES = { prepare: "Prepare the clip", carry: "Carry masks", propagate: "Propagate", proxy: "Preview", take: "Make takes", export: "Export", certify: "Measure what was rendered", zip: "Zip the project", audition: "Audition" };

export class Queue {
  constructor(root, editor) {
    Object.assign(this, { root, editor, shown: "[]" });
    root.hidden = true;
    root.setAttribute("aria-label", "Waiting jobs");
    for (const name of ["status", "view", "open"]) editor.addEventListener(name, () => this.update());
    this.update();
  }

  update() {
    const waiting = this.editor.view?.queue ?? [];
    const state = JSON.stringify(waiting.map((job) => job.id));
    if (state === this.shown) return;
    this.shown = state;
    const place = [...this.root.querySelectorAll("button")].indexOf(document.activeElement);
    this.root.hidden = waiting.length === 0;
    this.root.replaceChildren(make("div", {}, "Waiting:"), make("ol", {}, ...waiting.map((job, index) => this.#row(job, index, waiting.length))));
    const buttons = this.root.querySelectorAll("button");
    if (place >= 0) buttons[Math.min(place, buttons.length - 1)]?.focus();
  }

  #row(job, index, count) {
    const name = NAMES[job.kind] ?? job.kind;
    const step = (text, label, by, off) => {
      const made = button({ text, label: `${label}: ${name}`, title: label, onclick: () => this.#send(() => this.editor.api.move(job.id, by)) });
      made.disabled = off;
      return made;
    };
    const stop = button({ icon: "close", label: `Take out of the queue: ${name}`, title: "Take out of the queue", onclick: () => this.#send(() => this.editor.api.cancel(job.id)) });
    return make("li", { "data-job": job.id, "data-kind": job.kind }, make("span", {}, `${index + 1}. ${name}`), step("↑", "Earlier", -1, index === 0), step("↓", "Later", 1, index === count - 1), stop);
  }

  async #send(send) {
    try {
      await send();
      this.editor.poll.hurry();
    } catch (error) {
      this.editor.notices.warn(error.message);
    }
  }
}

/** Builds the list as soon as the editor of this page is there. */
export async function mount(element) {
  await loadStyle("review.css");
  const bind = () => new Queue(element.querySelector(".al-queue"), window.anchorline);
  if (window.anchorline) bind();
  else document.addEventListener("anchorline:ready", bind, { once: true });
}
