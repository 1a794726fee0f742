// Puts the editor on the page: its style, its Gradio component, and what Python may ask of it.

import { make } from "./dom.js";
import { Editor } from "./editor.js";

function loadStyle() {
  const href = new URL("editor.css", import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return Promise.resolve();
  const link = make("link", { rel: "stylesheet", href });
  return new Promise((resolve, reject) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", () => reject(new Error(`${href} cannot be loaded`)));
    document.head.append(link);
  });
}

/** Builds the editor inside a gr.HTML component whose value is {project, rev, cmd}. */
export async function mount(element, { trigger, props, watch }) {
  await loadStyle();
  const editor = new Editor(element.querySelector(".al-editor"), trigger);
  window.anchorline = editor;
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
}

/** What Python may ask for: {seek: frame}, {mode: name}, {tool: name}, {say: sentence}. */
function obey(editor, { seek, mode, tool, say }) {
  if (seek !== undefined) editor.seek(seek);
  if (mode) editor.setMode(mode);
  if (tool) editor.setTool(tool);
  if (say) editor.notices.say(say);
}
