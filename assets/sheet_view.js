// What the contact sheet looks like: a column for each anchor with its takes, how far neighbours agree between the columns, and
// below what can be done with the take under the cursor. Knows nothing of the server; `do` is told what was pressed.

import { button, iconOf, make, setText } from "./dom.js";

export const COMPARED = 2; // takes that can be laid side by side
const AGREES = [[90, "agree"], [60, "differ somewhat"], [0, "differ"]]; // one recolouring on a real clip came to 98, a neighbouring hue to 87 (our choice)
const ACTS = [
  ["approve", "Approve", "Approve this take (Enter, or its number)"],
  ["lock", "Lock", "Lock what is approved here, or unlock it (L)"],
  ["again", "Make again", "Make this take again as it was made, with another seed (R)"],
  ["after", "Reference for all", "Make a take like this approved one for every anchor that is not locked (U)"],
  ["mark", "Mark to compare", "Mark for comparing with another take (C)"],
  ["compare", "Compare", "Lay the marked two side by side, or this take beside the source (V)"],
  ["show", "Show on canvas", "Close the sheet and show this frame (F)"],
  ["remove", "Delete", "Delete this take (Delete); undo brings it back"],
];
const CAN_FOCUS = "button:not(:disabled):not([tabindex='-1']), input:not(:disabled), [tabindex='0']";

/** How far two neighbouring anchors agree, as {short, words} for eyes and for screen readers. */
export function agreementText({ left, right, score, psnr, seen, why, waits }) {
  if (score === null) return { short: waits ? "…" : "–", words: `Anchors ${left} and ${right}: ${why || waits}` };
  const [, word] = AGREES.find(([least]) => score >= least);
  const words = `Anchors ${left} and ${right} ${word}: ${score} of 100 (${psnr} dB; ${Math.round(seen * 100)} % of the region seen by both). The edit of ${left}, carried along the motion to ${right}, was compared with the take there.`;
  return { short: String(score), words };
}

/** How well a take carries out what was asked, where the model that made it can say so; else "". */
export function fitText({ fit }) {
  return Number.isFinite(fit) ? `fits what was asked ${fit} of 100` : "";
}

/** What a screen reader says of a take. */
export function takeText(anchor, index, { fresh = false, letter = "" } = {}) {
  const take = anchor.takes[index];
  const state = anchor.chosen === take.key ? (anchor.locked ? "approved and locked" : "approved") : "not approved";
  const more = [fitText(take), fresh && "new", letter && `marked ${letter} to compare`].filter(Boolean);
  return [`Frame ${anchor.frame}, take ${index + 1} of ${anchor.takes.length}: ${take.label}`, state, ...more].join(", ");
}

