/** Reads finished captions to screen readers: never the growing ones, which would be read again at every word. */

import { direction } from "../core/languages.js";
import { make } from "./dom.js";

/** @typedef {import("../core/transcript.js").Entry} Entry */

const KEPT = 12; // a log that grows for hours slows screen readers down

export class Announcer {
  /** @param {HTMLElement} log */
  constructor(log) {
    this.log = log;
    /** @type {Set<string>} */
    this.said = new Set();
  }

  /** @param {Entry} entry */
  say(entry) {
    if (!entry.final || this.said.has(entry.key)) return;
    this.said.add(entry.key);
    const translated = entry.translation !== "";
    const lang = (translated ? entry.targetLang : entry.lang) || undefined;
    const text = (translated ? entry.translation : entry.text) || entry.note;
    if (!text) return;
    this.log.append(make("p", { text, lang, dir: direction(lang ?? "") }));
    while (this.log.childElementCount > KEPT) this.log.firstElementChild?.remove();
  }

  clear() {
    this.log.replaceChildren();
    this.said.clear();
  }
}
