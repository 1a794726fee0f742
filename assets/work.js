// Undo and redo, and the jobs that the page's Python side starts: what the buttons and keys of the group "Work" do.

import { active } from "./poll.js";

export class Work {
  constructor(editor) {
    this.editor = editor;
  }

  undo() {
    const { editor } = this;
    if (editor.tool === "paint" && editor.paint?.undo()) return editor.changed("state");
    return editor.view?.can_undo ? this.#travel("undo", "Undone") : editor.notices.say("There is nothing to undo.");
  }

  redo() {
    const { editor } = this;
    return editor.view?.can_redo ? this.#travel("redo", "Done again") : editor.notices.say("There is nothing to redo.");
  }

  /** What changed must be seen: goes to the frame that it was about, and says what it was. */
  async #travel(name, verb) {
    const { editor } = this;
    const went = (await editor.act(name))?.went;
    if (!went) return;
    const elsewhere = went.frame !== null && went.frame < editor.view.clip.frames && went.frame !== editor.frame;
    if (elsewhere) editor.seek(went.frame);
    editor.notices.say(`${verb}: ${went.label}${elsewhere ? ` (frame ${went.frame})` : ""}`);
  }

  /** Asks the page's Python side for a job: "run" or "carry". */
  request(job) {
    this.editor.trigger(job, {});
    this.editor.poll.hurry();
  }

  async cancelJob() {
    const { editor } = this;
    const job = editor.view?.job;
    if (!active(job)) return;
    try {
      await editor.api.cancel(job.id);
      editor.poll.soon();
    } catch (error) {
      editor.notices.warn(error.message);
    }
  }
}
