// What is drawn over the picture: the state of the editor as plain data for assets/marks.js.

import { BRUSHES } from "./tools.js";

/** The marks of the shown frame, what is being drawn, and the pointer's circle. */
export function sceneOf(editor) {
  const { view, frame, tool, cursor } = editor;
  const keyframes = [];
  for (const subject of editor.showMasks ? view.subjects : []) {
    const keyframe = subject.keyframes.find((one) => one.frame === frame);
    if (keyframe) keyframes.push({ subject, keyframe, current: subject.id === view.subject });
  }
  const round = cursor && (BRUSHES.includes(tool) || tool === "paint");
  return {
    keyframes,
    ...{ lasso: editor.lasso, dragged: editor.dragged, tracks: editor.showMasks ? editor.tracks.scene(view, frame) : [] },
    pending: editor.pending.filter((point) => point.frame === frame),
    selection: editor.selection,
    draft: editor.draft,
    colour: editor.subject()?.colour ?? "#ffffff",
    brush: round ? { ...cursor, radius: editor.radius } : null,
    cross: editor.hand?.at ?? null,
    wipe: editor.compare.draws === "wipe" ? editor.wipe : null,
  };
}
