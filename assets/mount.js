// Puts the editor on the page: its style, its Gradio component, and what Python may ask of it.

import { Editor } from "./editor.js";
import { loadStyle } from "./style.js";

/** The user's own keys: taken from what was kept, kept when they change. */
async function keepKeys(editor) {
  const { keymap, settings, notices } = editor;
  try {
    keymap.take((await settings.load()).keys);
  } catch (error) {
    notices.warn(`Your own keys could not be read (${error.message}).`);
  }
  const known = () => JSON.stringify(keymap.own);
  let kept = known();
  keymap.addEventListener("change", () => {
    if (known() === kept) return;
    kept = known();
    settings.keep({ keys: { ...keymap.own } }).catch((error) => notices.warn(error.message));
  });
}

/** Builds the editor inside a gr.HTML component whose value is {project, rev, cmd}. */
export async function mount(element, { trigger, props, watch }) {
  await Promise.all([loadStyle("editor.css"), loadStyle("compare.css")]);
  const editor = new Editor(element.querySelector(".al-editor"), trigger);
  window.anchorline = editor;
  await keepKeys(editor);
  let done = "";
  const apply = async () => {
    const { project, rev, cmd } = props.value ?? {};
    if (!project) return;
    try {
      if (project !== editor.project) await editor.open(project);
      else if (editor.view && rev !== editor.view.rev) await editor.refresh();
      editor.poll.hurry(); // Python wrote the value: a job may have been started
      if (cmd && JSON.stringify([cmd, rev]) !== done) obey(editor, cmd);
      done = JSON.stringify([cmd ?? null, rev]);
    } catch (error) {
      editor.notices.warn(error.message);
    }
  };
  watch("value", apply);
  await apply(); // the value may have come before this file did
  document.dispatchEvent(new Event("anchorline:ready"));
  editor.tour.offer();
}

/** What Python may ask for: {seek: frame}, {mode: name}, {tool: name}, {say: sentence}. */
function obey(editor, { seek, mode, tool, say }) {
  if (seek !== undefined) editor.seek(seek);
  if (mode) editor.setMode(mode);
  if (tool) editor.setTool(tool);
  if (say) editor.notices.say(say);
}
