// The instant preview on the canvas: asked for when its frame is drawn, drawn over the source when it has come. Latest wins.

import { Latest } from "./preview.js";

/** What is said about the picture, by the kind of the edited one. */
export const REMARKS = {
  none: "Not rendered yet: this is the source",
  preview: "Preview: Propagate makes the real one",
  below: "This edit is not rendered here yet: this is the result of those below",
};

const AGAIN_MS = 700; // after which a preview that was not there is asked for again

/** `ask(frame)` after each frame that is drawn. */
export function instantPreview(editor) {
  const latest = new Latest({
    load: (frame, signal) => editor.pictures.bring(editor.view, frame, editor.mode, signal),
    done: (frame, state) => {
      if (frame !== editor.want || state === "nothing") return;
      if (state === "come") editor.redraw();
      else latest.timer = setTimeout(() => frame === editor.want && editor.view && latest.ask(frame), AGAIN_MS);
    },
    failed: (error) => console.warn(`preview: ${error.message}`), // the source is shown; Propagate says what is wrong
    rest: 0,
  });
  return latest;
}
