// The contact sheet: all anchors of the edit with their takes, over the whole editor, driven by keys. What it shows comes from
// the server (`GET sheet`); what is done on it are acts like any other, so undo works here too.

import { COMPARED, SheetView } from "./sheet_view.js";
import { jobText } from "./readout.js";
import { active } from "./poll.js";
import { chordOf } from "./keys.js";
import { loadStyle } from "./style.js";
import { TwoTakes } from "./two_takes.js";

const AGAIN_MS = 1500; // between looks while neighbours are being compared
const PASSED_ON = ["undo", "redo", "palette", "help", "cancelJob"]; // commands whose keys mean the same here

export class ContactSheet {
  constructor(editor) {
    Object.assign(this, { editor, isOpen: false, data: null, at: null, marked: [], seen: new Set(), timer: 0, asking: false, question: null, working: "" });
    const run = (name) => () => this[name]();
    this.view = new SheetView(editor.root, {
      pick: (frame, key) => this.go(frame, key),
      use: (frame, key) => this.go(frame, key) && this.approve(),
      act: { approve: run("approve"), lock: run("lock"), again: run("again"), after: run("after"), mark: run("mark"), compare: run("compare"), show: run("show"), remove: run("remove"), close: run("close") },
      answer: (outside) => this.#answer(outside),
      thumb: (key) => editor.api.url(`thumb/${key}.jpg`),
      source: (frame) => editor.api.url(`frame/${frame}.jpg`),
    });
    this.two = new TwoTakes(this.view.root, (key) => editor.api.url(`object/${key}.png`), (frame) => editor.api.url(`frame/${frame}.jpg`));
    this.view.root.addEventListener("keydown", (event) => this.#key(event));
    for (const name of ["view", "status"]) editor.addEventListener(name, () => this.#follow());
    editor.addEventListener("open", () => this.close());
  }

  toggle() {
    return this.isOpen ? this.close() : this.open();
  }

  async open() {
    const { editor } = this;
    editor.playback.pause();
    await Promise.all([loadStyle("sheet.css"), this.#load()]);
    if (!this.data) return;
    this.isOpen = true;
    this.seen = new Set(this.data.anchors.flatMap((anchor) => anchor.takes.map((take) => take.key)));
    const here = this.anchor(editor.frame) ?? this.data.anchors[0];
    this.at = here ? { frame: here.frame, key: here.chosen ?? here.takes.at(-1)?.key ?? null } : null;
    this.view.show(true);
    this.#draw();
  }

  close() {
    if (!this.isOpen) return;
    this.isOpen = false;
    clearTimeout(this.timer);
    this.two.close();
    this.#ask(null);
    this.view.show(false);
    this.editor.root.focus({ preventScroll: true });
  }

  // ---- what is there -------------------------------------------------------------------------------------------

  anchor(frame = this.at?.frame) {
    return this.data?.anchors.find((one) => one.frame === frame);
  }

  /** The take under the cursor, or undefined. */
  take() {
    return this.anchor()?.takes.find((one) => one.key === this.at.key);
  }

  async #load() {
    if (this.asking) return;
    this.asking = true;
    try {
      this.data = await this.editor.api.sheet();
    } catch (error) {
      this.editor.notices.warn(error.message);
    } finally {
      this.asking = false;
    }
    clearTimeout(this.timer);
    if (this.isOpen && this.data?.pairs.some((pair) => pair.waits)) this.timer = setTimeout(() => this.#again(), AGAIN_MS);
  }

  async #again() {
    await this.#load();
    if (this.isOpen) this.#draw();
  }

  /** The project changed, or a job moved on. */
  #follow() {
    const { view } = this.editor;
    if (!this.isOpen || !view) return;
    if (!this.data || view.rev !== this.data.rev) this.#again();
    else this.#work(view.job);
  }

  /** What the running job does; how one that was seen running has ended. */
  #work(job) {
    this.view.work(active(job) ? jobText(job) : "");
    if (this.working && job?.id === this.working && !active(job)) this.#say(job.message);
    this.working = active(job) ? job.id : "";
  }

  #draw() {
    const { data } = this;
    if (!this.anchor()) this.at = data.anchors.length ? { frame: data.anchors[0].frame, key: null } : null;
    if (this.at && !this.take()) this.at.key = this.anchor().chosen ?? this.anchor().takes.at(-1)?.key ?? null;
    const there = (one) => !one.key || this.anchor(one.frame)?.takes.some((take) => take.key === one.key);
    this.marked = this.marked.filter((one) => this.anchor(one.frame) && there(one));
    const { clip } = this.editor.view;
    this.view.draw({ ...data, at: this.at, marked: this.marked, seen: this.seen, aspect: `${clip.width} / ${clip.height}` });
    this.#work(this.editor.view.job);
    if (!this.two.isOpen && !this.question) this.view.focus(this.at);
  }