export class SheetView {
  constructor(parent, does) {
    Object.assign(this, { does, state: null });
    this.note = make("span", { class: "al-sheet-note" });
    this.job = make("span", { class: "al-sheet-job" });
    const close = button({ icon: "close", label: "Close the contact sheet", title: "Close (Esc)", name: "sheet-close", onclick: does.act.close });
    this.strip = make("div", { class: "al-sheet-strip", role: "group", "aria-label": "Anchors and their takes" });
    this.about = make("div", { class: "al-sheet-about" });
    this.buttons = new Map(ACTS.map(([name, text, title]) => [name, button({ text, label: text, title, name: `sheet-${name}`, onclick: does.act[name] })]));
    this.said = make("div", { class: "al-sheet-said", role: "status" });
    this.question = make("div", { class: "al-sheet-question", role: "alertdialog", "aria-label": "Outside the mask", hidden: true });
    this.root = make(
      "div",
      { class: "al-sheet", role: "dialog", "aria-modal": "true", "aria-label": "Contact sheet", hidden: true },
      make("header", {}, make("b", {}, "Contact sheet"), this.note, make("span", { class: "al-space" }), this.job, close),
      this.strip,
      this.question,
      make("div", { class: "al-sheet-foot" }, this.about, make("div", { class: "al-sheet-acts", role: "toolbar", "aria-label": "This take" }, ...this.buttons.values()), this.said),
    );
    this.root.addEventListener("keydown", (event) => event.key === "Tab" && this.#tab(event));
    this.root.addEventListener("pointerdown", (event) => event.stopPropagation());
    parent.append(this.root);
  }

  show(on) {
    this.root.hidden = !on;
    if (!on) this.say("");
  }

  /** Draws everything: {anchors, pairs, at, marked, seen, aspect of the clip}. */
  draw(state) {
    this.state = state;
    this.root.style.setProperty("--al-aspect", state.aspect);
    const approved = state.anchors.filter((anchor) => anchor.chosen).length;
    setText(this.note, state.anchors.length ? `${state.anchors.length} anchor${state.anchors.length === 1 ? "" : "s"}, ${approved} approved` : "");
    const parts = state.anchors.flatMap((anchor, index) => [...(index ? [this.#link(state.anchors[index - 1], anchor)] : []), this.#column(anchor)]);
    this.strip.replaceChildren(...(parts.length ? parts : [empty()]));
    this.#describe();
  }

  /** Only the cursor or the marks have moved. */
  move({ at, marked }) {
    Object.assign(this.state, { at, marked });
    for (const one of this.strip.querySelectorAll("[data-take]")) this.#dress(one);
    this.#describe();
  }

  focus(at) {
    const cell = at && this.strip.querySelector(`[data-frame="${at.frame}"][data-take="${at.key ?? ""}"]`);
    (cell ?? this.buttons.get("approve")).focus({ preventScroll: true });
    cell?.closest("section").scrollIntoView({ block: "nearest", inline: "nearest" });
    cell?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  say(text) {
    setText(this.said, text);
  }

  work(text) {
    setText(this.job, text);
  }

  /** Asks what to do with what reaches outside the mask; "" takes the question away. */
  ask(text) {
    this.question.hidden = !text;
    if (!text) return;
    const one = (outside, words) => button({ text: words, label: words, name: `sheet-${outside ?? "leave"}`, onclick: () => this.does.answer(outside) });
    this.question.replaceChildren(make("span", {}, text), one("grow", "Grow the region"), one("clip", "Clip the take"), one(null, "Leave it"));
    this.question.querySelector("button").focus();
  }

  // ---- parts ---------------------------------------------------------------------------------------------------

  #column(anchor) {
    const name = `Frame ${anchor.frame}`;
    const state = anchor.locked ? "locked" : anchor.chosen ? "approved" : "none approved";
    const head = make("div", { class: "al-sheet-head" }, make("b", {}, name), make("span", {}, state));
    if (anchor.locked) head.append(iconOf("lock"));
    const takes = anchor.takes.map((take, index) => this.#cell(anchor, take, index));
    const body = takes.length ? takes : [this.#bare(anchor)];
    return make("section", { role: "group", "aria-label": `${name}, ${state}`, "data-column": anchor.frame }, head, ...body);
  }

  #cell(anchor, take, index) {
    const cell = make("button", { type: "button", class: "al-sheet-take", "data-frame": anchor.frame, "data-take": take.key, "data-index": index });
    const picture = make("img", { src: this.does.thumb(take.key), alt: "", loading: "lazy", draggable: "false" });
    const marks = make("span", { class: "al-sheet-marks" });
    const label = make("span", { class: "al-sheet-label" }, take.label);
    if (fitText(take)) label.append(make("i", { class: "al-sheet-fit", title: `${fitText(take)}, as the model's own picture and word encoder sees it` }, ` · ${take.fit}`));
    cell.append(make("span", { class: "al-sheet-number" }, String(index + 1)), picture, marks, label);
    cell.addEventListener("click", () => this.does.pick(anchor.frame, take.key));
    cell.addEventListener("dblclick", () => this.does.use(anchor.frame, take.key));
    this.#dress(cell);
    return cell;
  }

  /** An anchor without takes: its source, to say which frame it is. */
  #bare(anchor) {
    const cell = make("button", { type: "button", class: "al-sheet-take al-sheet-bare", "data-frame": anchor.frame, "data-take": "", "aria-label": `Frame ${anchor.frame}: no takes yet` });
    cell.append(make("img", { src: this.does.source(anchor.frame), alt: "", loading: "lazy" }), make("span", { class: "al-sheet-label" }, "No takes yet"));
    cell.addEventListener("click", () => this.does.pick(anchor.frame, null));
    this.#dress(cell);
    return cell;
  }

  /** What changes with cursor, approval and marks. */
  #dress(cell) {
    const { at, marked, seen, anchors } = this.state;
    const frame = Number(cell.dataset.frame);
    const key = cell.dataset.take || null;
    const anchor = anchors.find((one) => one.frame === frame);
    const here = at?.frame === frame && at.key === key;
    cell.tabIndex = here ? 0 : -1;
    cell.classList.toggle("al-sheet-here", here);
    if (!key) return;
    const place = marked.findIndex((one) => one.frame === frame && one.key === key);
    const [letter, fresh] = [place < 0 ? "" : "AB"[place], !seen.has(key)];
    const approved = anchor.chosen === key;
    cell.setAttribute("aria-pressed", String(approved));
    cell.setAttribute("aria-label", takeText(anchor, Number(cell.dataset.index), { fresh, letter }));
    const marks = [letter && make("i", { class: "al-sheet-letter" }, letter), fresh && make("i", {}, "new"), approved && iconOf(anchor.locked ? "lock" : "keep")];
    cell.querySelector(".al-sheet-marks").replaceChildren(...marks.filter(Boolean));
  }

  #link(left, right) {
    const pair = this.state.pairs.find((one) => one.left === left.frame && one.right === right.frame);
    if (!pair) return make("div", { class: "al-sheet-link" });
    const { short, words } = agreementText(pair);
    const level = pair.score === null ? "none" : String(Math.min(2, AGREES.findIndex(([least]) => pair.score >= least)));
    const mark = make("span", { class: "al-sheet-score", role: "img", "aria-label": words, title: words, "data-level": level, "data-pair": `${pair.left}-${pair.right}` }, short);
    return make("div", { class: "al-sheet-link" }, mark);
  }

  #describe() {
    const { at, anchors, pairs } = this.state;
    const anchor = anchors.find((one) => one.frame === at?.frame);
    const index = anchor ? anchor.takes.findIndex((one) => one.key === at.key) : -1;
    const take = index < 0 ? null : anchor.takes[index];
    const beside = anchor ? pairs.filter((one) => one.left === anchor.frame || one.right === anchor.frame).map((one) => agreementText(one)) : [];
    const first = take ? `${takeText(anchor, index)}. ${take.how}.` : anchor ? `Frame ${anchor.frame} has no takes.` : "";
    this.about.replaceChildren(make("div", {}, first), ...beside.map(({ words }) => make("div", { class: "al-sheet-fact" }, words)));
    const can = {
      approve: Boolean(take) && !anchor.locked && anchor.chosen !== take.key,
      lock: Boolean(anchor?.chosen),
      again: Boolean(take) && !anchor.locked && !take.again,
      after: Boolean(take) && anchor.chosen === take.key,
      mark: Boolean(take),
      compare: Boolean(take),
      show: Boolean(anchor),
      remove: Boolean(take) && !anchor.locked,
    };
    for (const [name, control] of this.buttons) control.disabled = !can[name];
    setText(this.buttons.get("lock").lastChild, anchor?.locked ? "Unlock" : "Lock");
    this.buttons.get("again").title = take?.again || ACTS[2][2];
  }

  /** The keyboard stays inside while the sheet is open. */
  #tab(event) {
    if (this.root.querySelector(".al-two:not([hidden])")) return;
    const inside = [...this.root.querySelectorAll(CAN_FOCUS)].filter((one) => one.offsetParent !== null);
    const [edge, other] = event.shiftKey ? [inside[0], inside.at(-1)] : [inside.at(-1), inside[0]];
    if (document.activeElement !== edge) return;
    event.preventDefault();
    other?.focus();
  }
}

function empty() {
  return make("p", { class: "al-sheet-empty" }, "No anchors yet. Go to a frame that shows the subject well, press A, and make a take in the Anchors tab; then it stands here.");
}
