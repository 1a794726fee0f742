// Tracked points: where each is on every frame, loaded once per version, and what of it is drawn on a frame.

import { TokenStore } from "./tokens.js";

const TRAIL = 16; // frames behind that are drawn, and half as many ahead

export class TrackStore {
  /** `url(path)` -> address. The editor draws its marks again when values have arrived. */
  constructor(url, editor) {
    Object.assign(this, { url, editor, held: new Map(), loads: new Set(), tokens: new TokenStore(url, editor) });
  }

  /** Takes a view: loads what it has anew. */
  take(view) {
    this.tokens.take(view);
    for (const { id, tracks } of view.subjects) {
      if (!tracks) this.held.delete(id);
      else if (this.held.get(id)?.key !== tracks.key) this.#load(id, tracks);
    }
  }

  #load(subject, { key, range, points }) {
    const before = this.held.get(subject);
    // Until the new values are there, the old ones are shown for the points that both have.
    this.held.set(subject, { key, ids: before?.ids ?? [], range: before?.range ?? range, values: before?.values ?? new Float32Array() });
    const done = fetch(this.url(`tracks/${subject}?v=${key}`))
      .then(async (response) => {
        if (!response.ok) throw new Error(`the server answered ${response.status}`);
        const values = new Float32Array(await response.arrayBuffer());
        if (this.held.get(subject)?.key !== key) return;
        this.held.set(subject, { key, ids: points.map((point) => point.id), range, values });
        this.editor.drawMarks();
      })
      .catch((error) => this.editor.notices.warn(`Tracked points cannot be shown (${error.message}).`))
      .finally(() => this.loads.delete(done));
    this.loads.add(done);
  }

  /** [x, y, confidence] of a point on a frame (confidence 0 = hidden there), or null where it is not known. */
  at(subject, point, frame) {
    const said = subject.tracks?.points.find((one) => one.id === point)?.spots.find((spot) => spot[0] === frame);
    if (said) return [said[1], said[2], said[3] ? 1 : 0];
    const held = this.held.get(subject.id);
    const row = held ? held.ids.indexOf(point) : -1;
    if (row < 0 || frame < held.range[0] || frame >= held.range[1]) return null;
    const at = (row * (held.range[1] - held.range[0]) + frame - held.range[0]) * 3;
    return Number.isNaN(held.values[at]) || at + 2 >= held.values.length ? null : [...held.values.subarray(at, at + 3)];
  }

  /** What is drawn of a subject's points on a frame: [{id, x, y, seen, said, trail: [[x, y, seen], …]}]. */
  shown(subject, frame) {
    const shown = [];
    for (const { id, spots } of subject.tracks?.points ?? []) {
      const here = this.at(subject, id, frame);
      if (!here) continue;
      const trail = [];
      for (let near = frame - TRAIL; near <= frame + TRAIL / 2; near++) {
        const place = this.at(subject, id, near);
        if (place) trail.push([place[0], place[1], place[2] > 0]);
      }
      shown.push({ id, x: here[0], y: here[1], seen: here[2] > 0, said: spots.some((spot) => spot[0] === frame), trail });
    }
    return shown;
  }

  /** What is drawn on a frame, subject by subject. */
  scene(view, frame) {
    const subjects = view.subjects.filter((subject) => subject.tracks);
    const points = subjects.map((subject) => ({ subject, current: subject.id === view.subject, shown: this.shown(subject, frame) }));
    const tokens = this.tokens.shown(frame);
    const of = (token) => view.subjects.find((subject) => subject.id === token.owner) ?? { id: 0, colour: "#ffffff" };
    return [...points, ...tokens.map((token) => ({ subject: of(token), current: false, shown: [], token }))];
  }

  /** Resolves when nothing is being loaded. */
  async idle() {
    while (this.loads.size || this.tokens.loading) await Promise.all([...this.loads, this.tokens.loading]);
  }
}
