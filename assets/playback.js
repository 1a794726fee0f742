// Playing: a clock says the time, the frame is the last one shown by then. Frames are dropped rather than late.

const AHEAD = 6;
const FASTEST = 8;

/** Index of the last frame whose time (seconds, ascending) is not after `time`. */
export function frameAt(times, time) {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time + 1e-4) low = middle; // times are float32
    else high = middle - 1;
  }
  return low;
}

/** When the frame after the last would be shown: seconds. */
export function endTime(times) {
  const count = times.length;
  return count > 1 ? times[count - 1] + (times[count - 1] - times[count - 2]) : times[0] + 0.04;
}

export class Playback {
  constructor(editor) {
    Object.assign(this, { editor, rate: 0, audio: null, times: null, loop: true, sounding: false, waking: false });
  }

  /** `times` Float32Array of seconds; `audio` address of the sound or null. */
  open(times, audio) {
    this.close();
    this.times = times;
    if (!audio) return;
    this.audio = new Audio(audio);
    this.audio.preload = "auto";
  }

  close() {
    this.pause();
    this.audio?.removeAttribute("src");
    this.audio = null;
    this.times = null;
  }

  get playing() {
    return this.rate !== 0;
  }

  toggle() {
    if (this.playing) this.pause();
    else this.start(1);
  }

  /** J and L: first press plays, further presses in the same direction double the speed. */
  shuttle(direction) {
    const faster = Math.sign(this.rate) === direction ? Math.min(FASTEST, Math.abs(this.rate) * 2) : 1;
    this.start(direction * faster);
  }

  pause() {
    if (!this.playing) return;
    this.rate = 0;
    this.sounding = false;
    cancelAnimationFrame(this.tick);
    this.audio?.pause();
    this.editor.changed("state");
  }

  start(rate) {
    if (!this.times) return;
    const [start, stop] = this.#bounds();
    let frame = this.editor.want;
    if (frame < start || frame >= stop || (rate > 0 && frame === stop - 1)) frame = start;
    if (rate < 0 && frame === start) frame = stop - 1;
    this.rate = rate;
    this.#setTime(this.times[frame]);
    cancelAnimationFrame(this.tick);
    this.tick = requestAnimationFrame(() => this.#step());
    this.editor.changed("state");
  }

  /** While playing, go on from `frame`. */
  moved(frame) {
    if (this.playing) this.#setTime(this.times[frame]);
  }

  #bounds() {
    const [start, stop] = this.editor.view.range;
    return stop - start > 1 ? [start, stop] : [0, this.times.length];
  }

  #setTime(time) {
    Object.assign(this, { origin: time, since: performance.now(), sounding: false, waking: false });
    if (!this.audio) return;
    if (this.rate === 1) this.#sound(time);
    else this.audio.pause();
  }

  async #sound(time) {
    this.waking = true; // the picture waits for the sound
    try {
      this.audio.currentTime = time;
      await this.audio.play();
      Object.assign(this, { sounding: this.rate === 1, waking: false });
    } catch (error) {
      if (error.name === "AbortError") return; // paused again before it began
      Object.assign(this, { audio: null, waking: false, since: performance.now() });
      this.editor.notices.warn("The sound of this clip cannot be played here, so it plays without; the exported clip keeps it.");
    }
  }

  /** Seconds from the first frame. The sound leads while it sounds. */
  #time() {
    if (this.sounding && !this.audio.paused && !this.audio.ended) {
      Object.assign(this, { origin: this.audio.currentTime, since: performance.now() });
      return this.audio.currentTime;
    }
    if (this.waking) return this.origin;
    return this.origin + (this.rate * (performance.now() - this.since)) / 1000;
  }

  /** Gets pictures that can still come in time: what takes long is asked for that much earlier. */
  #lookAhead(frame) {
    const perFrame = (endTime(this.times) * 1000) / this.times.length / Math.abs(this.rate);
    const late = this.editor.mode === "source" ? 0 : Math.min(24, Math.floor(this.editor.pictures.latency / perFrame));
    for (let k = 1 + late; k <= AHEAD + late; k++) this.editor.prepare(frame + k * Math.sign(this.rate));
  }

  #step() {
    if (!this.playing) return;
    const [start, stop] = this.#bounds();
    const time = this.#time();
    const end = stop < this.times.length ? this.times[stop] : endTime(this.times);
    const over = this.rate > 0 ? time >= end : time < this.times[start];
    if (over && !this.loop) {
      this.editor.seek(this.rate > 0 ? stop - 1 : start);
      return this.pause();
    }
    if (over) this.#setTime(this.rate > 0 ? this.times[start] : end - 1e-3);
    const frame = over ? (this.rate > 0 ? start : stop - 1) : Math.max(start, Math.min(stop - 1, frameAt(this.times, time)));
    if (frame !== this.editor.want) this.editor.playTo(frame);
    this.#lookAhead(frame);
    this.tick = requestAnimationFrame(() => this.#step());
    return undefined;
  }
}
