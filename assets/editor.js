// The editor on the page: one canvas with its tools, bound to one project at a time.
//
// The project lives on the server; `view` is the last picture of it that the server sent. An act of the user is drawn
// at once, sent through one ordered chain, and replaced by the view that comes back.
//
// Other parts listen to its events: "frame" (another frame is drawn), "view" (the project changed), "status" (a job, the
// pack or segments moved on), "state" (tool, mode, playing …), "open" (another project).

import { Announcer } from "./announce.js";
import { Api } from "./api.js";
import { Audition } from "./audition.js";
import { COMMANDS } from "./commands.js";
import { Compare } from "./compare.js";
import { Controls } from "./controls.js";
import { make } from "./dom.js";
import { Hand } from "./hand.js";
import { HelpSheet } from "./help.js";
import { instantPreview } from "./instant.js";
import { Keyboard } from "./keyboard.js";
import { Keymap } from "./keymap.js";
import { Marking } from "./marking.js";
import { MaskStore } from "./masks.js";
import { Notices } from "./notices.js";
import { Overlay } from "./overlay.js";
import { PaintLayers } from "./paint.js";
import { Palette } from "./palette.js";
import { Panel } from "./panel.js";
import { editedAt, Pictures } from "./pictures.js";
import { Playback } from "./playback.js";
import { Poll } from "./poll.js";
import { HoverPreview } from "./preview.js";
import { Review } from "./review.js";
import { sceneOf } from "./scene.js";
import { Seeker } from "./seeker.js";
import { Settings } from "./settings.js";
import { ContactSheet } from "./sheet.js";
import { FrameSource } from "./source.js";
import { Stage } from "./stage.js";
import { Pointer } from "./tools.js";
import { Tour } from "./tour.js";
import { TrackStore } from "./tracks.js";
import { Work } from "./work.js";

const BASE = new URL("../", import.meta.url).href; // this file is served from <data plane>/static/
const REST_MS = 150;
const DRAWN_KEPT = 400;

