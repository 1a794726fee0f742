// Draws the timeline's lanes. Pure drawing: (pen, model, layout, theme) -> pixels; no state, no events.

import { CHECK, drawConfidence } from "./confidence.js";

export const GUTTER = 100;
export const STRIP = 42;
const PACK = 3;
const ANCHORS = 17;
const SEGMENTS = 11;
export const SUBJECT = 14;

/** Tops of the lanes and the whole height, CSS px. */
export function laneTops(subjects) {
  const anchors = STRIP + PACK;
  const segments = anchors + ANCHORS;
  const check = segments + SEGMENTS;
  const first = check + CHECK + 1;
  return { strip: 0, pack: STRIP, anchors, segments, check, subjects: first, height: first + subjects * SUBJECT + 1 };
}

/** Maps frames to CSS px and back. `from`/`to` are the visible frames (may be fractions), `width` the whole width. */
export class Scale {
  constructor(width, frames, from = 0, to = frames) {
    Object.assign(this, { width, frames, from, to });
    this.perFrame = Math.max(1, width - GUTTER - 2) / (to - from);
  }

  /** Left edge of a frame's cell. */
  left(frame) {
    return GUTTER + (frame - this.from) * this.perFrame;
  }

  centre(frame) {
    return this.left(frame + 0.5);
  }

  /** The frame whose cell holds x, kept inside the clip. */
  frameAt(x) {
    const frame = Math.floor(this.from + (x - GUTTER) / this.perFrame + 1e-9);
    return Math.min(this.frames - 1, Math.max(0, frame));
  }

  /** Visible frames after scaling them by `factor` round position x. */
  zoomed(factor, x) {
    const span = Math.min(this.frames, Math.max(Math.min(8, this.frames), (this.to - this.from) * factor));
    const at = this.from + (x - GUTTER) / this.perFrame;
    const from = Math.max(0, Math.min(this.frames - span, at - ((at - this.from) / (this.to - this.from)) * span));
    return [from, from + span];
  }
}

export const STATE_COLOURS = {
  dirty: "#9a9aa2",
  stale: "#d99000",
  queued: "#e3c51a",
  running: "#3b82f6",
  done: "#1f9d3a",
  failed: "#d92d20",
};

/** Everything but the film-strip. */
export function drawLanes(pen, view, selection, scale, theme) {
  const tops = laneTops(view.subjects.length);
  const inside = scale.width - GUTTER;
  drawPack(pen, view.pack, tops.pack, inside, theme);
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER, 0, inside, tops.height);
  pen.clip();
  drawCuts(pen, view.cuts, scale, tops, theme);
  drawSegments(pen, view, scale, tops.segments, theme);
  drawConfidence(pen, { review: view.checked, next: view.doubt?.next }, scale, tops.check, theme);
  view.subjects.forEach((subject, index) => drawSubject(pen, subject, scale, tops.subjects + index * SUBJECT, theme));
  drawRange(pen, view, scale, tops, theme);
  drawAnchors(pen, view.anchors, selection, scale, tops.anchors, theme);
  pen.restore();
  drawLabels(pen, view, tops, theme);
}

function drawPack(pen, pack, top, width, theme) {
  if (pack.complete || !pack.total) return;
  pen.fillStyle = theme.line;
  pen.fillRect(GUTTER, top, width, PACK);
  pen.fillStyle = theme.accent;
  pen.fillRect(GUTTER, top, (width * pack.ready) / pack.total, PACK);
}

function drawCuts(pen, cuts, scale, tops, theme) {
  pen.fillStyle = theme.text;
  for (const cut of cuts) {
    pen.globalAlpha = 0.55;
    pen.fillRect(scale.left(cut) - 0.5, tops.strip, 1, tops.height);
    pen.globalAlpha = 1;
    pen.fillRect(scale.left(cut) - 2, tops.strip, 4, 5);
  }
}

/** Finished is filled, out of date hatched, under way half filled, waiting dashed, never rendered hollow: no colour need be told apart. */
function drawSegments(pen, view, scale, top, theme) {
  const height = SEGMENTS - 4;
  pen.fillStyle = theme.line;
  pen.fillRect(scale.left(0), top + 2, scale.left(scale.frames) - scale.left(0), height);
  for (const segment of view.segments) {
    const [x0, x1] = [scale.left(segment.start), scale.left(segment.stop)];
    const colour = STATE_COLOURS[segment.state];
    const open = segment.state !== "done" && !segment.stale;
    if (segment.state === "dirty" && segment.stale) hatch(pen, x0, top + 2, x1 - x0, height, STATE_COLOURS.stale);
    else pen.fillRect(...fill(pen, open ? theme.ground : colour, 1, [x0, top + 2, x1 - x0, height]));
    if (open) outlineSegment(pen, [x0, top + 2, x1 - x0, height], colour, segment.state);
    pen.globalAlpha = 1;
    if (segment.state !== "done") {
      pen.fillStyle = segment.state === "dirty" ? STATE_COLOURS.done : STATE_COLOURS[segment.state];
      for (const [a, b] of segment.frames) pen.fillRect(scale.left(a), top + 2, scale.left(b) - scale.left(a), height);
    }
    pen.fillStyle = theme.ground;
    pen.fillRect(x1 - 0.5, top + 1, 1, height + 2);
    if (segment.method) drawOwnMethod(pen, x0, top + 2, height, theme);
  }
}

/** A segment with a method of its own begins with a square. */
function drawOwnMethod(pen, x, top, height, theme) {
  pen.fillStyle = theme.ground;
  pen.fillRect(x + 1, top, height, height);
  pen.fillStyle = theme.text;
  pen.fillRect(x + 2, top + 1, height - 2, height - 2);
}

