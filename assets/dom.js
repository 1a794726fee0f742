// Two small builders of page elements.

import { ICONS } from "./icons.js";

/** An element with attributes, listeners ("onclick") and children (elements or text). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A button with an icon (a name of icons.js) or a text, an accessible name and a title. */
export function button({ icon, text, label, title, name, onclick }) {
  const element = make("button", { type: "button", class: "al-button", title: title ?? label, "aria-label": label, "data-name": name });
  if (icon) element.append(iconOf(icon));
  if (text) element.append(make("span", {}, text));
  element.addEventListener("pointerdown", (event) => event.preventDefault()); // the keyboard stays with the canvas
  element.addEventListener("click", onclick);
  return element;
}

/** A 16 × 16 line icon. */
export function iconOf(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Sets a text only where it differs: writing the same again would cost the page a layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows a tab of the page's right column by its name, also one that had no room and stands in the menu beside them. */
export function openTab(name) {
  const tabs = [...document.querySelectorAll("#tabs [role=tab], #tabs .overflow-dropdown button")];
  tabs.find((tab) => tab.textContent.trim() === name)?.click();
}
