// The keyboard of the page: a key event becomes a command of the registry.

import { chordOf, takesShortcuts } from "./keys.js";

const ANYWHERE = ["palette"]; // also where somebody types: its keys type nothing

export class Keyboard {
  constructor(editor) {
    this.editor = editor;
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    const { editor } = this;
    if (event.defaultPrevented || event.isComposing || !editor.view) return;
    const chord = chordOf(event);
    const roots = [editor.root, ...document.querySelectorAll(".al-timeline")];
    const ours = takesShortcuts(event.target, chord, roots);
    const row = editor.keymap.rowFor(chord);
    const handled = ours && editor.hand.takes(chord);
    if (!handled && (!row || !(ours || ANYWHERE.includes(row.command)))) return;
    event.preventDefault();
    event.stopPropagation();
    if (!handled) editor.run(row.command, row.argument, event);
  }
}
