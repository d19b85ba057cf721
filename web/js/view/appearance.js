/** How captions look and whether letters are shortcuts: small choices that are remembered. */

import { savePreferences } from "../preferences.js";
import { byId } from "./dom.js";

/** @typedef {import("../preferences.js").Preferences} Preferences */

const SCALES = { s: 0.82, m: 1, l: 1.3, xl: 1.7 };

/** @param {Preferences} preferences changed in place and saved */
export function bindAppearance(preferences) {
  const original = /** @type {HTMLInputElement} */ (byId("show-original"));
  const shortcuts = /** @type {HTMLInputElement} */ (byId("shortcuts"));
  const sizes = /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[name=size]"));
  const apply = () => {
    document.documentElement.style.setProperty("--caption-scale", String(SCALES[preferences.textSize] ?? 1));
    document.body.dataset.original = preferences.showOriginal ? "shown" : "hidden";
    original.checked = preferences.showOriginal;
    shortcuts.checked = preferences.shortcuts;
    for (const size of sizes) size.checked = size.value === preferences.textSize;
  };
  const change = () => {
    preferences.showOriginal = original.checked;
    preferences.shortcuts = shortcuts.checked;
    const size = [...sizes].find((one) => one.checked)?.value;
    if (size) preferences.textSize = /** @type {Preferences["textSize"]} */ (size);
    savePreferences(preferences);
    apply();
  };
  for (const input of [original, shortcuts, ...sizes]) input.addEventListener("change", change);
  apply();
}
