// Anchor tokens: the few trajectories by which a method carries motion. Drawn as diamonds with their trails; dragged and deleted.

import { sourceToStage } from "./geometry.js";

const TRAIL = 8; // frames behind and ahead that are drawn
const VALUES = 5; // x, y, seen, x and y as found
const REACH = 9; // CSS px around a token that still count as on it

export class TokenStore {
  /** `url(path)` -> address. The editor draws its marks again when values have arrived. */
  constructor(url, editor) {
    Object.assign(this, { url, editor, held: null, loading: null });
  }

  /** Takes a view: loads what it has anew. */
  take({ tokens }) {
    if (!tokens) this.held = null;
    else if (this.held?.key !== tokens.key) this.#load(tokens);
  }

  #load(tokens) {
    this.held = { ...tokens, values: new Float32Array() };
    const done = fetch(this.url(`tokens?v=${tokens.key}`))
      .then(async (response) => {
        if (!response.ok) throw new Error(`the server answered ${response.status}`);
        const values = new Float32Array(await response.arrayBuffer());
        if (this.held?.key !== tokens.key) return;
        this.held = { ...tokens, values };
        this.editor.drawMarks();
      })
      .catch((error) => this.editor.notices.warn(`Anchor tokens cannot be shown (${error.message}).`))
      .finally(() => this.loading === done && (this.loading = null));
    this.loading = done;
  }

  /** [x, y, seen, x and y as found] of a token on a frame, or null where it is not there. */
  at(index, frame) {
    const { range, values } = this.held ?? {};
    if (!range || frame < range[0] || frame >= range[1]) return null;
    const at = (index * (range[1] - range[0]) + frame - range[0]) * VALUES;
    return at + VALUES > values.length || Number.isNaN(values[at]) ? null : [...values.subarray(at, at + VALUES)];
  }

  /** What is drawn on a frame: [{name: [frame, x, y], owner, x, y, seen, from: [x, y], trail: [[x, y, seen], …]}]. */
  shown(frame) {
    const shown = [];
    for (const [index, name] of (this.held?.names ?? []).entries()) {
      const here = this.at(index, frame);
      if (!here) continue;
      const trail = [];
      for (let near = frame - TRAIL; near <= frame + TRAIL; near++) {
        const place = this.at(index, near);
        if (place) trail.push([place[0], place[1], place[2] > 0]);
      }
      const [x, y, seen, fromX, fromY] = here;
      shown.push({ name, owner: this.held.owners[index], x, y, seen: seen > 0, from: [fromX, fromY], trail });
    }
    return shown;
  }

  /** The token under source position (x, y) on the frame shown, or undefined. */
  under([x, y]) {
    const reach = REACH / this.editor.stage.view.scale;
    const near = this.editor.showMasks ? this.shown(this.editor.frame) : [];
    const away = (one) => Math.hypot(one.x - x, one.y - y);
    return near.filter((one) => one.seen && away(one) <= reach).sort((a, b) => away(a) - away(b))[0];
  }

  select({ name }) {
    this.editor.select({ kind: "token", frame: name[0], x: name[1], y: name[2] });
  }

  /** A token was dragged to (x, y) on the frame shown; the rest of the clip follows. */
  async drag({ name, from }, x, y) {
    const { editor } = this;
    const [frame, atX, atY] = name;
    await editor.act("drag_token", { frame, x: atX, y: atY, at: editor.frame, dx: x - from[0], dy: y - from[1] });
    editor.set({ dragged: null });
  }
}

const same = (name, at) => at && name[0] === at.frame && name[1] === at.x && name[2] === at.y;

/** Draws a token of `shown()`: filled = seen, hollow = hidden. `scene` is what Editor.scene() returns. */
export function drawToken(pen, one, view, colour, { selection, dragged }) {
  const selected = selection?.kind === "token" && same(one.name, selection);
  const away = dragged?.kind === "token" && dragged.name === one.name.join();
  const [x, y] = sourceToStage(away ? dragged.x : one.x, away ? dragged.y : one.y, view);
  pen.save();
  pen.lineWidth = 1.25;
  pen.strokeStyle = colour;
  for (let k = away ? one.trail.length : 1; k < one.trail.length; k++) {
    const [from, to] = [one.trail[k - 1], one.trail[k]];
    if (!from[2] || !to[2]) continue;
    pen.beginPath();
    pen.moveTo(...sourceToStage(from[0], from[1], view));
    pen.lineTo(...sourceToStage(to[0], to[1], view));
    pen.stroke();
  }
  pen.beginPath();
  for (const [dx, dy] of [[0, -6], [6, 0], [0, 6], [-6, 0]]) pen.lineTo(x + dx, y + dy);
  pen.closePath();
  pen.fillStyle = colour;
  if (one.seen) pen.fill();
  pen.lineWidth = selected ? 3 : 1.5;
  pen.strokeStyle = selected ? "#ffd60a" : "#ffffff";
  pen.stroke();
  pen.restore();
}
