// A map that forgets what was used longest ago once it weighs more than its limit.

export class Lru {
  /** `weigh(value)` -> number; `drop(value)` is called on what is forgotten (to close bitmaps). */
  constructor(limit, { weigh = () => 1, drop = () => {} } = {}) {
    this.limit = limit;
    this.weight = 0;
    this.weigh = weigh;
    this.drop = drop;
    this.entries = new Map();
  }

  has(key) {
    return this.entries.has(key);
  }

  get size() {
    return this.entries.size;
  }

  /** The value, now the most recently used; undefined when it is not held. */
  get(key) {
    const value = this.entries.get(key);
    if (value !== undefined) {
      this.entries.delete(key);
      this.entries.set(key, value);
    }
    return value;
  }

  set(key, value) {
    this.delete(key);
    this.entries.set(key, value);
    this.weight += this.weigh(value);
    for (const oldest of this.entries.keys()) {
      if (this.weight <= this.limit || oldest === key) break;
      this.delete(oldest);
    }
  }

  delete(key) {
    const value = this.entries.get(key);
    if (value === undefined) return;
    this.entries.delete(key);
    this.weight -= this.weigh(value);
    this.drop(value);
  }

  clear() {
    for (const key of [...this.entries.keys()]) this.delete(key);
  }
}
