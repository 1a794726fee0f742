// An audition: one second around the playhead by every method that can run here, in tiles that play together. The one that is
// picked becomes the method of the edit, or of the segment at the playhead; until then nothing of the project changes.

import { button, make, setText } from "./dom.js";
import { active } from "./poll.js";
import { loadStyle } from "./style.js";

const LOOK_MS = 400;
const PASSED_ON = ["F1", "?"]; // the page's own keys

/** The frames [start, stop) between the approved anchors, cuts or ends of the range around a frame. */
export function stretchAt(view, frame) {
  const edges = [...view.cuts, ...view.anchors.filter((one) => one.chosen).map((one) => one.frame)];
  const [start, stop] = view.range;
  return [Math.max(start, ...edges.filter((one) => one <= frame)), Math.min(stop, ...edges.filter((one) => one > frame))];
}

const levels = (value) => `${value.toFixed(1)} level${value === 1 ? "" : "s"}`;

/** What a tile says below its picture, line by line. */
export function linesOf(tile) {
  if (tile.state === "failed") return [tile.why];
  if (tile.state !== "done") return ["Waiting …"];
  const pace = tile.seconds === null ? "rendered before" : `${tile.seconds.toFixed(tile.seconds < 1 ? 2 : 1)} s a frame`;
  const steady = tile.flicker === null ? "no region to compare" : `flicker ${levels(tile.flicker)}`;
  const anchors = tile.strayed === null ? "no anchor to compare with" : `strays ${levels(tile.strayed)} at anchors`;
  return [`${pace} · ${steady}`, `${anchors} · outside ${tile.outside === 0 ? "untouched" : `changes ${tile.outside}`}`];
}

export class Audition {
  constructor(editor) {
    Object.assign(this, { editor, isOpen: false, job: null, frame: 0, at: 0, shown: 0, playing: true, turn: 0, tiles: [] });
    this.said = make("span", { class: "al-audition-said", role: "status" });
    this.play = button({ icon: "pause", label: "Play or pause (Space)", name: "audition-play", onclick: () => this.toggle() });
    this.scope = make("span", { class: "al-audition-scope", role: "radiogroup", "aria-label": "Use the picked method for" });
    this.grid = make("div", { class: "al-audition-grid", role: "group", "aria-label": "Methods" });
    this.rest = make("details", { class: "al-audition-rest" }, make("summary"), make("ul"));
    const close = button({ icon: "close", label: "Leave without a change (Esc)", name: "audition-close", onclick: () => this.close() });
    const head = make("header", {}, make("b", {}, "Audition"), this.said, this.scope, this.play, close);
    this.root = make("div", { class: "al-audition", role: "dialog", "aria-label": "Audition of methods", tabindex: -1, hidden: true }, head, this.grid, this.rest);
    this.root.addEventListener("keydown", (event) => this.#key(event));
    editor.root.append(this.root);
    editor.addEventListener("open", () => this.close());
  }

  /** Holds an audition around the shown frame. */
  async open() {
    const { editor } = this;
    editor.playback.pause();
    await loadStyle("edits.css");
    const turn = ++this.turn;
    const frame = editor.frame;
    const job = await this.#ask("audition", { frame });
    if (!job || turn !== this.turn) return;
    Object.assign(this, { job: job.job, frame, at: 0, shown: 0, playing: true, alone: false, isOpen: true });
    this.#forget();
    this.grid.replaceChildren();
    this.root.hidden = false;
    this.#scopes();
    this.#take(this.job);
    this.root.focus({ preventScroll: true });
    this.#beat();
    this.#look(turn);
  }

  /** Leaves; work that still runs is called off. */
  close() {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.turn += 1;
    this.root.hidden = true;
    cancelAnimationFrame(this.tick);
    if (active(this.job)) this.editor.api.cancel(this.job.id).catch((error) => this.editor.notices.warn(error.message));
    this.#forget();
    this.editor.root.focus({ preventScroll: true });
  }

  #forget() {
    for (const tile of this.tiles) for (const picture of tile.pictures) picture?.close();
    this.tiles = [];
  }

