// Shows frames: the last asked wins, no older picture is drawn over a newer one.
//
// What is in memory is decoded and drawn for every request. What needs the network takes one of two slots; while
// both are taken only the newest request waits.

const SLOTS = 2;

export class Seeker {
  /** `inMemory(frame)`, `peek(frame)` and `load(frame)` give pictures; `draw(frame, pictures)`; `failed(frame, error)`. */
  constructor({ inMemory, peek, load, draw, failed }) {
    Object.assign(this, { inMemory, peek, load, draw, failed });
    Object.assign(this, { want: -1, asked: 0, drawn: 0, busy: 0, waiting: null, idlers: [] });
  }

  /** Asks for `frame`; drawn at once when its pictures are decoded. */
  show(frame) {
    this.want = frame;
    const order = ++this.asked;
    const pictures = this.peek(frame);
    if (pictures) this.#finish(frame, order, pictures);
    else if (this.inMemory(frame)) this.#fetch(frame, order, false);
    else if (this.busy < SLOTS) this.#fetch(frame, order, true);
    else this.waiting = [frame, order];
  }

  async #fetch(frame, order, slot) {
    if (slot) this.busy += 1;
    try {
      this.#finish(frame, order, await this.load(frame));
    } catch (error) {
      if (order === this.asked) this.failed(frame, error);
      this.#finish(frame, order, null);
    } finally {
      if (slot) this.busy -= 1;
    }
    if (this.waiting && this.busy < SLOTS) {
      const [next, nextOrder] = this.waiting;
      this.waiting = null;
      if (nextOrder === this.asked) this.#fetch(next, nextOrder, true);
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
