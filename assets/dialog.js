// A window over the page that takes the keyboard while it is open and gives it back afterwards.

import { make } from "./dom.js";

const CAN_FOCUS = "button:not(:disabled), input:not(:disabled), a[href], select:not(:disabled), [tabindex='0']";

export class Dialog {
  /** `name` is its accessible name; a press beside it closes it. `home` gets the keyboard where nobody had it before. */
  constructor(parent, kind, name, home = parent) {
    this.home = home;
    this.box = make("div", { class: `al-dialog ${kind}`, role: "dialog", "aria-modal": "true", "aria-label": name });
    this.veil = make("div", { class: "al-veil", hidden: true }, this.box);
    this.before = null;
    this.veil.addEventListener("pointerdown", (event) => event.target === this.veil && (event.preventDefault(), this.close()));
    this.veil.addEventListener("keydown", (event) => this.#key(event));
    parent.append(this.veil);
  }

  get isOpen() {
    return !this.veil.hidden;
  }

  /** Shows it and gives the keyboard to `first`. */
  show(first) {
    if (!this.isOpen) this.before = document.activeElement;
    this.veil.hidden = false;
    (first ?? this.box.querySelector(CAN_FOCUS))?.focus();
  }

  /** Hides it; the keyboard goes back to where it was. */
  close() {
    if (!this.isOpen) return;
    this.veil.hidden = true;
    const to = this.before?.isConnected && this.before !== document.body ? this.before : this.home;
    to.focus({ preventScroll: true });
    this.before = null;
  }

  #key(event) {
    event.stopPropagation(); // no shortcut of the page runs under a window
    if (event.key === "Escape") {
      event.preventDefault();
      this.close();
    }
    if (event.key !== "Tab") return;
    const inside = [...this.box.querySelectorAll(CAN_FOCUS)].filter((one) => one.offsetParent !== null);
    const [first, last] = [inside[0], inside.at(-1)];
    const at = document.activeElement;
    if (event.shiftKey ? at === first : at === last) {
      event.preventDefault();
      (event.shiftKey ? last : first).focus();
    }
  }
}
