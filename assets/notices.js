// Sentences for the user over the canvas; errors are announced to screen readers at once.

import { button, make } from "./dom.js";

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
