// The keyboard of the page: a key event becomes a command of the registry.

import { chordOf, shortcutFor, takesShortcuts } from "./keys.js";

export class Keyboard {
  constructor(editor) {
    this.editor = editor;
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    const { editor } = this;
    if (event.defaultPrevented || event.isComposing || !editor.view) return;
    const chord = chordOf(event);
    const row = shortcutFor(chord);
    const roots = [editor.root, ...document.querySelectorAll(".al-timeline")];
    if (!row || !takesShortcuts(event.target, chord, roots)) return;
    event.preventDefault();
    event.stopPropagation();
    editor.run(row.command, row.argument, event);
  }
}