function outlineSegment(pen, [x, y, width, height], colour, state) {
  if (state === "running") pen.fillRect(...fill(pen, colour, 0.35, [x, y, width, height]));
  pen.globalAlpha = 1;
  pen.setLineDash(state === "queued" ? [4, 3] : []);
  pen.lineWidth = 1.5;
  pen.strokeStyle = colour;
  pen.strokeRect(x + 1, y + 0.75, Math.max(0, width - 2), height - 1.5);
  pen.setLineDash([]);
}

function drawSubject(pen, subject, scale, top, theme) {
  pen.fillStyle = theme.line;
  pen.fillRect(GUTTER, top - 0.5, scale.width, 0.5);
  for (const [a, b] of subject.carried?.ranges ?? []) {
    const [x, width] = [scale.left(a), scale.left(b) - scale.left(a)];
    if (subject.carried.stale) hatch(pen, x, top + 3, width, SUBJECT - 6, subject.colour);
    else pen.fillRect(...fill(pen, subject.colour, 0.55, [x, top + 3, width, SUBJECT - 6]));
    pen.globalAlpha = 1;
  }
  for (const keyframe of subject.keyframes) {
    pen.beginPath();
    pen.arc(scale.centre(keyframe.frame), top + SUBJECT / 2, 4, 0, 2 * Math.PI);
    pen.fillStyle = subject.colour;
    pen.fill();
    pen.lineWidth = 1.25;
    pen.strokeStyle = theme.text;
    pen.stroke();
    if (keyframe.locked) pen.strokeRect(scale.centre(keyframe.frame) - 6, top + 1.5, 12, SUBJECT - 3);
  }
}

function fill(pen, colour, alpha, rect) {
  pen.fillStyle = colour;
  pen.globalAlpha = alpha;
  return rect;
}

/** Diagonal stripes: what is shown there is out of date. */
function hatch(pen, x, y, width, height, colour) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  pen.globalAlpha = 0.3;
  pen.fillStyle = colour;
  pen.fillRect(x, y, width, height);
  pen.globalAlpha = 1;
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.beginPath();
  const start = Math.max(x, GUTTER) - height;
  const stop = Math.min(x + width, GUTTER + 8192);
  for (let at = start; at < stop; at += 5) {
    pen.moveTo(at, y + height);
    pen.lineTo(at + height, y);
  }
  pen.stroke();
  pen.restore();
}

function drawRange(pen, view, scale, tops, theme) {
  const [start, stop] = view.range;
  if (start === 0 && stop === view.clip.frames) return;
  const [a, b] = [scale.left(start), scale.left(stop)];
  pen.fillStyle = theme.ground;
  pen.globalAlpha = 0.6;
  pen.fillRect(GUTTER, 0, a - GUTTER, tops.height);
  pen.fillRect(b, 0, scale.width - b, tops.height);
  pen.globalAlpha = 1;
  pen.strokeStyle = theme.text;
  pen.lineWidth = 2;
  pen.beginPath();
  for (const [x, side] of [[a + 1, 1], [b - 1, -1]]) {
    pen.moveTo(x + side * 6, 1);
    pen.lineTo(x, 1);
    pen.lineTo(x, STRIP - 1);
    pen.lineTo(x + side * 6, STRIP - 1);
  }
  pen.stroke();
}

function drawAnchors(pen, anchors, selection, scale, top, theme) {
  const y = top + ANCHORS / 2;
  for (const anchor of anchors) {
    const x = scale.centre(anchor.frame);
    const picked = selection?.kind === "anchor" && selection.frame === anchor.frame;
    pen.beginPath();
    pen.moveTo(x, y - 7);
    pen.lineTo(x + 7, y);
    pen.lineTo(x, y + 7);
    pen.lineTo(x - 7, y);
    pen.closePath();
    pen.fillStyle = anchor.chosen ? "#f59e0b" : theme.ground;
    pen.fill();
    pen.lineWidth = picked ? 3 : 1.75;
    pen.strokeStyle = picked ? theme.accent : anchor.chosen ? theme.text : "#f59e0b";
    pen.stroke();
    if (!anchor.chosen && anchor.takes.length) {
      pen.fillStyle = "#f59e0b"; // takes wait for a choice
      pen.fillRect(x - 1.5, y - 1.5, 3, 3);
    }
  }
}

function drawLabels(pen, view, tops, theme) {
  pen.textBaseline = "middle";
  pen.font = `11px ${theme.font}`;
  pen.fillStyle = theme.text;
  pen.globalAlpha = 0.75;
  pen.fillText("Anchors", 6, tops.anchors + ANCHORS / 2);
  const edit = view.edits?.length > 1 ? view.edits.find((one) => one.id === view.edit).name : "Edit";
  pen.fillText(fitted(pen, edit, GUTTER - 12), 6, tops.segments + SEGMENTS / 2);
  pen.fillText("Check", 6, tops.check + CHECK / 2);
  view.subjects.forEach((subject, index) => {
    const y = tops.subjects + index * SUBJECT + SUBJECT / 2;
    pen.globalAlpha = 1;
    pen.fillStyle = subject.colour;
    pen.fillRect(6, y - 4, 8, 8);
    pen.fillStyle = theme.text;
    pen.globalAlpha = subject.id === view.subject ? 1 : 0.75;
    pen.fillText(fitted(pen, subject.name, GUTTER - 24), 18, y);
  });
  pen.globalAlpha = 1;
}

function fitted(pen, text, width) {
  let short = text;
  while (short.length > 1 && pen.measureText(short).width > width) short = short.slice(0, -1);
  return short === text ? text : `${short}…`;
}
