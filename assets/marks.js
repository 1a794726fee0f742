// Draws what the user said: points, boxes, the brush's outline, the wipe's divider. In CSS pixels of the stage.
// Positive and negative differ in shape (+ in a disc, − in a square), not in colour alone.

import { sourceToStage } from "./geometry.js";
import { drawToken } from "./tokens.js";

export const POSITIVE = "#1f9d3a";
export const NEGATIVE = "#d92d20";
const RADIUS = 8;

/** One point mark at stage position (x, y). */
export function drawPoint(pen, x, y, label, { selected = false, faded = false } = {}) {
  pen.save();
  pen.globalAlpha = faded ? 0.6 : 1;
  pen.beginPath();
  if (label > 0) pen.arc(x, y, RADIUS, 0, 2 * Math.PI);
  else pen.rect(x - RADIUS + 1, y - RADIUS + 1, 2 * RADIUS - 2, 2 * RADIUS - 2);
  pen.fillStyle = label > 0 ? POSITIVE : NEGATIVE;
  pen.fill();
  pen.lineWidth = selected ? 3 : 1.5;
  pen.strokeStyle = selected ? "#ffd60a" : "#ffffff";
  pen.stroke();
  pen.beginPath();
  pen.moveTo(x - 4, y);
  pen.lineTo(x + 4, y);
  if (label > 0) {
    pen.moveTo(x, y - 4);
    pen.lineTo(x, y + 4);
  }
  pen.lineWidth = 2;
  pen.strokeStyle = "#ffffff";
  pen.stroke();
  pen.restore();
}

/** A box [x0, y0, x1, y1] of source pixels (x1, y1 exclusive). */
export function drawBox(pen, box, view, colour, { selected = false, locked = false } = {}) {
  const [left, top] = sourceToStage(box[0] - 0.5, box[1] - 0.5, view);
  const [right, bottom] = sourceToStage(box[2] - 0.5, box[3] - 0.5, view);
  outline(pen, () => pen.rect(left, top, right - left, bottom - top), colour, selected ? 3 : 2, locked ? [2, 3] : []);
  if (!selected) return;
  for (const x of [left, (left + right) / 2, right]) {
    for (const y of [top, (top + bottom) / 2, bottom]) {
      pen.fillStyle = "#ffffff";
      pen.fillRect(x - 3, y - 3, 6, 6);
    }
  }
}

/** A tracked point `one` of TrackStore.shown(): its trail, and where it is: filled = seen, hollow = hidden, ringed = said. */
export function drawTrack(pen, one, view, colour, { selected = false, faded = false } = {}) {
  const [x, y] = sourceToStage(one.x, one.y, view);
  pen.save();
  pen.globalAlpha = faded ? 0.5 : 1;
  for (let k = 1; k < one.trail.length; k++) {
    const [from, to] = [one.trail[k - 1], one.trail[k]];
    const line = () => (pen.moveTo(...sourceToStage(from[0], from[1], view)), pen.lineTo(...sourceToStage(to[0], to[1], view)));
    if (from[2] && to[2]) outline(pen, line, colour, 1.5, []);
  }
  outline(pen, () => pen.arc(x, y, 5, 0, 2 * Math.PI), selected ? "#ffd60a" : "#ffffff", selected ? 3 : 1.5, one.seen ? [] : [2, 2]);
  pen.beginPath();
  pen.arc(x, y, 4, 0, 2 * Math.PI);
  pen.fillStyle = colour;
  if (one.seen) pen.fill();
  if (one.said) outline(pen, () => pen.rect(x - 8, y - 8, 16, 16), colour, 1.5, []);
  pen.restore();
}

/** The line of a lasso that is being drawn: [[x, y], …] in source px. */
export function drawLasso(pen, line, view, adds) {
  const path = () => line.forEach(([x, y], k) => pen[k ? "lineTo" : "moveTo"](...sourceToStage(x, y, view)));
  outline(pen, () => (path(), pen.closePath()), adds ? POSITIVE : NEGATIVE, 2, [5, 3]);
}

