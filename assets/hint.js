// The line under the stage: what the tool in hand does, and what would be the next act, with a button for it.

import { button, make, setText } from "./dom.js";
import { active } from "./poll.js";

/** What each tool does. {command:argument} stands for the current key. */
const TOOLS = {
  select: "Select: drag a mark to move it, {deleteSelected} deletes it; drag elsewhere to pan.",
  hand: "Hand: drag to pan, Ctrl + wheel to zoom, double click to see all.",
  point: "Point: left click inside, right click outside; Shift shows the mask first; a click on a point takes it away.",
  box: "Box: drag from corner to corner of the subject.",
  brush: "Brush: paint the subject; right button or Alt takes away; {brushSize:0.8} {brushSize:1.25} size.",
  eraser: "Eraser: paint over what is not the subject; Alt adds.",
  lasso: "Lasso: draw round the subject; right button or Alt takes away.",
  track: "Tracked point: click to add, drag to where it is; right click: hidden here.",
  paint: "Draw: paint over the picture; right button or Alt erases; {keepPaint} keeps it as a take.",
};

const MARK = {
  point: "Click on what you want to change.",
  box: "Draw a box round what you want to change.",
  brush: "Paint what you want to change.",
  lasso: "Draw round what you want to change.",
};

export function toolHint(editor) {
  const text = TOOLS[editor.tool] ?? "";
  return text.replace(/\{([^}]+)\}/g, (_, name) => {
    const [command, argument] = name.split(":");
    return editor.keymap.keyText(command, argument) || "its command";
  });
}

const RUNS = ["propagate", "take", "export", "zip"]; // while these go on there is nothing to do but wait, or look

/** The act that leads on from where the project stands: {text, label, command, argument}, or null while work goes on. */
export function nextStep(editor) {
  const { view } = editor;
  if (!view || view.read_only) return null;
  if ([view.job, ...(view.queue ?? [])].some((job) => active(job) && RUNS.includes(job.kind))) return null;
  const step = (text, label, command, argument) => ({ text, label, command, argument });
  const marked = view.subjects.some((one) => one.keyframes.length);
  const approved = view.anchors.filter((one) => one.chosen);
  const open = view.anchors.find((one) => !one.chosen);
  if (!marked && !approved.length) {
    const drawing = ["point", "box", "brush", "lasso"].includes(editor.tool);
    return drawing ? step(MARK[editor.tool]) : step(MARK.point, "Take the point tool", "tool", "point");
  }
  if (!view.anchors.length) return step("Go to a frame that shows it well.", "Make this frame an anchor", "addAnchor");
  if (open && !approved.length && open.frame !== editor.want) return step(`Frame ${open.frame} is an anchor without an approved take.`, "Go there", "goFrame", open.frame);
  if (open && !approved.length) {
    if (!open.takes.length) return step("The anchor needs an edited picture.", "Make a take", "control", "make-take");
    return step("Does the take look right?", "Approve it", "control", "approve");
  }
  if (view.segments.some((one) => one.state !== "done")) return step(`${approved.length} approved ${approved.length === 1 ? "anchor" : "anchors"}.`, "Propagate", "run");
  if (view.segments.length) return step("The whole range is rendered.", "Export the clip", "control", "export");
  return null;
}

export class Hint {
  constructor(editor) {
    this.editor = editor;
    this.tool = make("span", { class: "al-hint-tool", id: "al-hint" });
    this.text = make("span", { class: "al-hint-next" });
    this.act = button({ text: "Next", label: "Next", name: "next", onclick: () => this.#run() });
    this.element = make("div", { class: "al-hint" }, this.tool, make("span", { class: "al-next" }, this.text, this.act));
    for (const name of ["state", "view", "status", "frame", "open"]) editor.addEventListener(name, () => this.update());
    editor.keymap.addEventListener("change", () => this.update());
  }

  update() {
    const hint = toolHint(this.editor);
    setText(this.tool, hint);
    if (this.tool.title !== hint) this.tool.title = hint;
    const step = nextStep(this.editor);
    this.act.hidden = !step?.command;
    setText(this.text, step ? `Next: ${step.text}` : "");
    this.step = step;
    if (!step?.command) return;
    const { keymap } = this.editor;
    setText(this.act.firstChild, step.label);
    const title = keymap.titleFor(step.command, step.argument, step.label);
    if (this.act.title !== title) this.act.title = title;
    if (this.act.ariaLabel !== step.label) this.act.ariaLabel = step.label;
  }

  #run() {
    if (this.step?.command) this.editor.run(this.step.command, this.step.argument);
  }
}