  async #ask(path, body) {
    const { editor } = this;
    const init = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    try {
      const response = await fetch(editor.api.url(path), { cache: "no-store", ...init });
      const answer = await response.json();
      if (response.ok) return answer;
      editor.notices.warn(answer.error);
    } catch (error) {
      editor.notices.warn(`The audition cannot be followed (${error.message}); try again.`);
    }
    return null;
  }

  /** Follows the job until it ends. */
  async #look(turn) {
    while (turn === this.turn && this.isOpen && active(this.job)) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      const job = turn === this.turn && (await this.#ask(`jobs/${this.job.id}`));
      if (job && turn === this.turn) this.#take((this.job = job));
      if (job === null) return;
    }
    if (turn === this.turn && this.isOpen) this.editor.poll.soon();
  }

  // ---- what is there -----------------------------------------------------------------------------------------------

  #take(job) {
    const { result } = job;
    const ready = result?.tiles?.filter((one) => one.state === "done").length ?? 0;
    const running = active(job) ? `${job.phase || "Waiting for the project's other work"} …` : job.state === "done" ? "" : job.message;
    const counted = result?.tiles ? `frames ${result.window[0]}–${result.window[1] - 1} · ${ready} of ${result.tiles.length} ready` : "";
    setText(this.said, [counted, running].filter(Boolean).join(" · "));
    if (!result?.tiles) return;
    [this.first, this.stop] = result.window;
    result.tiles.forEach((tile, place) => this.#tile(tile, place));
    this.#refused(result.cannot);
    if (!result.tiles.length) this.rest.open = true;
  }

  #tile(said, place) {
    const have = this.tiles[place];
    if (have && JSON.stringify(have.said) === JSON.stringify(said)) return;
    const tile = have ?? this.#newTile(place);
    tile.said = said;
    const failed = said.state === "failed";
    const lines = linesOf(said);
    tile.why.hidden = !failed;
    setText(tile.why, failed ? said.why : "");
    setText(tile.title, said.title);
    tile.facts.replaceChildren(...(failed ? ["Could not be made"] : lines).map((line) => make("span", {}, line)));
    tile.box.dataset.state = said.state;
    tile.box.disabled = failed;
    tile.box.title = failed ? said.why : "";
    tile.box.setAttribute("aria-label", `${said.title}: ${lines.join("; ")}`);
    if (said.state === "done" && !tile.pictures.length) this.#fetch(tile);
  }

  #newTile(place) {
    const { clip } = this.editor.view;
    const canvas = make("canvas", { width: clip.width > 640 ? 640 : clip.width, height: Math.round((Math.min(640, clip.width) * clip.height) / clip.width) });
    const [title, facts] = [make("b"), make("small")];
    const why = make("em", { hidden: true });
    const number = make("i", {}, String(place + 1));
    const box = make("button", { type: "button", class: "al-tile", "data-name": `tile-${place}` }, canvas, why, number, title, facts);
    box.addEventListener("click", () => this.pick(place));
    box.addEventListener("focus", () => (this.at = place));
    const tile = { box, canvas, why, title, facts, pictures: [], said: null };
    this.tiles[place] = tile;
    this.grid.append(box);
    if (place === 0 && this.root.contains(document.activeElement)) box.focus({ preventScroll: true });
    return tile;
  }

  async #fetch(tile) {
    const { turn } = this;
    const { key } = tile.said;
    for (let frame = this.first; frame < this.stop && turn === this.turn; frame++) {
      try {
        const response = await fetch(this.editor.api.url(`audition/${key}/${frame}.jpg`));
        if (!response.ok) throw new Error(`answer ${response.status}`);
        const picture = await createImageBitmap(await response.blob());
        if (turn !== this.turn) return picture.close();
        tile.pictures[frame - this.first] = picture;
      } catch (error) {
        if (turn === this.turn) this.editor.notices.warn(`A picture of the audition cannot be shown (${error.message}).`);
        return undefined;
      }
    }
    if (turn === this.turn) this.#paint();
    return undefined;
  }

  #refused(cannot) {
    this.rest.hidden = cannot.length === 0;
    setText(this.rest.firstChild, `${cannot.length} cannot run here`);
    const rows = cannot.map(({ title, why }) => make("li", {}, make("b", {}, `${title}:`), ` ${why}`));
    if (this.rest.lastChild.childElementCount !== rows.length) this.rest.lastChild.replaceChildren(...rows);
  }

  #scopes() {
    const [start, stop] = stretchAt(this.editor.view, this.frame);
    const choices = [[false, "the whole edit"], [true, `frames ${start}–${stop - 1} only`]];
    const rows = choices.map(([alone, text]) => {
      const made = button({ text, label: `Use it for ${text}`, name: alone ? "scope-segment" : "scope-edit", onclick: () => this.#scope(alone) });
      made.setAttribute("role", "radio");
      made.setAttribute("aria-checked", String(this.alone === alone));
      return made;
    });
    this.scope.replaceChildren(make("span", {}, "Use for "), ...rows);
  }

  #scope(alone) {
    this.alone = alone;
    this.#scopes();
  }

  // ---- playing -----------------------------------------------------------------------------------------------------

  toggle() {
    this.playing = !this.playing;
    if (this.playing) this.since = null;
  }

  /** All tiles show the same frame of the second, again and again at the clip's pace. */
  #beat() {
    const [numerator, denominator] = this.editor.view.clip.rate;
    this.tick = requestAnimationFrame((now) => {
      if (!this.isOpen) return;
      if (this.playing && this.first !== undefined) {
        this.since ??= now - (this.shown * 1000 * denominator) / numerator;
        const frame = Math.floor(((now - this.since) * numerator) / (1000 * denominator)) % Math.max(1, this.stop - this.first);
        if (frame !== this.shown) {
          this.shown = frame;
          this.#paint();
        }
      }
      this.#beat();
    });
  }

  #step(by) {
    this.playing = false;
    const count = this.stop - this.first;
    this.shown = (this.shown + by + count) % count;
    this.#paint();
  }

  #paint() {
    this.root.dataset.shown = this.shown;
    for (const { canvas, pictures } of this.tiles) {
      const picture = pictures[this.shown];
      if (picture) canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    }
  }

  // ---- keys and the choice -----------------------------------------------------------------------------------------

  async pick(place = this.at) {
    const said = this.tiles[place]?.said;
    const { editor } = this;
    if (said?.state !== "done") return editor.notices.say("This one is not ready yet.");
    const { method, config, title } = said;
    const [start, stop] = stretchAt(editor.view, this.frame);
    const view = this.alone ? await editor.act("set_segment_method", { start, stop, method, config }) : await editor.act("use_method", { method, config });
    if (!view) return undefined;
    this.close();
    const where = this.alone ? `frames ${start}–${stop - 1}` : "the edit";
    return editor.notices.say(`${title} makes ${where} now: propagate to render (Ctrl+Enter), Ctrl+Z takes it back.`);
  }

  #key(event) {
    if (PASSED_ON.includes(event.key) || event.ctrlKey || event.metaKey || event.key === "Tab") return;
    const onTile = event.target.classList.contains("al-tile");
    const acts = {
      Escape: () => this.close(),
      " ": () => this.toggle(),
      ArrowRight: () => this.#go(1),
      ArrowLeft: () => this.#go(-1),
      ",": () => this.#step(-1),
      ".": () => this.#step(1),
      s: () => this.#scope(!this.alone),
    };
    if (event.key === "Enter" && onTile) acts.Enter = () => this.pick();
    const digit = Number(event.key);
    if (digit >= 1 && digit <= this.tiles.length) acts[event.key] = () => this.tiles[digit - 1].box.focus();
    event.stopPropagation(); // no shortcut of the page runs under it
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #go(by) {
    const count = this.tiles.length;
    if (count) this.tiles[(this.at + by + count) % count].box.focus();
  }
}
