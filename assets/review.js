// What is measured of the frames and what is wrong with them: fetched when it has changed, and the way from one problem to
// the next. The editor's event "review" says that there is news.

import { openTab } from "./dom.js";

const QUIET_MS = 400; // a review is not asked for again sooner: while a run goes on, much changes
const same = (a, b) => a && b && a.kind === b.kind && a.frame === b.frame && a.subject === b.subject;

export class Review {
  constructor(editor) {
    Object.assign(this, { editor, key: "", lanes: null, problems: [], current: null, asking: null, known: false });
    for (const name of ["view", "status"]) editor.addEventListener(name, () => this.#follow());
    editor.addEventListener("open", () => this.#forget());
    if (editor.view) this.#follow();
  }

  #forget() {
    Object.assign(this, { key: "", lanes: null, problems: [], current: null, known: false });
    this.editor.changed("review");
  }

  #follow() {
    const wanted = this.editor.view?.review;
    if (!wanted || wanted === this.key || this.asking) return;
    const { api } = this.editor;
    this.asking = this.#fetch(api)
      .catch((error) => console.warn(`review: ${error.message}`)) // the next round of the poll asks again
      .then(() => new Promise((resolve) => setTimeout(resolve, QUIET_MS)))
      .then(() => (this.asking = null));
  }

  async #fetch(api) {
    const { key, lanes, problems } = await api.review();
    if (api !== this.editor.api) return;
    Object.assign(this, { key, lanes, problems, known: true });
    this.current = problems.find((one) => same(one, this.current)) ?? null;
    this.editor.changed("review");
  }

  /** Resolves when what is known belongs to the view that is shown. */
  async settled() {
    while (this.editor.view && this.editor.view.review !== this.key) await (this.asking ?? new Promise((resolve) => setTimeout(resolve, 50)));
  }

  /** The problem after (1) or before (-1) the current one in the list; the first, or the last, where there is none. */
  step(direction) {
    const { problems, editor } = this;
    if (!problems.length) return editor.notices.say(this.known ? "Nothing to check: no problem is known." : "Nothing is measured yet.");
    const at = problems.findIndex((one) => same(one, this.current));
    const next = at < 0 ? (direction > 0 ? 0 : problems.length - 1) : (at + direction + problems.length) % problems.length;
    return this.go(problems[next]);
  }

  /** Shows a problem: goes to its frame and says what it is. */
  async go(problem) {
    const { editor } = this;
    this.current = problem;
    editor.playback.pause();
    await editor.seek(problem.frame);
    editor.changed("review");
    const place = this.problems.findIndex((one) => same(one, problem)) + 1;
    editor.notices.say(`Problem ${place} of ${this.problems.length}, ${placeText(problem)}: ${problem.sentence}`);
  }

  /** Does what is suggested about a problem, or brings the user to where it is done. */
  async act(problem) {
    this.current = problem;
    this.editor.playback.pause();
    await this.editor.seek(problem.frame);
    await ACTS[problem.act](this.editor, problem);
    this.editor.changed("review");
  }

  /** What is known of a frame, for those who do not see the lane; "" where nothing is. */
  textAt(frame) {
    const { lanes, editor } = this;
    if (!lanes) return "";
    const level = (text) => (text && /[0-9]/.test(text[frame]) ? Math.round((Number(text[frame]) * 100) / 9) : null);
    const parts = [];
    const doubt = level(lanes.doubt);
    if (doubt !== null) parts.push(`doubt of the edit ${doubt} %`);
    for (const subject of editor.view.subjects) {
      const [mask, point] = [level(lanes.masks[subject.id]), level(lanes.points[subject.id])];
      if (mask !== null) parts.push(`mask of ${subject.name} ${100 - mask} % sure`);
      if (point !== null) parts.push(`points of ${subject.name} ${100 - point} % sure`);
    }
    const here = this.problems.filter((one) => one.start <= frame && frame < one.stop);
    parts.push(...here.map((one) => `${one.level}: ${one.sentence}`));
    return parts.join("; ");
  }

  /** The whole in one sentence. */
  summary() {
    const count = (level) => this.problems.filter((one) => one.level === level).length;
    if (!this.problems.length) return this.known ? "No problem is known." : "";
    const [severe, doubtful, notes] = ["severe", "doubtful", "note"].map(count);
    const said = [severe && `${severe} severe`, doubtful && `${doubtful} doubtful`, notes && `${notes} note${notes > 1 ? "s" : ""}`];
    return `To check: ${said.filter(Boolean).join(", ")}.`;
  }
}

/** "frame 12", "frames 12–30". */
export const placeText = ({ start, stop }) => (stop - start <= 1 ? `frame ${start}` : `frames ${start}–${stop - 1}`);

async function pickSubject(editor, subject) {
  if (subject !== null && subject !== editor.view.subject) await editor.act("select_subject", { subject });
}

/** What each suggested act does. */
export const ACTS = {
  async correct_mask(editor, { subject }) {
    await pickSubject(editor, subject);
    if (editor.mode !== "source") editor.setMode("source"); // over the edit no mask is shown
    editor.set({ showMasks: true });
    editor.setTool("brush");
    editor.root.focus({ preventScroll: true });
  },
  async correct_point(editor, { subject }) {
    await pickSubject(editor, subject);
    if (editor.mode !== "source") editor.setMode("source");
    editor.setTool("track");
    editor.root.focus({ preventScroll: true });
  },
  async add_anchor(editor, { frame }) {
    if (!editor.anchor(frame)) await editor.act("add_anchor", { frame });
    openTab("Anchors");
  },
  make_take: () => openTab("Anchors"),
  async approve(editor, { frame }) {
    const anchor = editor.anchor(frame);
    openTab("Anchors");
    if (!anchor?.takes.length) return;
    const key = anchor.shown ?? anchor.takes.at(-1).key;
    if (await editor.act("choose_take", { frame, key })) editor.setMode("edited");
  },
  carry: (editor) => editor.work.request("carry"),
  propagate: (editor) => editor.work.request("run"),
  look: (editor) => editor.root.focus({ preventScroll: true }),
};