export class Editor extends EventTarget {
  /** `trigger(name, data)` tells the page's Python side. */
  constructor(root, trigger) {
    super();
    Object.assign(this, { root, trigger, project: null, view: null, frame: -1, api: null, masks: null, overlay: null });
    Object.assign(this, { tool: "point", mode: "source", wipe: 0.5, subtract: false, radius: 14, colour: "#2050ff", opacity: 1 });
    Object.assign(this, { showMasks: true, selection: null, draft: null, cursor: null, pending: [], lasso: null, dragged: null });
    this.stats = { frame: -1, draws: 0, drawn: [] };
    this.keymap = new Keymap();
    this.panel = new Panel(this);
    const body = make("div", { class: "al-body" });
    root.append(this.panel.top, body, this.panel.bottom);
    this.stage = new Stage(body, { reserve: () => this.#reserve(), changed: () => this.drawMarks() });
    this.compare = new Compare(this);
    this.notices = new Notices(body);
    this.playback = new Playback(this);
    this.marking = new Marking(this);
    this.pointer = new Pointer(this);
    this.hover = new HoverPreview(this);
    this.poll = new Poll(this);
    this.review = new Review(this);
    this.instant = instantPreview(this);
    this.seeker = new Seeker({
      inMemory: (frame) => this.pictures.inMemory(this.view, frame, this.compare.loads),
      peek: (frame) => this.pictures.peek(this.view, frame, this.compare.loads),
      load: (frame) => this.pictures.get(this.view, frame, this.compare.loads),
      draw: (frame, pictures) => this.#draw(frame, pictures),
      failed: (frame, error) => this.notices.warn(`Frame ${frame} cannot be shown (${error.message}); try again, or reopen the clip.`),
    });
    this.work = new Work(this);
    this.settings = new Settings(`${BASE}settings`);
    this.hand = new Hand(this);
    this.controls = new Controls(this);
    this.help = new HelpSheet(this);
    this.palette = new Palette(this);
    this.tour = new Tour(this);
    this.announce = new Announcer(this);
    this.sheet = new ContactSheet(this);
    this.audition = new Audition(this);
    this.keyboard = new Keyboard(this);
    this.changed("state");
  }

  #reserve() {
    const timeline = document.querySelector(".al-timeline")?.offsetHeight ?? 0;
    return this.panel.bottom.offsetHeight + timeline + 46;
  }

  changed(name) {
    if (name === "state") Object.assign(this.root.dataset, { tool: this.tool, mode: this.mode, playing: this.playback.playing });
    this.dispatchEvent(new Event(name));
  }

  // ---- the project ---------------------------------------------------------------------------------------------

  async open(project) {
    this.close();
    this.project = project;
    this.api = new Api(BASE, project);
    const view = await this.api.view();
    if (this.project !== project) return;
    const { frames, width, height, has_audio: hasAudio } = view.clip;
    const url = (path) => this.api.url(path);
    this.view = view;
    this.source = new FrameSource({ url, frames });
    this.pictures = new Pictures(this.source, url);
    this.masks = new MaskStore(url, width, height);
    this.overlay = new Overlay(this.stage, this.masks, {
      // A tint over the edit, or over what neighbours lay over the frame, would hide what it looks like.
      current: () => ({ view: this.view, frame: this.frame, visible: this.showMasks && this.mode === "source" && !this.compare.onion.on }),
      failed: (error) => this.notices.warn(`A mask cannot be shown (${error.message}).`),
    });
    this.tracks = new TrackStore(url, this);
    this.paint = new PaintLayers(this.stage.layer, width, height);
    this.stage.setSize(width, height, view.pack.size ?? [height, width]);
    this.changed("open");
    this.applyView(view);
    await this.source.refreshIndex();
    this.changed("pack");
    this.seek(view.range[0]);
    await this.seeker.idle();
    this.playback.open(await this.api.times(), hasAudio ? url("audio") : null);
    this.root.dataset.ready = "1";
    this.poll.start();
  }

  close() {
    delete this.root.dataset.ready;
    this.poll.stop();
    this.instant.cancel();
    this.playback.close();
    this.pictures?.close();
    this.masks?.close();
    Object.assign(this, { view: null, frame: -1, selection: null, draft: null, pending: [], lasso: null, dragged: null });
  }

  /** Takes a view that the server sent. */
  applyView(view) {
    const shown = this.view && JSON.stringify(editedAt(this.view, this.seeker.want));
    this.view = view;
    this.root.dataset.rev = view.rev;
    this.notices.keep(view.read_only ?? "");
    if (this.mode !== "source" && JSON.stringify(editedAt(view, this.seeker.want)) !== shown) this.redraw();
    this.tracks.take(view);
    this.overlay.draw();
    this.settling = this.masks.settle(view).then(() => this.overlay.draw());
    this.drawMarks();
    this.changed("view");
  }

  /** Asks the server for the project as it is now. */
  async refresh() {
    const sent = this.api.sent;
    const view = await this.api.view();
    if (this.api.sent === sent && this.api.waiting === 0 && view.project === this.project) this.applyView(view); // else an answer to an act is newer
  }

  /** Sends an act. Resolves to the new view, or to null when it was refused (the user has been told why). */
  async act(name, args = {}) {
    if (!this.view) return null;
    if (name === "select_subject") this.view = { ...this.view, subject: args.subject }; // what the next act builds on
    if (name === "set_range") this.view = { ...this.view, range: [args.start, args.stop] };
    return this.send(() => this.api.act(name, args, this.frame));
  }

  /** Runs `send` (which answers with a view) and takes its view; tells the user when it is refused. */
  async send(send) {
    try {
      const view = await send();
      this.applyView(view);
      this.trigger("changed", { rev: view.rev, frame: this.frame });
      return view;
    } catch (error) {
      this.notices.warn(error.message);
      if (error.status) await this.refresh();
      return null;
    }
  }

  subject() {
    return this.view?.subjects.find((one) => one.id === this.view.subject);
  }

  /** What was said about the current subject on the shown frame. */
  keyframe() {
    return this.subject()?.keyframes.find((one) => one.frame === this.frame);
  }

  anchor(frame = this.frame) {
    return this.view?.anchors.find((one) => one.frame === frame);
  }

  // ---- frames --------------------------------------------------------------------------------------------------

  /** Shows a frame (kept inside the clip). Resolves when it, or a later one, is drawn. */
  seek(frame) {
    this.playback.moved(this.#goTo(frame));
    return this.seeker.idle();
  }

  /** A step of playing: as seek, but waits for nothing. */
  playTo(frame) {
    const ready = this.pictures.peek(this.view, frame, this.mode) || this.pictures.inMemory(this.view, frame, this.mode);
    if (ready || this.seeker.settled) this.#goTo(frame);
  }

  #goTo(asked) {
    const frame = Math.max(0, Math.min(this.view.clip.frames - 1, Math.round(asked)));
    this.source.centre = frame;
    this.seeker.show(frame);
    this.changed("want");
    return frame;
  }

  get want() {
    return this.seeker.want;
  }

  prepare(frame) {
    this.pictures.prepare(this.view, frame, this.mode);
  }

  /** Draws the current frame again (another mode, divider or picture). */
  redraw() {
    if (this.view) this.seeker.show(this.seeker.want);
  }

  #draw(frame, pictures) {
    const moved = frame !== this.frame;
    this.stage.drawPicture(pictures, this.compare.draws, this.wipe);
    this.frame = frame;
    this.root.dataset.frame = frame;
    this.root.dataset.edited = pictures.kind;
    this.stage.remark(this.compare.remark(pictures.kind));
    this.instant.ask(frame);
    Object.assign(this.stats, { frame, draws: this.stats.draws + 1 });
    this.stats.drawn.push(frame);
    if (this.stats.drawn.length > DRAWN_KEPT) this.stats.drawn.shift();
    if (!moved) return;
    if (this.selection && this.selection.frame !== frame && this.selection.kind !== "track") this.selection = null;
    this.paint.show(frame);
    this.overlay.draw();
    this.drawMarks();
    this.changed("frame");
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.#rested(), REST_MS);
  }

