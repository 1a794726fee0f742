// Why a command cannot be done now, as one sentence that says what to do first. "" = it can.

import { active } from "./poll.js";

const noKeyframe = (editor) => (editor.keyframe() ? "" : "There are no marks of this subject on this frame.");
const noAnchors = (editor) => (editor.view.anchors.length ? "" : "There is no anchor yet; make this frame one first.");
const notHere = (editor) => (editor.anchor() ? "" : `Frame ${editor.want} is not an anchor; go to one, or make it one.`);
const noSubject = (editor) => (editor.subject() ? "" : "There is no subject yet; click on what you want to change.");
const noTake = (editor) => (editor.anchor()?.takes.length ? "" : `Frame ${editor.want} has no take yet; make one first.`);
const noMarks = (editor) => (editor.view.subjects.some((one) => one.keyframes.length) ? "" : "Nothing is marked yet; click on what you want to change.");
const busy = (editor) => (editor.view.pack.complete ? "" : "The clip is still being prepared.");
const noApproved = (editor) => (editor.view.anchors.some((one) => one.chosen) ? "" : "Approve a take on at least one anchor first.");

/** By command, or by "control:" and the name of a control of the page. */
const REASONS = {
  undo: (editor) => (editor.view.can_undo || editor.paint.count() ? "" : "There is nothing to undo."),
  redo: (editor) => (editor.view.can_redo ? "" : "There is nothing to redo."),
  cancelJob: (editor) => (active(editor.view.job) ? "" : "No job is running."),
  keepPaint: (editor) => (editor.paint.count() ? "" : "Nothing is painted on this frame; take the tool Draw."),
  lockKeyframe: noKeyframe,
  clearKeyframe: (editor) => noKeyframe(editor) || (editor.keyframe().locked ? "The marks on this frame are locked." : ""),
  removeSubject: noSubject,
  goAnchor: noAnchors,
  moveAnchor: notHere,
  deleteSelected: (editor) => (editor.selection ? "" : "Nothing is selected; pick an anchor on the timeline, or a mark with Select."),
  goNext: (editor) => ((editor.view.doubt?.next ?? null) === null ? noApproved(editor) || "No frame needs another anchor." : ""),
  carry: (editor) => noMarks(editor) || busy(editor),
  "control:make-take": noMarks,
  "control:approve": noTake,
  "control:unapprove": (editor) => (editor.anchor()?.chosen ? "" : `No take of frame ${editor.want} is approved.`),
  "control:delete-take": noTake,
  "control:subject-remove": noSubject,
  "control:subject-clear": noKeyframe,
  "control:mask-file": noSubject,
  "control:carry": (editor) => noMarks(editor) || busy(editor),
  "control:cancel": (editor) => (active(editor.view.job) ? "" : "No job is running."),
};

export function reasonAgainst(editor, row) {
  const why = REASONS[row.id] ?? REASONS[row.command];
  const said = why?.(editor) || "";
  return said || (row.command === "control" ? editor.controls.reason(row.argument) : "");
}
