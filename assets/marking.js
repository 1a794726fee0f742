// What the user's marks do: points, boxes, brush strokes, painted takes. Shown here at once, then sent to the server.

import { shownTake } from "./pictures.js";

const NOTHING_SELECTED = "Nothing is selected; pick an anchor on the timeline, or a mark with the select tool (V).";

export class Marking {
  constructor(editor) {
    this.editor = editor;
  }

  /** The current subject's id; adds the first subject where there is none yet. */
  async #subjectId() {
    if (!this.editor.subject()) await this.editor.act("add_subject");
    return this.editor.view.subject;
  }

  async addPoint(x, y, label) {
    const { editor } = this;
    const point = { frame: editor.frame, x, y, label };
    editor.set({ pending: [...editor.pending, point] });
    await editor.act("add_point", { ...point, subject: await this.#subjectId() });
    editor.set({ pending: editor.pending.filter((one) => one !== point) });
  }

  /** Sets the box of the current subject on this frame; null leaves it as it was. */
  async setBox(box) {
    const { editor } = this;
    const { frame } = editor;
    if (box) await editor.act("set_box", { frame, subject: await this.#subjectId(), box });
    editor.set({ draft: null });
  }

  /** The brush went on along `points` (the newest part of stroke.xy). Painted here at once. */
  brushTo(stroke, points) {
    const { editor } = this;
    const subject = editor.subject();
    if (!subject) {
      stroke.waiting ??= this.#subjectId().then(() => editor.subject() && this.brushTo(stroke, stroke.xy));
      return;
    }
    if (!stroke.mask) {
      Object.assign(stroke, { frame: editor.frame, subject: subject.id });
      stroke.mask = editor.masks.startLocal(subject, editor.frame, editor.overlay);
      stroke.mask.strokes.push(stroke);
    }
    const touched = stroke.mask.extend(stroke, points);
    editor.overlay.paint(stroke.mask, subject.colour, touched);
    editor.overlay.draw(touched);
  }

  /** The stroke is finished: it goes to the server as a polyline. */
  async brushDone(stroke) {
    await stroke.waiting;
    if (!stroke.mask) return;
    const { frame, subject, xy, radius, mode, filled } = stroke;
    const [name, args] = filled ? ["add_lasso", { frame, subject, xy, mode }] : ["add_stroke", { frame, subject, xy, radius, mode }];
    stroke.state = "sent";
    const answer = await this.editor.send(async () => {
      const view = await this.editor.api.act(name, args, frame);
      stroke.state = "stored"; // before the view is taken: its mask holds this stroke
      return view;
    });
    if (!answer) this.brushCancel(stroke);
  }

  /** The lasso is closed: what it surrounds is painted here at once and sent. */
  lassoDone(stroke) {
    this.editor.set({ lasso: null });
    if (stroke.xy.length < 3) return undefined;
    this.brushTo(stroke, stroke.xy);
    return this.brushDone(stroke);
  }

  /** A point to be tracked, or with a `point` where that one is on this frame (`seen` false: hidden there). */
  async placeTrack(x, y, point, seen = true) {
    const { editor } = this;
    const at = { frame: editor.frame, subject: await this.#subjectId(), x, y };
    if (point !== undefined) await editor.act("place_track_point", { ...at, point, seen });
    else await editor.act("add_track_point", at);
    editor.set({ dragged: null });
    const points = editor.subject()?.tracks?.points ?? [];
    const id = point ?? points.at(-1)?.id;
    if (id !== undefined) editor.select({ kind: "track", subject: at.subject, frame: at.frame, point: id });
  }

  /** A click was dragged elsewhere. */
  async movePoint(index, x, y) {
    const { editor } = this;
    await editor.act("move_point", { frame: editor.frame, subject: editor.view.subject, index, x, y });
    editor.set({ dragged: null });
  }

  brushCancel(stroke) {
    if (!stroke.mask) return;
    stroke.mask.strokes = stroke.mask.strokes.filter((one) => one !== stroke);
    stroke.mask.repaint();
    this.editor.overlay.draw();
  }

  /** Sends the painted layer of this frame as a take of its anchor. */
  async keepPaint() {
    const { editor } = this;
    if (editor.tool !== "paint" || !editor.paint?.count()) return;
    const { frame } = editor;
    const over = editor.mode === "source" ? null : (shownTake(editor.anchor())?.key ?? null);
    const png = await editor.paint.png();
    if (!(await editor.send(() => editor.api.paint(frame, png, over)))) return;
    editor.paint.clear(frame);
    if (editor.mode === "source") editor.setMode("edited");
    editor.changed("state");
  }

  async deleteSelected() {
    const { editor } = this;
    if (!editor.selection) {
      editor.notices.say(NOTHING_SELECTED);
      return;
    }
    const { kind, ...at } = editor.selection;
    editor.select(null);
    if (kind === "token") await editor.act("drop_token", at);
    else if (kind === "track") await editor.act("remove_track_point", { subject: at.subject, point: at.point });
    else if (kind === "anchor") await editor.act("delete_anchor", at);
    else if (kind === "point") await editor.act("remove_point", at);
    else await editor.act("set_box", { ...at, box: null });
  }
}