  /** The frame stands still: Python is told, and the neighbours are decoded for the next step. */
  #rested() {
    if (!this.view) return;
    this.trigger("frame", { frame: this.frame });
    if (!this.playback.playing) for (const near of [1, -1, 2, -2]) this.prepare(this.frame + near);
  }

  /** Resolves when nothing is under way: acts acknowledged, frame and masks drawn. */
  async settled() {
    do {
      await this.api.idle();
      await this.settling;
      await this.seeker.idle();
      await Promise.all([this.overlay.idle(), this.tracks.idle()]);
    } while (this.api.waiting || !this.seeker.settled);
  }

  // ---- what is drawn over the picture ----------------------------------------------------------------------------

  drawMarks() {
    if (this.view) this.stage.drawMarks(sceneOf(this));
  }

  /** Changes state that only the page knows (tool options, selection …) and redraws what depends on it. */
  set(patch) {
    const quiet = Object.keys(patch).every((name) => ["cursor", "draft", "lasso", "dragged"].includes(name));
    Object.assign(this, patch);
    if ("showMasks" in patch) this.overlay?.draw();
    this.drawMarks();
    this.changed(quiet ? "cursor" : "state");
  }

  setTool(tool) {
    this.pointer.cancel();
    this.set({ tool });
  }

  setMode(mode) {
    this.set({ mode });
    this.overlay?.draw();
    this.redraw();
  }

  select(selection) {
    this.set({ selection });
  }

  /** Runs a command of the registry. */
  run(command, argument, event) {
    if (this.view) COMMANDS[command](this, argument, event);
  }

  escape() {
    if (this.pointer.cancel()) return;
    if (!this.notices.dismiss()) this.select(null);
  }
}
