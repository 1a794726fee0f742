// Shows frames: the last asked wins, no older picture is drawn over a newer one.
//
// What is in memory is decoded for every request and drawn in the order asked, so a drag shows each frame it passes.
// What needs the network takes a slot. While all slots of a kind are taken only the newest request waits, so neither a
// slow network nor a slow decoder lets requests pile up.

const SLOTS = { memory: 8, network: 2 };

export class Seeker {
  /** `inMemory(frame)`, `peek(frame)` and `load(frame)` give pictures; `draw(frame, pictures)`; `failed(frame, error)`. */
  constructor({ inMemory, peek, load, draw, failed }) {
    Object.assign(this, { inMemory, peek, load, draw, failed });
    Object.assign(this, { want: -1, asked: 0, drawn: 0, waiting: null, idlers: [], previous: Promise.resolve() });
    this.busy = { memory: 0, network: 0 };
  }

  /** Asks for `frame`; drawn at once when its pictures are decoded and nothing older is about to be. */
  show(frame) {
    this.want = frame;
    const order = ++this.asked;
    const pictures = this.busy.memory === 0 ? this.peek(frame) : undefined;
    if (pictures) this.#finish(frame, order, pictures);
    else this.#start(frame, order);
  }

  #start(frame, order) {
    const kind = this.inMemory(frame) ? "memory" : "network";
    if (this.busy[kind] >= SLOTS[kind]) {
      this.waiting = [frame, order];
      return;
    }
    this.busy[kind] += 1;
    const done = kind === "memory" ? this.#inTurn(frame, order) : this.#whenLoaded(frame, order);
    done.then(() => {
      this.busy[kind] -= 1;
      this.#next();
    });
  }

  #next() {
    if (!this.waiting) return;
    const [frame, order] = this.waiting;
    this.waiting = null;
    if (order === this.asked) this.#start(frame, order);
  }

  /** Decodes now, draws after what was asked before. */
  #inTurn(frame, order) {
    const loading = this.load(frame);
    const done = this.previous.then(() => this.#settle(frame, order, loading));
    this.previous = done;
    return done;
  }

  #whenLoaded(frame, order) {
    return this.#settle(frame, order, this.load(frame));
  }

  async #settle(frame, order, loading) {
    try {
      this.#finish(frame, order, await loading);
    } catch (error) {
      if (order === this.asked) this.failed(frame, error);
      this.#finish(frame, order, null);
    }
  }

  #finish(frame, order, pictures) {
    if (order <= this.drawn) return;
    this.drawn = order;
    if (pictures) this.draw(frame, pictures);
    if (this.drawn === this.asked) this.idlers.splice(0).forEach((resolve) => resolve());
  }

  get settled() {
    return this.drawn === this.asked;
  }

  /** Resolves when the frame asked last has been drawn (or has failed). */
  idle() {
    return this.settled ? Promise.resolve() : new Promise((resolve) => this.idlers.push(resolve));
  }
}