/** The brush's disc at source position (x, y). */
export function drawBrush(pen, x, y, radius, view, adds) {
  const [cx, cy] = sourceToStage(x, y, view);
  const r = Math.max(1.5, radius * view.scale);
  outline(pen, () => pen.arc(cx, cy, r, 0, 2 * Math.PI), "#ffffff", 1.25, []);
  pen.beginPath();
  pen.moveTo(cx - 3, cy);
  pen.lineTo(cx + 3, cy);
  if (adds) {
    pen.moveTo(cx, cy - 3);
    pen.lineTo(cx, cy + 3);
  }
  pen.lineWidth = 1.5;
  pen.strokeStyle = adds ? POSITIVE : NEGATIVE;
  pen.stroke();
}

/** The pointer that the keys move: a cross that shows on every ground. */
function drawCross(pen, [sourceX, sourceY], view) {
  const [x, y] = sourceToStage(sourceX, sourceY, view);
  const arms = () => {
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      pen.moveTo(x + dx * 4, y + dy * 4);
      pen.lineTo(x + dx * 18, y + dy * 18);
    }
  };
  outline(pen, arms, "#ffffff", 2, []);
}

/** The wipe's divider: a line over the picture and a grip. */
export function drawDivider(pen, x, top, bottom) {
  outline(pen, () => (pen.moveTo(x, top), pen.lineTo(x, bottom)), "#ffffff", 2, []);
  const middle = (top + bottom) / 2;
  pen.beginPath();
  pen.arc(x, middle, 11, 0, 2 * Math.PI);
  pen.fillStyle = "rgba(0, 0, 0, 0.65)";
  pen.fill();
  outline(pen, () => pen.arc(x, middle, 11, 0, 2 * Math.PI), "#ffffff", 1.5, []);
  pen.fillStyle = "#ffffff";
  for (const side of [-1, 1]) {
    pen.beginPath();
    pen.moveTo(x + side * 8, middle);
    pen.lineTo(x + side * 3, middle - 4);
    pen.lineTo(x + side * 3, middle + 4);
    pen.fill();
  }
}

/** A line that shows on light and on dark. */
function outline(pen, path, colour, width, dash) {
  for (const [style, extra] of [["rgba(0, 0, 0, 0.7)", 2], [colour, 0]]) {
    pen.beginPath();
    path();
    pen.setLineDash(extra ? [] : dash);
    pen.lineWidth = width + extra;
    pen.strokeStyle = style;
    pen.stroke();
  }
  pen.setLineDash([]);
}

/** All marks of the current frame. `scene` is what scene.js makes. */
export function drawMarks(pen, scene, view) {
  for (const { subject, keyframe, current } of scene.keyframes) {
    if (keyframe.box && !(current && scene.draft)) {
      drawBox(pen, keyframe.box, view, subject.colour, { selected: scene.selection?.kind === "box" && current, locked: keyframe.locked });
    }
    keyframe.points.forEach(([fromX, fromY, label], index) => {
      const away = current && scene.dragged?.kind === "point" && scene.dragged.index === index;
      const [x, y] = away ? [scene.dragged.x, scene.dragged.y] : [fromX, fromY];
      const selected = current && scene.selection?.kind === "point" && scene.selection.index === index;
      drawPoint(pen, ...sourceToStage(x, y, view), label, { selected, faded: !current });
    });
  }
  for (const point of scene.pending) drawPoint(pen, ...sourceToStage(point.x, point.y, view), point.label, { faded: true });
  for (const { subject, current, shown, token } of scene.tracks) {
    if (token) drawToken(pen, token, view, subject.colour, scene);
    for (const one of shown) {
      const away = current && scene.dragged?.kind === "track" && scene.dragged.point === one.id;
      const selected = current && scene.selection?.kind === "track" && scene.selection.point === one.id;
      const placed = away ? { ...one, x: scene.dragged.x, y: scene.dragged.y, seen: true, said: true, trail: [] } : one;
      drawTrack(pen, placed, view, subject.colour, { selected, faded: !current });
    }
  }
  if (scene.lasso) drawLasso(pen, scene.lasso.xy, view, scene.lasso.mode === "add");
  if (scene.draft) drawBox(pen, scene.draft, view, scene.colour);
  if (scene.cross) drawCross(pen, scene.cross, view);
  if (scene.brush) drawBrush(pen, scene.brush.x, scene.brush.y, scene.brush.radius, view, scene.brush.adds);
}
