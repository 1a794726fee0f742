// The line under the stage: what the tool in hand does, and what would be the next act, with a button for it.

import { button, make, setText } from "./dom.js";
import { active } from "./poll.js";

/** What each tool does. {command:argument} stands for the current key. */
const TOOLS = {
  select: "Select: click a mark or an anchor to pick it, drag it to move it; {deleteSelected} deletes it. Drag elsewhere to pan.",
  hand: "Hand: drag to pan; Ctrl + wheel zooms; double click shows the whole picture.",
  point: "Point: left click is inside the subject, right click outside; hold Shift to see the mask first; click a point to take it away.",
  box: "Box: drag from one corner of the subject to the other.",
  brush: "Brush: paint what belongs to the subject; right button or Alt takes away; {brushSize:0.8} and {brushSize:1.25} change the size.",
  eraser: "Eraser: paint over what does not belong to the subject; Alt adds instead.",
  lasso: "Lasso: draw round what belongs to the subject; right button or Alt takes it away.",
  track: "Tracked point: click to add one; drag it to where it is; right click says it is hidden here.",
  paint: "Draw: paint over the picture; right button or Alt erases; {keepPaint} keeps it as a take of this frame.",
};

export function toolHint(editor) {
  const text = TOOLS[editor.tool] ?? "";
  return text.replace(/\{([^}]+)\}/g, (_, name) => {
    const [command, argument] = name.split(":");
    return editor.keymap.keyText(command, argument) || "its command";
  });
}

/** The act that leads on from where the project stands: {text, label, command, argument}, or null while work goes on. */
export function nextStep(editor) {
  const { view } = editor;
  if (!view || view.read_only || active(view.job)) return null;
  const step = (text, label, command, argument) => ({ text, label, command, argument });
  const marked = view.subjects.some((one) => one.keyframes.length);
  const approved = view.anchors.filter((one) => one.chosen);
  const open = view.anchors.find((one) => !one.chosen);
  if (!marked && !approved.length) return step("Click on what you want to change.", "Take the point tool", "tool", "point");
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
    this.act.hidden = !step;
    setText(this.text, step ? `Next: ${step.text}` : "");
    this.step = step;
    if (!step) return;
    const { keymap } = this.editor;
    setText(this.act.firstChild, step.label);
    const title = keymap.titleFor(step.command, step.argument, step.label);
    if (this.act.title !== title) this.act.title = title;
    this.act.setAttribute("aria-label", step.label);
  }

  #run() {
    if (this.step) this.editor.run(this.step.command, this.step.argument);
  }
}
