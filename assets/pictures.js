// What is shown for a frame: the source, the edit, or both; and the edit's own pictures (takes, finished frames).

import { Lru } from "./lru.js";

const HELD = 32;
const AHEAD = 4; // pictures under way before they are needed; more would only wait for each other

/** The take shown on an anchor: the one picked for a look, else the approved one, else the newest; undefined without takes. */
export function shownTake(anchor) {
  const wanted = anchor?.shown ?? anchor?.chosen;
  return anchor?.takes.find((take) => take.key === wanted) ?? anchor?.takes.at(-1);
}

/** Whether half-open `ranges` [[start, stop], …] hold `frame`. */
export const holds = (ranges, frame) => ranges.some(([start, stop]) => frame >= start && frame < stop);

/**
 * Where the edited picture of a frame is: {kind: "take"|"rendered"|"preview"|"below", path}, or null while there is none.
 * A preview is small, rough at first, and may not be there: it is shown when it has come, never waited for.
 */
export function editedAt(view, frame) {
  if (view.edits?.find((one) => one.id === view.edit)?.on === false) return belowAt(view, frame); // left out of the result
  const take = shownTake(view.anchors.find((anchor) => anchor.frame === frame));
  if (take) return { kind: "take", path: `object/${take.key}.png` };
  const segment = view.segments.find((one) => frame >= one.start && frame < one.stop);
  if (!segment) return belowAt(view, frame);
  const version = encodeURIComponent(segment.key);
  if (holds(segment.frames, frame)) return { kind: "rendered", path: `edited/${frame}.jpg?v=${version}` };
  if (!segment.instant) return belowAt(view, frame);
  const rough = `instant/${frame}.jpg?v=${version}&proper=0`;
  const proper = holds(segment.instant.proper, frame);
  return { kind: "preview", path: proper ? rough.replace(/0$/, "1") : rough, rough };
}

/** Where the result of the edits below the one that is worked on is, or null. */
export function belowAt(view, frame) {
  if (!view.below || !holds(view.below.ranges, frame)) return null;
  return { kind: "below", path: `edited/${frame}.jpg?below&v=${view.below.key}` };
}

export class Pictures {
  constructor(source, url) {
    this.source = source;
    this.url = url;
    this.edited = new Lru(HELD, { drop: (bitmap) => bitmap.close() });
    this.loading = new Map();
    this.latency = 0; // ms that an edited picture takes to come, lately
  }

  close() {
    this.source.close();
    this.edited.clear();
  }

  /** What `mode` needs for `frame`: {source: boolean, edited: place | null}. */
  needs(view, frame, mode) {
    const place = mode === "source" ? null : editedAt(view, frame);
    const edited = place?.kind === "preview" ? (this.#come(place) ?? belowAt(view, frame)) : place;
    return { source: mode !== "edited" || edited === null, edited };
  }

  /** The best preview that has come, or null. */
  #come(place) {
    const path = [place.path, place.rough].find((one) => this.edited.has(one));
    return path ? { ...place, path } : null;
  }

  /** Loads the preview that would be shown for `frame` if it were there: "come", "waits" (not there yet), "nothing" to load. */
  async bring(view, frame, mode, signal) {
    const place = mode === "source" ? null : editedAt(view, frame);
    if (place?.kind !== "preview" || this.edited.has(place.path)) return "nothing";
    const response = await fetch(this.url(place.path), { signal });
    if (response.status !== 200) return "waits";
    this.edited.set(place.path, await createImageBitmap(await response.blob()));
    return "come";
  }

  /** The pictures if all of them are decoded, else undefined. */
  peek(view, frame, mode) {
    const needs = this.needs(view, frame, mode);
    const source = needs.source ? this.source.peek(frame) : null;
    const edited = needs.edited ? this.edited.get(needs.edited.path) : null;
    return source === undefined || edited === undefined ? undefined : { source, edited, kind: needs.edited?.kind ?? "none" };
  }

  /** Whether the pictures can be shown without the network. */
  inMemory(view, frame, mode) {
    const needs = this.needs(view, frame, mode);
    return (!needs.source || this.source.inMemory(frame)) && (!needs.edited || this.edited.has(needs.edited.path));
  }

  /** Loads what is missing: {source, edited, kind}, bitmaps or null. Draw them at once, do not keep them. */
  async get(view, frame, mode) {
    const needs = this.needs(view, frame, mode);
    const [source, edited] = await Promise.all([
      needs.source ? this.source.get(frame) : null,
      needs.edited ? this.#load(needs.edited.path) : null,
    ]);
    return { source, edited, kind: needs.edited?.kind ?? "none" };
  }

  /** Loads ahead of need. What fails here is reported when the frame is shown. */
  prepare(view, frame, mode) {
    if (frame < 0 || frame >= view.clip.frames) return;
    const needs = this.needs(view, frame, mode);
    if (needs.source) this.source.prepare(frame);
    const place = mode === "source" ? null : editedAt(view, frame);
    if (place && this.loading.size < AHEAD) this.#load(place.path).catch(() => {});
  }

  async #load(path) {
    const held = this.edited.get(path);
    if (held) return held;
    if (!this.loading.has(path)) {
      this.loading.set(path, this.#fetch(path).finally(() => this.loading.delete(path)));
    }
    return this.loading.get(path);
  }

  async #fetch(path) {
    const asked = performance.now();
    const response = await fetch(this.url(path));
    if (!response.ok) throw new Error(`${path} answered ${response.status}`);
    const bitmap = await createImageBitmap(await response.blob());
    this.edited.set(path, bitmap);
    this.latency += (performance.now() - asked - this.latency) / 4;
    return bitmap;
  }
}
