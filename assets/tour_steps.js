// The steps of the tour: what to say, which control to show, and how the page tells that the user has done it.
// `where(editor)` names a control of the page or gives an element; `enter(editor, memory)` runs when the step begins;
// `done(editor, memory)` is asked often. Nothing is done for the user but going to the frame that a step is about.

import { active } from "./poll.js";

const named = (name) => document.querySelector(`[data-name="${name}"]`);
const allDone = (editor) => editor.view.segments.length > 0 && editor.view.segments.every((one) => one.state === "done");
const jobDone = (editor, kind) => editor.view.job?.kind === kind && editor.view.job.state === "done";

export const STEPS = [
  {
    text: ({ key }) => `This sample clip is ready to be edited: a balloon, marked on its first and last frame. Play it${key("playPause")}.`,
    where: () => named("play"),
    done: (editor) => editor.playback.playing,
  },
  {
    text: ({ key }) => `Each of the two diamonds on the timeline is an anchor: a frame with an edited picture. Show the edit${key("mode", "edited")}.`,
    where: () => named("mode-edited"),
    done: (editor) => editor.mode === "edited",
  },
  {
    text: () => "Make one of them your own. Open the tab Anchors; the first anchor is on the canvas.",
    where: () => "Anchors",
    enter: (editor) => {
      editor.playback.pause();
      editor.seek(editor.view.anchors[0]?.frame ?? 0);
    },
    done: (editor) => editor.controls.element("make-take") !== null,
  },
  {
    text: ({ key }) => `Choose a colour if you like, then make a take of this frame${key("control", "make-take")}.`,
    where: () => "make-take",
    enter: (editor, memory) => Object.assign(memory, { takes: countTakes(editor) }),
    done: (editor, memory) => countTakes(editor) > memory.takes,
  },
  {
    text: ({ key }) => `The new take is on the canvas. Approve it${key("control", "approve")}: on this frame the finished clip will be exactly that.`,
    where: () => "approve",
    enter: (editor, memory) => Object.assign(memory, { approved: approved(editor) }),
    done: (editor, memory) => approved(editor).some((key) => !memory.approved.includes(key)),
  },
  {
    text: ({ key }) => `Now let the edit be carried from anchor to anchor: Propagate${key("run")}.`,
    where: (editor) => (editor.controls.element("propagate") ? "propagate" : named("next")),
    done: (editor) => allDone(editor) || (active(editor.view.job) && editor.view.job.kind === "propagate"),
  },
  {
    text: () => "Frames turn green on the timeline as they are finished. You can look at them meanwhile: click on the timeline.",
    where: () => document.querySelector(".al-timeline"),
    done: (editor) => allDone(editor),
  },
  {
    text: ({ key }) => `Finished. Compare it with the source: Wipe${key("mode", "wipe")}, and drag the line over the picture.`,
    where: () => named("mode-wipe"),
    done: (editor) => editor.mode === "wipe",
  },
  {
    text: ({ key }) => `Last: write the clip, sound and all. Open Export and press Export${key("control", "export")}.`,
    where: (editor) => (editor.controls.element("export") ? "export" : "Export"),
    enter: (editor, memory) => Object.assign(memory, { job: editor.view.job?.id }),
    done: (editor, memory) => editor.view.job?.id !== memory.job && editor.view.job?.kind === "export",
  },
  {
    text: () => "The clip is being written …",
    where: () => "exports",
    done: (editor) => jobDone(editor, "export"),
  },
];

const countTakes = (editor) => editor.view.anchors.reduce((sum, anchor) => sum + anchor.takes.length, 0);
const approved = (editor) => editor.view.anchors.map((anchor) => anchor.chosen).filter(Boolean);
