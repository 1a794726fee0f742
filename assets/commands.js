// What each command of the shortcut table does: name -> function(editor, argument, event).

import { clamp } from "./geometry.js";

const PAN = { left: [1, 0], right: [-1, 0], up: [0, 1], down: [0, -1] }; // how the picture moves
const PAN_STEP = 60; // CSS px

export const COMMANDS = {
  playPause: (editor) => editor.playback.toggle(),
  pause: (editor) => editor.playback.pause(),
  shuttle: (editor, direction) => editor.playback.shuttle(direction),
  step(editor, frames) {
    editor.playback.pause();
    return editor.seek(editor.want + frames);
  },
  goFirst: (editor) => editor.seek(editor.want > editor.view.range[0] ? editor.view.range[0] : 0),
  goLast(editor) {
    const last = editor.view.range[1] - 1;
    return editor.seek(editor.want < last ? last : editor.view.clip.frames - 1);
  },
  goAnchor(editor, direction) {
    const ahead = editor.view.anchors.map((anchor) => anchor.frame).filter((frame) => (frame - editor.want) * direction > 0);
    if (ahead.length) return editor.seek(direction > 0 ? Math.min(...ahead) : Math.max(...ahead));
    return undefined;
  },
  goNext(editor) {
    const { next, levels } = editor.view.doubt ?? {};
    if (next !== null && next !== undefined) return editor.seek(next);
    const known = /[0-9]/.test(levels ?? "");
    editor.notices.say(known ? "No frame needs another anchor." : "Approve a take first: what it leaves in doubt shows once it is carried.");
    return undefined;
  },

  goFrame(editor, frame) {
    if (frame === undefined) return editor.palette.open("", "Type the number of a frame");
    return editor.seek(frame);
  },
  timelineZoom: (editor, how) => window.anchorlineTimeline?.show(how),

  goProblem: (editor, direction) => editor.review.step(direction),

  rangeIn(editor) {
    const stop = editor.view.range[1] > editor.want ? editor.view.range[1] : editor.view.clip.frames;
    return editor.act("set_range", { start: editor.want, stop });
  },
  rangeOut(editor) {
    const start = editor.view.range[0] <= editor.want ? editor.view.range[0] : 0;
    return editor.act("set_range", { start, stop: editor.want + 1 });
  },
  rangeClear: (editor) => editor.act("set_range", { start: 0, stop: editor.view.clip.frames }),

  tool: (editor, name) => editor.setTool(name),
  lasso(editor, _, event) {
    const onTimeline = Boolean(event?.target.closest?.(".al-timeline"));
    if (editor.playback.playing || onTimeline) return editor.playback.shuttle(1);
    return editor.setTool("lasso");
  },
  hand: (editor) => editor.hand.toggle(),
  swap(editor) {
    if (editor.tool === "brush") editor.setTool("eraser");
    else if (editor.tool === "eraser") editor.setTool("brush");
    else editor.set({ subtract: !editor.subtract });
  },
  brushSize: (editor, factor) => editor.set({ radius: clamp(editor.radius * factor, 0.5, 400) }),
  keepPaint: (editor) => editor.marking.keepPaint(),

  subject(editor, _, event) {
    const place = (Number(event?.key ?? 1) + 9) % 10;
    const subject = editor.view.subjects[place];
    if (subject) return editor.act("select_subject", { subject: subject.id });
    editor.notices.say(`There is no subject ${place + 1}; the + beside the subjects adds one.`);
    return undefined;
  },
  pickSubject: (editor, subject) => editor.act("select_subject", { subject }),
  addSubject: (editor) => editor.act("add_subject"),
  lockKeyframe(editor) {
    const keyframe = editor.keyframe();
    if (!keyframe) return editor.notices.say("There are no marks of this subject on this frame to lock.");
    return editor.act("lock_keyframe", { frame: editor.frame, subject: editor.view.subject, locked: !keyframe.locked });
  },
  clearKeyframe(editor) {
    const { kind, subject, point } = editor.selection ?? {};
    if (kind === "track") return editor.act("free_track_point", { frame: editor.frame, subject, point });
    if (!editor.keyframe()) return undefined;
    return editor.act("clear_keyframe", { frame: editor.frame, subject: editor.view.subject });
  },
  async removeSubject(editor) {
    const subject = editor.subject();
    if (!subject) return;
    const gone = await editor.act("remove_subject", { subject: subject.id });
    if (gone) editor.notices.say(`Removed ${subject.name}; ${editor.keymap.keyText("undo") || "Undo"} brings it back.`);
  },

  audition: (editor) => (editor.audition.isOpen ? editor.audition.close() : editor.work.request("audition")),
  stepEdit: (editor, way) => editor.edits?.step(way),
  switchEdit: (editor) => editor.edits?.switch(),
  addEdit: (editor) => editor.edits?.add(),
  renameEdit: (editor) => editor.edits?.rename(),
  moveEdit: (editor, way) => editor.edits?.move(way),
  removeEdit: (editor) => editor.edits?.remove(),

  addAnchor(editor) {
    if (!editor.anchor()) return editor.act("add_anchor", { frame: editor.want });
    editor.select({ kind: "anchor", frame: editor.want });
    return undefined;
  },
  async moveAnchor(editor, frames) {
    const from = editor.want;
    const to = clamp(from + frames, 0, editor.view.clip.frames - 1);
    if (!editor.anchor(from)) return editor.notices.say(`Frame ${from} is not an anchor; go to one first.`);
    if (to !== from && (await editor.act("move_anchor", { frame: from, to }))) await editor.seek(to);
    return undefined;
  },
  deleteSelected: (editor) => editor.marking.deleteSelected(),

  mode: (editor, mode) => editor.setMode(["wipe", "flicker"].includes(mode) && editor.mode === mode ? "source" : mode),
  wipe(editor, share) {
    editor.set({ wipe: clamp(editor.wipe + share, 0, 1) });
    return editor.mode === "wipe" ? editor.redraw() : editor.setMode("wipe");
  },
  pan: (editor, to) => editor.stage.pan(PAN[to][0] * PAN_STEP, PAN[to][1] * PAN_STEP),
  holdSource: (editor, _, event) => editor.compare.holdBy(event),
  onion: (editor) => editor.compare.onion.toggle(),
  sheet: (editor) => editor.sheet.toggle(),
  async sheetDo(editor, name) {
    if (!editor.sheet.isOpen) await editor.sheet.open();
    return editor.sheet[name]();
  },
  toggleMasks: (editor) => editor.set({ showMasks: !editor.showMasks }),
  zoom: (editor, factor) => editor.stage.zoom(factor),
  zoomFit: (editor) => editor.stage.fitPicture(),

  undo: (editor) => editor.work.undo(),
  redo: (editor) => editor.work.redo(),
  carry: (editor) => editor.work.request("carry"),
  run: (editor) => editor.work.request("run"),
  cancelJob: (editor) => editor.work.cancelJob(),
  control: (editor, name) => editor.controls.use(name),
  palette: (editor) => editor.palette.toggle(),
  tour: (editor) => editor.tour.start(),
  help: (editor) => editor.help.toggle(),
  escape: (editor) => editor.escape(),
};
