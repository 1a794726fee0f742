// The pointer on the stage. A tool is a function(editor, event, [x, y]) that starts a gesture: {move?, end?, cancel?}.
// Left is positive, right is negative; Alt turns it round while held; the middle button pans with every tool.

import { boxFromCorners, boxHandle, clamp, nearestPoint, onGrid } from "./geometry.js";

const DRAG = 3; // CSS px that a press may wander before it is a drag
const REACH = 9; // CSS px around a mark that still count as on it

export const BRUSHES = ["brush", "eraser"];

/** Whether a brush or point gesture adds (true) or takes away. */
export function adds(editor, event) {
  const negative = event.button === 2 || (event.buttons & 2) !== 0;
  return [editor.tool === "eraser", ["point", "lasso"].includes(editor.tool) && editor.subtract, negative, event.altKey].filter(Boolean).length % 2 === 0;
}

function startPan(editor, event) {
  let [x, y] = [event.clientX, event.clientY];
  return {
    move(next) {
      editor.stage.pan(next.clientX - x, next.clientY - y);
      [x, y] = [next.clientX, next.clientY];
    },
  };
}

function startWipe(editor) {
  return {
    move(event) {
      const [x] = editor.stage.toSource(event);
      editor.set({ wipe: clamp((x + 0.5) / editor.stage.width, 0, 1) });
      editor.redraw();
    },
  };
}

/** Drags a mark: `what` says which; dropped elsewhere `drop(x, y)`, let go where it was `click()`. */
function dragMark(editor, event, what, drop, click = () => {}) {
  const { width, height } = editor.stage;
  const [fromX, fromY] = [event.clientX, event.clientY];
  let to = null;
  return {
    move(next) {
      if (!to && Math.hypot(next.clientX - fromX, next.clientY - fromY) < DRAG) return;
      const [x, y] = editor.stage.toSource(next);
      to = [onGrid(clamp(x, -0.5, width - 0.5)), onGrid(clamp(y, -0.5, height - 0.5))];
      editor.set({ dragged: { ...what, x: to[0], y: to[1] } });
    },
    end: () => (to ? drop(...to) : click()),
    cancel: () => editor.set({ dragged: null }),
  };
}

function startPoint(editor, event, [x, y]) {
  const keyframe = editor.keyframe();
  const index = nearestPoint(keyframe?.points ?? [], x, y, REACH / editor.stage.view.scale);
  if (index >= 0) {
    const remove = () => editor.act("remove_point", { frame: editor.frame, subject: editor.view.subject, index });
    return dragMark(editor, event, { kind: "point", index }, (toX, toY) => editor.marking.movePoint(index, toX, toY), remove);
  }
  editor.marking.addPoint(onGrid(x), onGrid(y), adds(editor, event) ? 1 : -1);
  return {};
}

/** The tracked point of the current subject under the pointer, or undefined. */
function trackUnder(editor, [x, y]) {
  const subject = editor.subject();
  const shown = subject && editor.showMasks ? editor.tracks.shown(subject, editor.frame) : [];
  return shown[nearestPoint(shown.map((one) => [one.x, one.y]), x, y, REACH / editor.stage.view.scale)];
}

function dragTrack(editor, event, { id }) {
  editor.select({ kind: "track", subject: editor.view.subject, frame: editor.frame, point: id });
  return dragMark(editor, event, { kind: "track", point: id }, (x, y) => editor.marking.placeTrack(x, y, id));
}

function dragToken(editor, event, token) {
  const { tokens } = editor.tracks;
  tokens.select(token);
  return dragMark(editor, event, { kind: "token", name: token.name.join() }, (x, y) => tokens.drag(token, x, y));
}

function startTrack(editor, event, at) {
  const under = trackUnder(editor, at);
  const token = under ? undefined : editor.tracks.tokens.under(at);
  if (token) return dragToken(editor, event, token);
  const hides = event.button === 2 || event.altKey;
  if (under && hides) editor.marking.placeTrack(onGrid(under.x), onGrid(under.y), under.id, false);
  else if (under) return dragTrack(editor, event, under);
  else if (!hides) editor.marking.placeTrack(...at.map(onGrid));
  return {};
}

function startLasso(editor, event, at) {
  const stroke = { xy: [at.map(onGrid)], radius: 0, filled: true, mode: adds(editor, event) ? "add" : "erase", state: "drawing" };
  return followLine(editor, stroke, () => editor.set({ lasso: stroke }), () => editor.marking.lassoDone(stroke), () => editor.set({ lasso: null }));
}

function startBox(editor, _event, from) {
  const { width, height } = editor.stage;
  let box = null;
  return {
    move(event) {
      box = boxFromCorners(from, editor.stage.toSource(event), width, height);
      editor.set({ draft: box });
    },
    end() {
      editor.marking.setBox(box);
    },
    cancel: () => editor.set({ draft: null }),
  };
}

function startSelect(editor, event, [x, y]) {
  const keyframe = editor.keyframe();
  const reach = REACH / editor.stage.view.scale;
  const at = { subject: editor.view.subject, frame: editor.frame };
  const index = nearestPoint(keyframe?.points ?? [], x, y, reach);
  const track = index < 0 ? trackUnder(editor, [x, y]) : undefined;
  if (track) return dragTrack(editor, event, track);
  const token = index < 0 ? editor.tracks.tokens.under([x, y]) : undefined;
  if (token) return dragToken(editor, event, token);
  const handle = index < 0 && keyframe?.box ? boxHandle(keyframe.box, x, y, reach) : null;
  if (index >= 0) editor.select({ kind: "point", ...at, index });
  else if (handle) editor.select({ kind: "box", ...at });
  else editor.select(null);
  if (index >= 0) return dragMark(editor, event, { kind: "point", index }, (toX, toY) => editor.marking.movePoint(index, toX, toY));
  if (!handle) return startPan(editor, event);
  return moveBox(editor, keyframe.box, handle, [x, y]);
}

