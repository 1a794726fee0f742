// What the canvas shows, in words for those who do not see it: a live region that speaks when a frame has come to rest.

import { make, setText } from "./dom.js";
import { timecode } from "./readout.js";

const REST_MS = 350;

/** One sentence about the shown frame: number, time, anchor, marks, what is wrong (`problems` as in review.js, the worst first). */
export function frameText(view, frame, subject, problems = []) {
  if (!view || frame < 0) return "";
  const said = [`Frame ${frame} of ${view.clip.frames - 1}, ${timecode(frame, view.clip.rate)}`];
  const anchor = view.anchors.find((one) => one.frame === frame);
  if (anchor) said.push(anchor.chosen ? "approved anchor" : anchor.takes.length ? "anchor, no take approved" : "anchor without a take");
  const keyframe = subject?.keyframes.find((one) => one.frame === frame);
  const carried = subject?.carried?.ranges.some(([a, b]) => frame >= a && frame < b);
  if (subject) said.push(keyframe ? `${subject.name} is marked here` : carried ? `${subject.name} is carried here` : `no mask of ${subject.name} here`);
  const segment = view.segments.find((one) => frame >= one.start && frame < one.stop);
  if (segment) said.push(segment.state === "done" ? "rendered" : "not rendered");
  const problem = problems.find((one) => one.kind !== "next_anchor" && frame >= one.start && frame < one.stop);
  if (problem) said.push(`problem: ${problem.sentence}`);
  return `${said.join("; ").replace(/\.$/, "")}.`;
}

export class Announcer {
  constructor(editor) {
    this.editor = editor;
    this.region = make("div", { class: "al-unseen", role: "status", "aria-live": "polite", "data-name": "announcer" });
    editor.root.append(this.region);
    for (const name of ["frame", "view", "status", "review"]) editor.addEventListener(name, () => this.#later());
  }

  /** Says a sentence now. */
  say(text) {
    setText(this.region, text);
  }

  #later() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      const { editor } = this;
      if (editor.view && !editor.playback.playing && !editor.hand.on) this.say(frameText(editor.view, editor.frame, editor.subject(), editor.review?.problems));
    }, REST_MS);
  }
}
