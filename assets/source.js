// Frames of the clip: a pack of JPEGs read by HTTP range, kept compressed, decoded when shown.
//
// A seek never waits for more than its own frame: from memory, else one small range, else (frame not packed yet)
// one picture from the decoder. Whole chunks follow in the background, nearest to the play head first.

import { Lru } from "./lru.js";

const RECORD_BYTES = 24;
const CHUNK_FRAMES = 24;
const MEMORY_BYTES = 200e6;
const FILL = 0.85; // of the memory is filled ahead of need; the rest is for chunks larger than the average
const BITMAPS = 48;
const QUIET_MS = 300; // no chunk is begun for so long after a jump: the next jump must not wait behind it

/** Rows of the pack's index: [[frame, offset, length], …] from an ArrayBuffer of little-endian uint64 triples. */
export function parseIndex(buffer) {
  const view = new DataView(buffer);
  const rows = [];
  for (let at = 0; at + RECORD_BYTES <= buffer.byteLength; at += RECORD_BYTES) {
    rows.push([0, 8, 16].map((shift) => Number(view.getBigUint64(at + shift, true))));
  }
  return rows;
}

/** Splits [[frame, offset, length], …] into runs that lie one after the other in the file. */
export function contiguousRuns(rows) {
  const runs = [];
  for (const row of [...rows].sort((a, b) => a[1] - b[1])) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (last && last[1] + last[2] === row[1]) run.push(row);
    else runs.push([row]);
  }
  return runs;
}

/** How far chunk `chunk` is from being wanted when the play head is in chunk `centre`: ahead counts less than behind. */
export const chunkCost = (chunk, centre) => (chunk >= centre ? chunk - centre : (centre - chunk) * 1.5);

const decodeImage = (bytes) => createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));

export class FrameSource {
  /** `url(path)` -> address of a file of the project; `frames` = length of the clip. */
  constructor({ url, frames, fetcher = (...args) => fetch(...args), decode = decodeImage, memory = MEMORY_BYTES }) {
    Object.assign(this, { url, frames, fetcher, decode, memory });
    this.rows = new Array(frames);
    this.known = 0;
    this.indexBytes = 0;
    this.complete = false;
    this.centre = 0;
    this.misses = 0;
    this.lastMiss = 0;
    this.quietUntil = 0;
    this.loading = null;
    this.bitmaps = new Lru(BITMAPS, { drop: (bitmap) => bitmap.close() });
    this.chunks = new Lru(memory, { weigh: (chunk) => chunk.bytes });
    this.singles = new Lru(memory / 10, { weigh: (bytes) => bytes.byteLength });
    this.decoding = new Map();
    this.closed = false;
  }

  close() {
    this.closed = true;
    this.bitmaps.clear();
    this.chunks.clear();
    this.singles.clear();
  }

  /** The decoded frame if it is at hand, else undefined. */
  peek(frame) {
    return this.bitmaps.get(frame);
  }

  /** Whether `get` needs no network. */
  inMemory(frame) {
    return this.bitmaps.has(frame) || this.decoding.has(frame) || this.#held(frame) !== undefined;
  }

  isPacked(frame) {
    return this.rows[frame] !== undefined;
  }

  /** The decoded frame. It belongs to the source: draw it now, do not keep it. */
  async get(frame) {
    const ready = this.bitmaps.get(frame);
    if (ready) return ready;
    if (!this.decoding.has(frame)) {
      this.decoding.set(frame, this.#decode(frame).finally(() => this.decoding.delete(frame)));
    }
    return this.decoding.get(frame);
  }

  /** Decodes what is in memory ahead of need; says nothing and fetches nothing. */
  prepare(frame) {
    if (frame < 0 || frame >= this.frames || this.bitmaps.has(frame) || this.decoding.has(frame)) return;
    if (this.#held(frame) !== undefined) this.get(frame).catch(() => {}); // shown, and then reported, by whoever needs it
  }

  async #decode(frame) {
    const bitmap = await this.decode(await this.bytes(frame));
    if (this.closed) bitmap.close();
    else this.bitmaps.set(frame, bitmap);
    return bitmap;
  }

  #held(frame) {
    return this.chunks.get(Math.floor(frame / CHUNK_FRAMES))?.parts.get(frame) ?? this.singles.get(frame);
  }

  /** The compressed picture (Uint8Array). */
  async bytes(frame) {
    const held = this.#held(frame);
    if (held) return held;
    this.#makeWay(frame);
    this.misses += 1;
    try {
      const row = this.rows[frame];
      const bytes = row ? await this.#range(row[1], row[2]) : await this.#whole(`frame/${frame}.jpg`);
      this.singles.set(frame, bytes);
      return bytes;
    } finally {
      this.misses -= 1;
    }
  }