/** Drags a box by its inside ([0, 0]) or by an edge or corner. */
function moveBox(editor, box, [sideX, sideY], [fromX, fromY]) {
  const { width, height } = editor.stage;
  let moved = null;
  return {
    move(event) {
      const [x, y] = editor.stage.toSource(event);
      const whole = sideX === 0 && sideY === 0;
      const dx = Math.round(clamp(x - fromX, whole ? -box[0] : -width, whole ? width - box[2] : width));
      const dy = Math.round(clamp(y - fromY, whole ? -box[1] : -height, whole ? height - box[3] : height));
      const next = [
        box[0] + (whole || sideX < 0 ? dx : 0),
        box[1] + (whole || sideY < 0 ? dy : 0),
        box[2] + (whole || sideX > 0 ? dx : 0),
        box[3] + (whole || sideY > 0 ? dy : 0),
      ];
      moved = boxFromCorners([next[0] - 0.5, next[1] - 0.5], [next[2] - 0.5, next[3] - 0.5], width, height);
      editor.set({ draft: moved });
    },
    end: () => (moved ? editor.marking.setBox(moved) : editor.set({ draft: null })),
    cancel: () => editor.set({ draft: null }),
  };
}

function startBrush(editor, event, at) {
  const stroke = { xy: [at.map(onGrid)], radius: onGrid(editor.radius), mode: adds(editor, event) ? "add" : "erase", state: "drawing" };
  return followLine(editor, stroke, (points) => editor.marking.brushTo(stroke, points), () => editor.marking.brushDone(stroke), () => editor.marking.brushCancel(stroke));
}

function startPaint(editor, event, at) {
  const { radius, colour, opacity } = editor;
  const stroke = { xy: [at], radius, colour, opacity, erase: event.button === 2 || event.altKey };
  editor.paint.begin(stroke);
  return followLine(editor, stroke, () => editor.paint.redraw(), () => editor.changed("state"), () => editor.paint.undo());
}

/** Collects the pointer's positions into stroke.xy; `extend` gets the newest part each time. */
function followLine(editor, stroke, extend, end, cancel) {
  extend(stroke.xy);
  return {
    move(event) {
      const seen = event.getCoalescedEvents?.() ?? [];
      const from = stroke.xy.length - 1;
      for (const one of seen.length ? seen : [event]) {
        const next = editor.stage.toSource(one).map(onGrid);
        const last = stroke.xy.at(-1);
        if (next[0] !== last[0] || next[1] !== last[1]) stroke.xy.push(next);
      }
      if (stroke.xy.length - 1 > from) extend(stroke.xy.slice(from));
    },
    end,
    cancel,
  };
}

const TOOLS = {
  select: startSelect,
  hand: startPan,
  point: startPoint,
  box: startBox,
  brush: startBrush,
  eraser: startBrush,
  lasso: startLasso,
  track: startTrack,
  paint: startPaint,
};

export class Pointer {
  constructor(editor) {
    this.editor = editor;
    this.gesture = null;
    const on = (name, handle, options) => editor.stage.element.addEventListener(name, handle, options);
    on("pointerdown", (event) => this.#pressed(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", () => this.cancel());
    on("pointerleave", () => editor.set({ cursor: null }));
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("dblclick", () => ["hand", "select"].includes(editor.tool) && editor.stage.fitPicture());
  }

  #pressed(event) {
    const { editor } = this;
    if (!editor.view || this.gesture) return;
    if (event.target.closest("button")) return;
    event.preventDefault(); // no focus change, no auto-scroll on the middle button
    editor.root.focus({ preventScroll: true });
    editor.stage.element.setPointerCapture(event.pointerId);
    editor.hand.put(null);
    this.down(event);
  }

  /** Starts the tool's gesture; of `event` only the position, the button and Alt count. */
  down(event) {
    const { editor } = this;
    if (!editor.view || this.gesture) return;
    const tool = this.#toolFor(event);
    if (tool !== startPan && tool !== startWipe) editor.playback.pause();
    this.gesture = tool(editor, event, editor.stage.toSource(event));
  }

  #toolFor(event) {
    const { editor } = this;
    if (event.button === 1) return startPan;
    if (editor.mode === "wipe" && event.button === 0 && this.#onDivider(event)) return startWipe;
    return TOOLS[editor.tool];
  }

  /** The grip always takes hold; the whole line where the tool does not draw. */
  #onDivider(event) {
    const { stage, wipe, tool } = this.editor;
    const box = stage.element.getBoundingClientRect();
    const away = Math.abs(event.clientX - box.left - stage.view.left - wipe * stage.width * stage.view.scale);
    const middle = stage.view.top + (stage.height * stage.view.scale) / 2;
    const onGrip = away <= 14 && Math.abs(event.clientY - box.top - middle) <= 60;
    return onGrip || (away <= REACH && ["select", "hand"].includes(tool));
  }

  move(event) {
    const [x, y] = this.editor.stage.toSource(event);
    this.gesture?.move?.(event);
    this.editor.set({ cursor: { x, y, adds: adds(this.editor, event) } });
  }

  up(event) {
    const gesture = this.gesture;
    this.gesture = null;
    gesture?.end?.(event);
  }

  /** Lets go of what is being drawn; false when nothing is. */
  cancel() {
    const gesture = this.gesture;
    this.gesture = null;
    gesture?.cancel?.();
    return gesture !== null;
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.altKey) return; // a plain wheel scrolls the page
    event.preventDefault();
    this.editor.stage.zoom(Math.exp(-event.deltaY * 0.002), event.clientX, event.clientY);
  }
}