  // ---- moving --------------------------------------------------------------------------------------------------

  go(frame, key) {
    this.at = { frame, key };
    this.view.move({ at: this.at, marked: this.marked, anchor: this.anchor(), take: this.take() });
    this.view.focus(this.at);
    return true;
  }

  /** To a neighbouring anchor, at the same height where it has so many takes. */
  #sideways(by) {
    const place = this.data.anchors.findIndex((one) => one.frame === this.at?.frame) + by;
    const next = this.data.anchors[place];
    if (!next) return;
    const height = Math.max(0, this.anchor().takes.findIndex((one) => one.key === this.at.key));
    this.go(next.frame, next.takes[Math.min(height, next.takes.length - 1)]?.key ?? null);
  }

  #upDown(by) {
    const { takes } = this.anchor() ?? { takes: [] };
    const next = takes[takes.findIndex((one) => one.key === this.at.key) + by];
    if (next) this.go(this.at.frame, next.key);
  }

  #ends(last) {
    const anchor = last ? this.data.anchors.at(-1) : this.data.anchors[0];
    if (anchor) this.go(anchor.frame, anchor.chosen ?? anchor.takes[0]?.key ?? null);
  }

  // ---- doing ---------------------------------------------------------------------------------------------------

  #say(text) {
    this.view.say(text);
  }

  /** Approves the take under the cursor. */
  approve() {
    const [anchor, take] = [this.anchor(), this.take()];
    if (!take) return this.#say("There is no take here: make one in the Anchors tab, or paint on the frame.");
    if (anchor.chosen === take.key) return this.#say("This take is approved already.");
    return this.#order("sheet/approve", { frame: anchor.frame, key: take.key }, `Approved for frame ${anchor.frame}.`);
  }

  takeBack() {
    const anchor = this.anchor();
    if (!anchor?.chosen) return this.#say("No take of this anchor is approved.");
    return this.#order("sheet/approve", { frame: anchor.frame, key: null }, `Approval of frame ${anchor.frame} taken back.`);
  }

  async lock() {
    const anchor = this.anchor();
    if (!anchor) return;
    const locked = !anchor.locked;
    if (await this.editor.act("lock_anchor", { frame: anchor.frame, locked })) this.#say(`Frame ${anchor.frame} is ${locked ? "locked" : "unlocked"}.`);
  }

  again() {
    const [anchor, take] = [this.anchor(), this.take()];
    if (!take) return this.#say("There is no take here to make again.");
    if (anchor.locked) return this.#say(`Frame ${anchor.frame} is locked; L unlocks it.`);
    if (take.again) return this.#say(take.again);
    return this.#order("sheet/again", { frame: anchor.frame, key: take.key }, "Making another take …");
  }

  after() {
    const [anchor, take] = [this.anchor(), this.take()];
    if (!anchor?.chosen || take?.key !== anchor.chosen) return this.#say("The reference is an approved take: approve this one first (Enter).");
    return this.#order("sheet/after", { frame: anchor.frame }, "Making takes after this one for all anchors that are not locked …");
  }

  async remove() {
    const [anchor, take] = [this.anchor(), this.take()];
    if (!take) return;
    const gone = await this.editor.act("delete_take", { frame: anchor.frame, key: take.key });
    if (gone) this.#say("Take deleted; Ctrl+Z brings it back.");
  }

  show() {
    if (!this.at) return;
    const { frame } = this.at;
    this.close();
    this.editor.seek(frame);
    if (this.editor.mode === "source") this.editor.setMode("edited");
  }

  /** Marks the take for comparing; the third mark takes the first one's place. */
  mark() {
    if (!this.at) return;
    const same = (one) => one.frame === this.at.frame && one.key === this.at.key;
    this.marked = this.marked.some(same) ? this.marked.filter((one) => !same(one)) : [...this.marked, { ...this.at }].slice(-COMPARED);
    this.view.move({ at: this.at, marked: this.marked, anchor: this.anchor(), take: this.take() });
    if (this.marked.length === COMPARED) this.compare();
    else this.#say(this.marked.length ? "Marked; C on another take compares the two, V compares this one with the source." : "Mark taken away.");
  }

  /** Two marked takes; else the take under the cursor and the source. */
  compare() {
    const two = this.marked.length === COMPARED ? this.marked : this.at?.key ? [{ frame: this.at.frame, key: null }, this.at] : null;
    if (!two) return this.#say("There is no take here to compare.");
    const named = two.map((one) => ({ ...one, name: this.#name(one) }));
    return this.two.open(named, () => {
      this.marked = [];
      this.#draw();
    });
  }

  #name({ frame, key }) {
    const place = this.anchor(frame).takes.findIndex((one) => one.key === key);
    return place < 0 ? `Source, frame ${frame}` : `Frame ${frame}, take ${place + 1}: ${this.anchor(frame).takes[place].label}`;
  }

  async #order(path, body, said) {
    const { editor } = this;
    try {
      const answer = await editor.api.order(path, body);
      this.#ask(answer.question ? { text: answer.question, path, body, said } : null);
      if (answer.question) return;
      this.#say(said);
      if (answer.view) {
        editor.applyView(answer.view);
        editor.trigger("changed", { rev: answer.view.rev, frame: editor.frame });
      } else {
        this.working = answer.job.id; // it may have ended before it is seen running
        editor.poll.hurry();
      }
    } catch (error) {
      this.#say(error.message);
      if (error.status) await editor.refresh();
    }
  }

  /** A take that reaches outside its mask: what to do is asked, here, under the takes. */
  #ask(question) {
    this.question = question;
    this.view.ask(question?.text ?? "");
    if (!question && this.isOpen) this.view.focus(this.at);
  }

  #answer(outside) {
    const { question } = this;
    this.#ask(null);
    if (outside && question) this.#order(question.path, { ...question.body, outside }, question.said);
  }

  // ---- keys ----------------------------------------------------------------------------------------------------

  #key(event) {
    const chord = chordOf(event);
    if (this.two.isOpen || event.defaultPrevented) return;
    const { command } = this.editor.keymap.rowFor(chord) ?? {};
    if (PASSED_ON.includes(command) && chord !== "Escape") return; // on to the page's keyboard
    event.stopPropagation();
    if (event.isComposing || event.target.closest("input, select")) return;
    const key = this.question ? (chord === "Escape" ? () => this.#answer(null) : null) : command === "sheet" ? () => this.close() : this.#does(chord, event);
    if (!key) return;
    event.preventDefault();
    key();
  }

  /** What a key does here, or null. */
  #does(chord, event) {
    const pressed = event.target.closest(".al-sheet-acts, header");
    const keys = {
      ArrowLeft: () => this.#sideways(-1),
      ArrowRight: () => this.#sideways(1),
      ArrowUp: () => this.#upDown(-1),
      ArrowDown: () => this.#upDown(1),
      Home: () => this.#ends(false),
      End: () => this.#ends(true),
      Enter: () => this.approve(),
      Space: () => this.approve(),
      0: () => this.takeBack(),
      L: () => this.lock(),
      R: () => this.again(),
      U: () => this.after(),
      C: () => this.mark(),
      V: () => this.compare(),
      F: () => this.show(),
      Delete: () => this.remove(),
      Escape: () => this.close(),
    };
    if (pressed && ["Enter", "Space"].includes(chord)) return null; // the button's own
    if (/^[1-9]$/.test(chord)) return () => this.#digit(Number(chord));
    return keys[chord] ?? null;
  }

  /** Picks the take with this number of the anchor under the cursor, and approves it. */
  #digit(number) {
    const take = this.anchor()?.takes[number - 1];
    if (!take) return this.#say(`There is no take ${number} on this anchor.`);
    this.go(this.at.frame, take.key);
    return this.approve();
  }
}