  /** A jump to what is not in memory goes before the chunk that is being read; going on frame by frame wants the chunk. */
  #makeWay(frame) {
    if (Math.abs(frame - this.lastMiss) > CHUNK_FRAMES) {
      this.quietUntil = performance.now() + QUIET_MS;
      this.loading?.abort();
    }
    this.lastMiss = frame;
  }

  async #whole(path) {
    const response = await this.fetcher(this.url(path));
    if (!response.ok) throw new Error(`${path} answered ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  }

  async #range(offset, length, signal) {
    const headers = { Range: `bytes=${offset}-${offset + length - 1}` };
    // not through the browser's cache: it lets one request at a time at a growing file, and we keep the bytes ourselves
    const response = await this.fetcher(this.url("pack/data"), { headers, cache: "no-store", signal });
    if (!response.ok) throw new Error(`pack/data answered ${response.status}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const wanted = response.status === 206 ? bytes : bytes.subarray(offset, offset + length);
    if (wanted.byteLength !== length) throw new Error(`pack/data gave ${wanted.byteLength} of ${length} bytes`);
    return wanted;
  }

  /** Reads index rows written since last time. Returns how many there were. */
  async refreshIndex() {
    const headers = this.indexBytes ? { Range: `bytes=${this.indexBytes}-` } : {};
    const response = await this.fetcher(this.url("pack/index"), { headers, cache: "no-store" });
    if (response.status === 416 || response.status === 404) return 0;
    if (!response.ok) throw new Error(`pack/index answered ${response.status}`);
    const whole = await response.arrayBuffer();
    const fresh = parseIndex(response.status === 206 ? whole : whole.slice(this.indexBytes));
    for (const row of fresh) {
      if (row[0] >= this.frames) continue;
      if (!this.rows[row[0]]) this.known += 1;
      this.rows[row[0]] = row;
    }
    this.indexBytes += fresh.length * RECORD_BYTES;
    this.complete = response.headers.get("X-Complete") === "1" || this.known >= this.frames;
    return fresh.length;
  }

  /** Loads chunks in the background until all that fit are in memory. Safe to call often. */
  async fill() {
    if (this.filling || this.closed) return;
    this.filling = true;
    try {
      for (let chunk = this.#nextChunk(); chunk !== undefined && !this.closed; chunk = this.#nextChunk()) {
        while (this.misses > 0 || performance.now() < this.quietUntil) await new Promise((resolve) => setTimeout(resolve, 5)); // a seek goes first
        await this.#loadUnlessCalledOff(chunk);
      }
    } finally {
      this.filling = false;
    }
  }

  async #loadUnlessCalledOff(chunk) {
    this.loading = new AbortController();
    try {
      await this.#loadChunk(chunk, this.loading.signal);
    } catch (error) {
      if (error.name !== "AbortError") throw error; // a jump called it off; it is begun again later
    } finally {
      this.loading = null;
    }
  }

  /** The chunk to load next, or undefined. What is far away makes room for what is near, never the other way round. */
  #nextChunk() {
    const cost = (chunk) => chunkCost(chunk, Math.floor(this.centre / CHUNK_FRAMES));
    const dearest = (one, other) => (cost(other) > cost(one) ? other : one);
    let next;
    for (let chunk = 0; chunk * CHUNK_FRAMES < this.frames; chunk++) {
      if (this.chunks.has(chunk) || (next !== undefined && cost(chunk) >= cost(next))) continue;
      if (this.#chunkRows(chunk).length > 0) next = chunk;
    }
    const held = [...this.chunks.entries.keys()];
    if (next === undefined || held.length === 0) return next;
    if (this.chunks.weight * (1 + 1 / held.length) <= this.memory * FILL) return next;
    const farthest = held.reduce(dearest);
    if (cost(farthest) <= cost(next)) return undefined;
    this.chunks.delete(farthest);
    return next;
  }

  /** Index rows of a chunk; none while it is not wholly packed. */
  #chunkRows(chunk) {
    const start = chunk * CHUNK_FRAMES;
    const stop = Math.min(this.frames, start + CHUNK_FRAMES);
    const rows = this.rows.slice(start, stop).filter((row) => row !== undefined);
    return rows.length === stop - start || this.complete ? rows : [];
  }

  async #loadChunk(chunk, signal) {
    const parts = new Map();
    let bytes = 0;
    for (const run of contiguousRuns(this.#chunkRows(chunk))) {
      const start = run[0][1];
      const last = run.at(-1);
      const block = await this.#range(start, last[1] + last[2] - start, signal);
      for (const [frame, offset, length] of run) parts.set(frame, block.subarray(offset - start, offset - start + length));
      bytes += block.byteLength;
    }
    if (this.closed) return;
    for (const frame of parts.keys()) this.singles.delete(frame);
    this.chunks.set(chunk, { parts, bytes });
  }
}
