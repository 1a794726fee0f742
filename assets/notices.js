// Sentences for the user over the canvas (errors are announced to screen readers), and the help sheet.

import { button, make } from "./dom.js";
import { chordText, SHORTCUTS } from "./keys.js";

const SHOWN_MS = 7000;

export class Notices {
  constructor(parent) {
    this.list = make("div", { class: "al-notices" });
    this.banner = make("div", { class: "al-banner", role: "status", hidden: true });
    parent.append(this.banner, this.list);
  }

  /** A sentence that stays as long as it is true; "" takes it away. */
  keep(text) {
    this.banner.hidden = !text;
    if (this.banner.textContent !== text) this.banner.textContent = text;
  }

  /** Something worth knowing. */
  say(text) {
    this.#show(text, "status");
  }

  /** Something that went wrong. */
  warn(text) {
    this.#show(text, "alert");
  }

  /** Closes the newest; false when there is none. */
  dismiss() {
    const newest = this.list.lastElementChild;
    newest?.remove();
    return newest !== null;
  }

  #show(text, role) {
    for (const old of [...this.list.children]) if (old.dataset.text === text) old.remove();
    while (this.list.children.length > 2) this.list.firstElementChild.remove();
    const notice = make("div", { class: "al-notice", role, "data-text": text }, make("span", {}, text));
    notice.append(button({ icon: "close", label: "Close this message", onclick: () => notice.remove() }));
    this.list.append(notice);
    setTimeout(() => notice.remove(), SHOWN_MS + text.length * 40);
  }
}

export class HelpSheet {
  constructor(parent) {
    this.sheet = make("div", { class: "al-help", role: "dialog", "aria-label": "Keyboard shortcuts", hidden: true });
    const close = button({ icon: "close", label: "Close the help sheet", title: "Close (Esc)", onclick: () => this.close() });
    this.sheet.append(make("header", {}, make("b", {}, "Keys"), close), make("div", { class: "al-help-groups" }, ...helpGroups()));
    parent.append(this.sheet);
  }

  get open() {
    return !this.sheet.hidden;
  }

  toggle() {
    this.sheet.hidden = !this.sheet.hidden;
  }

  close() {
    this.sheet.hidden = true;
  }
}

function helpGroups() {
  const names = [...new Set(SHORTCUTS.map((row) => row.group))];
  return names.map((name) => {
    const rows = SHORTCUTS.filter((row) => row.group === name).map((row) => {
      const shown = row.keys.length > 4 ? [row.keys[0], "…", row.keys.at(-1)] : row.keys;
      const keys = shown.map((chord) => (chord === "…" ? chord : make("kbd", {}, chordText(chord))));
      return make("div", { class: "al-help-row" }, make("span", {}, ...keys), make("span", {}, row.label));
    });
    return make("section", {}, make("b", {}, name), ...rows);
  });
}
