// The Check panel: what is wrong, worst first, each with its place, a sentence and what can be done. A shape and a word say how
// bad it is, never a colour alone.

import { loadStyle } from "./style.js";
import { button, make, setText } from "./dom.js";
import { placeText } from "./review.js";

const SHAPES = { severe: "▲", doubtful: "◆", note: "●" };
const TEACHES =
  "Nothing to check yet. Once masks are carried and an anchor is approved, everything that was measured and cannot be trusted is listed here, worst first, with what to do about it.";
const FINE = "Nothing to check: no measure says that anything is wrong.";

export class CheckPanel {
  constructor(root, editor) {
    Object.assign(this, { editor, shown: "" });
    this.summary = make("span", { class: "al-check-summary", role: "status" });
    const step = (name, icon, label, direction) => button({ icon, label, name, title: editor.keymap?.titleFor("goProblem", direction) ?? label, onclick: () => editor.run("goProblem", direction) });
    const head = make("div", { class: "al-check-head" }, this.summary, step("problem-back", "anchorBack", "Previous problem", -1), step("problem-on", "anchorOn", "Next problem", 1));
    this.list = make("ol", { class: "al-problems", "aria-label": "Problems, worst first" });
    this.empty = make("p", { class: "al-empty" });
    root.append(head, this.empty, this.list);
    this.list.addEventListener("keydown", (event) => this.#key(event));
    editor.addEventListener("review", () => this.update());
    this.update();
  }

  update() {
    const { problems, current, known } = this.editor.review;
    setText(this.summary, this.editor.review.summary());
    this.empty.hidden = problems.length > 0;
    setText(this.empty, known && this.editor.view?.segments.some((one) => one.state === "done") ? FINE : TEACHES);
    const state = JSON.stringify(problems);
    if (state !== this.shown) {
      this.shown = state;
      const place = [...this.list.querySelectorAll("button")].indexOf(document.activeElement);
      this.list.replaceChildren(...problems.map((one) => this.#row(one)));
      if (place >= 0) this.list.querySelectorAll("button")[place]?.focus(); // the list changes under the hand while a run goes on
    }
    [...this.list.children].forEach((row, index) => {
      const here = problems[index] === current;
      row.firstChild.setAttribute("aria-current", String(here));
      if (here && !row.contains(document.activeElement)) row.scrollIntoView({ block: "nearest" });
    });
  }

  #row(problem) {
    const { review } = this.editor;
    const place = placeText(problem);
    const label = `${problem.level}, ${place}: ${problem.sentence}`;
    const shape = make("i", { class: "al-shape", "aria-hidden": "true" }, SHAPES[problem.level]);
    const head = make("span", { class: "al-problem-head" }, make("b", {}, `${place[0].toUpperCase()}${place.slice(1)}`), make("small", {}, problem.level));
    const text = make("span", {}, head, make("span", {}, problem.sentence));
    const go = make("button", { type: "button", class: "al-problem", "aria-label": label, title: "Go there (Enter)", "data-kind": problem.kind, "data-level": problem.level }, shape, text);
    go.addEventListener("click", () => review.go(problem));
    const act = button({ text: problem.says, label: `${problem.says}, ${place}`, title: problem.says, onclick: () => review.act(problem) });
    act.classList.add("al-problem-act");
    return make("li", {}, go, act);
  }

  /** Up and down go through the list; Enter is the button's own. */
  #key(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation();
    const rows = [...this.list.querySelectorAll(".al-problem")];
    const at = rows.findIndex((row) => row.parentElement.contains(document.activeElement));
    rows[Math.min(rows.length - 1, Math.max(0, at + way))]?.focus();
  }
}

/** Builds the panel as soon as the editor of this page is there. */
export async function mount(element) {
  await loadStyle("review.css");
  const bind = () => new CheckPanel(element.querySelector(".al-check"), window.anchorline);
  if (window.anchorline) bind();
  else document.addEventListener("anchorline:ready", bind, { once: true });
}
