// Style sheets of the page's own parts, each loaded once.

import { make } from "./dom.js";

/** Loads a style sheet that lies beside this file. Resolves when it counts; rejects when it cannot be had. */
export function loadStyle(name) {
  const href = new URL(name, import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return Promise.resolve();
  const link = make("link", { rel: "stylesheet", href });
  return new Promise((resolve, reject) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", () => reject(new Error(`${href} cannot be loaded`)));
    document.head.append(link);
  });
}
