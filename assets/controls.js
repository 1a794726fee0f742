// The controls beside the canvas, by name: where each stands (tab, folded parts), so that keys, the palette and the tour
// can use it wherever it is. Python lists them in a hidden element of the page (app/controls.py).

import { setText } from "./dom.js";

const WAIT_MS = 3000; // for a tab to build what is in it
const LOOK_MS = 30;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Controls {
  constructor(editor) {
    this.editor = editor;
    this.list = this.#read();
    const own = this.list.filter((one) => !one.same);
    editor.keymap.add(own.map((one) => ({ group: one.group, keys: one.keys, command: "control", argument: one.name, label: one.label })));
    editor.keymap.addEventListener("change", () => this.#title());
    document.addEventListener("click", (event) => this.#taught(event));
    const ours = ({ target }) => target.closest?.(".al-editor, .al-timeline"); // they title themselves, and change with every frame
    new MutationObserver((seen) => seen.every(ours) || this.#later()).observe(document.body, { childList: true, subtree: true });
    this.#title();
  }

  #read() {
    const listed = document.querySelector("[data-controls]");
    return listed ? JSON.parse(listed.dataset.controls) : [];
  }

  of(name) {
    return this.list.find((one) => one.name === name);
  }

  /** The element of a control; null while its tab or folded part does not show it. */
  element(name) {
    const element = document.getElementById(name);
    return element?.offsetParent ? element : null;
  }

  /** The element of a control, or the tab that must be opened to see it; null where neither is shown. */
  shown(name) {
    const one = this.of(name);
    if (one?.kind === "tab") return tabButton(name);
    return this.element(name) ?? (one?.tab ? tabButton(one.tab) : null);
  }

  /** Why it cannot be used now, as far as the page shows. */
  reason(name) {
    const press = pressable(this.element(name));
    return press?.disabled ? "It cannot be done now." : "";
  }

  /** Brings a control in sight: its tab, then every folded part around it. Resolves to its element, or null. */
  async show(name) {
    const one = this.of(name);
    if (!one) return this.element(name);
    if (one.tab) tabButton(one.tab)?.click();
    for (const folded of one.folded) await unfold(folded);
    const until = performance.now() + WAIT_MS;
    while (!this.element(name) && performance.now() < until) await pause(LOOK_MS);
    const element = this.element(name);
    element?.scrollIntoView({ block: "nearest", inline: "nearest" });
    return element;
  }

  /** Presses a button, opens a tab or a folded part, or goes to a field. */
  async use(name) {
    const { notices } = this.editor;
    const one = this.of(name);
    if (one?.kind === "tab") {
      const button = tabButton(name);
      button?.click();
      return button?.focus();
    }
    const element = await this.show(name);
    if (!element) return notices.say(`“${one?.label ?? name}” is not there now.`);
    if (one?.kind === "folded") return unfold(name);
    if (one && one.kind !== "button") return field(element)?.focus();
    const press = pressable(element);
    if (press.disabled) return notices.say(`“${one?.label ?? name}” cannot be done now.`);
    return press.click();
  }

  /** A button of a panel's own HTML that runs a command: data-run="command" or "command:argument". */
  #taught(event) {
    const taught = event.target.closest?.("[data-run]");
    if (!taught) return;
    const [command, argument] = taught.dataset.run.split(":");
    this.editor.run(command, argument === undefined || argument === "" || Number.isNaN(Number(argument)) ? argument : Number(argument));
    if (command !== "control") this.editor.root.focus({ preventScroll: true });
  }

  #later() {
    if (this.asked) return;
    this.asked = true;
    setTimeout(() => {
      this.asked = false;
      this.#title();
    }, 200);
  }

  /** Titles with the current key, on every button of the page that has none of its own. */
  #title() {
    const { keymap } = this.editor;
    for (const { name, kind, help, label, same } of this.list) {
      const element = kind === "tab" ? tabButton(name) : kind === "button" ? pressable(document.getElementById(name)) : null;
      if (!element) continue;
      const title = same ? keymap.titleFor(same, undefined, help || label) : keymap.titleFor("control", name, help || label);
      if (element.title !== title) element.title = title;
    }
    for (const taught of document.querySelectorAll("[data-run]")) {
      const [command, argument] = taught.dataset.run.split(":");
      const title = keymap.titleFor(command, argument, taught.textContent);
      if (taught.title !== title) taught.title = title;
    }
    for (const key of document.querySelectorAll("kbd[data-key]")) {
      const [command, argument] = key.dataset.key.split(":");
      setText(key, keymap.keyText(command, argument));
      key.hidden = !key.textContent;
    }
  }
}

/** What a press on a control's element would hit. */
const pressable = (element) => (!element || element.matches("button") ? element : element.querySelector("button") ?? element);

const field = (element) => (element.matches("input, textarea") ? element : element.querySelector("textarea, input:not([type=file]), [role=listbox], button"));

/** The tab's button that can be seen; Gradio keeps hidden doubles. */
function tabButton(label) {
  const buttons = [...document.querySelectorAll("[role=tab]")].filter((one) => one.textContent.trim() === label);
  return buttons.find((one) => one.offsetParent !== null) ?? null;
}

/** Opens a folded part by the name of its element. */
async function unfold(name) {
  const button = document.getElementById(name)?.querySelector("button.label-wrap");
  if (!button || button.classList.contains("open")) return;
  button.click();
  await pause(LOOK_MS);
}
