// Follows what moves without the user: the frame pack, jobs, segments. Asks often while something moves.

import { editedAt } from "./pictures.js";

const BUSY_MS = 300;
const IDLE_MS = 3000;
const INDEX_MS = 450;
const HURRY_MS = 6000; // how long a job that was just asked for may take to appear

/** Whether a job is still under way. */
export const active = (job) => Boolean(job) && ["queued", "running"].includes(job.state);

const mark = (job) => (job ? `${job.id}:${job.state}` : "");

export class Poll {
  constructor(editor) {
    Object.assign(this, { editor, timer: null, running: false, indexed: 0, hurriedUntil: 0 });
    document.addEventListener("visibilitychange", () => this.running && this.soon());
  }

  start() {
    this.running = true;
    this.#round();
  }

  stop() {
    this.running = false;
    clearTimeout(this.timer);
  }

  /** Asks now rather than at the next turn. */
  soon() {
    if (!this.running) return;
    clearTimeout(this.timer);
    this.#round();
  }

  /** A job was asked for: look often until it is there. */
  hurry() {
    this.hurriedUntil = performance.now() + HURRY_MS;
    this.soon();
  }

  async #round() {
    const { editor } = this;
    const { api } = editor;
    if (document.visibilityState === "visible") {
      try {
        await this.#pack();
        await this.#status();
        this.lost = false;
      } catch (error) {
        if (api === editor.api && !this.lost) editor.notices.warn(`${error.message}`);
        this.lost = true;
      }
    }
    if (!this.running || api !== editor.api) return;
    clearTimeout(this.timer);
    const busy = !editor.source.complete || active(editor.view.job) || this.#previews() || performance.now() < this.hurriedUntil;
    this.timer = setTimeout(() => this.#round(), busy && !this.lost ? BUSY_MS : IDLE_MS);
  }

  /** Whether a preview is shown that a better one may take the place of. */
  #previews() {
    const place = this.editor.mode === "source" ? null : editedAt(this.editor.view, this.editor.want);
    return place?.kind === "preview" && place.path.endsWith("proper=0");
  }

  async #pack() {
    const { editor } = this;
    const { source } = editor;
    const { ready, complete } = editor.view.pack;
    const more = !source.complete && (ready > source.known || complete);
    if (more && performance.now() - this.indexed >= INDEX_MS) {
      this.indexed = performance.now();
      const fresh = await source.refreshIndex();
      if (complete && fresh === 0) source.complete = true; // it ends here, even if some frames have no picture
      if (fresh > 0) editor.changed("pack");
    }
    source.fill().catch((error) => editor.notices.warn(`The frames cannot be loaded ahead (${error.message}).`));
  }

  async #status() {
    const { editor } = this;
    const before = editor.view;
    const status = await editor.api.status(before.rev);
    if (editor.view !== before) return; // an act came between; its view is newer
    const ended = active(before.job) && !active(status.job);
    const finished = JSON.stringify(before.segments) !== JSON.stringify(status.segments);
    if (ended || status.rev !== before.rev) {
      await editor.refresh();
      if (ended && status.job?.state === "failed") editor.notices.warn(status.job.message);
    } else {
      const next = { ...before, ...status, pack: { ...before.pack, ...status.pack } };
      if (finished) editor.applyView(next);
      else editor.view = next;
    }
    editor.changed("status");
    // Work that began or ended by itself: the panels beside the canvas follow.
    if (mark(before.job) !== mark(status.job)) editor.trigger("changed", { rev: status.rev, frame: editor.frame });
  }
}
