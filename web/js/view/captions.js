/**
 * The captions on the screen. Committed words are solid, tentative ones lighter and dotted; a caption that grows is
 * changed in place and never becomes lower before its end, so that nothing above it moves. The list stays at its newest
 * end unless the reader has scrolled up.
 */

import { clock } from "../core/format.js";
import { direction } from "../core/languages.js";
import { make, setText } from "./dom.js";

/** @typedef {import("../core/transcript.js").Entry} Entry */
/** @typedef {import("../core/transcript.js").Change} Change */

/**
 * @typedef {object} Line
 * @property {HTMLElement} item
 * @property {HTMLElement} time
 * @property {HTMLElement} who
 * @property {HTMLElement} original
 * @property {HTMLElement} translation
 * @property {HTMLElement} note
 * @property {number} reached the greatest height so far, px
 */

const NEAR_END = 40; // px from the bottom that still count as being there

export class CaptionsView {
  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} list
   * @param {HTMLElement} newest the button that leads back to the newest caption
   */
  constructor(scroller, list, newest) {
    this.scroller = scroller;
    this.list = list;
    this.newest = newest;
    this.following = true;
    /** @type {Map<string, Line>} */
    this.lines = new Map();
    /** @type {Set<string>} */
    this.speakers = new Set();
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    newest.addEventListener("click", () => this.toNewest());
    new ResizeObserver(() => this.#resized()).observe(scroller);
  }

  /**
   * @param {Change} change
   * @param {string} name of the speaker, shown as soon as there are several
   */
  show({ change, entry, index }, name) {
    if (change === "removed") {
      this.forget(entry);
      return;
    }
    let line = this.lines.get(entry.key);
    if (!line) {
      line = this.#line();
      this.lines.set(entry.key, line);
      this.#insert(line.item, entry, index);
    }
    this.#fill(line, entry, name);
    document.body.dataset.empty = "false";
    if (this.following) this.#follow();
    else this.newest.hidden = false;
  }

  /** @param {Entry} entry */
  forget(entry) {
    this.lines.get(entry.key)?.item.remove();
    this.lines.delete(entry.key);
    if (this.lines.size === 0) document.body.dataset.empty = "true";
  }

  /**
   * @param {Date} at
   * @param {boolean} divide a line between the captions of the call before and those to come
   */
  beginCall(at, divide) {
    this.list.querySelector(".divider:last-child")?.remove(); // nothing was said in that call
    if (!divide) return;
    const text = `New call, ${at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
    this.list.append(make("li", { class: "divider", text }));
    this.toNewest();
  }

  clear() {
    this.list.replaceChildren();
    this.lines.clear();
    this.speakers.clear();
    this.list.classList.remove("many");
    document.body.dataset.empty = "true";
    this.toNewest();
  }

  toNewest() {
    this.following = true;
    this.newest.hidden = true;
    this.#follow();
  }

  /**
   * @param {Line} line
   * @param {Entry} entry
   * @param {string} name
   */
  #fill(line, entry, name) {
    const single = entry.targetLang === "" || entry.targetLang === entry.lang || (entry.final && entry.translation === "");
    line.item.classList.toggle("single", single);
    line.item.dataset.open = String(!entry.final);
    setText(line.time, clock(entry.startMs));
    line.time.setAttribute("datetime", `PT${Math.round(entry.startMs / 1000)}S`);
    words(line.original, entry.text, entry.committed, entry.lang);
    words(line.translation, entry.translation, entry.translationCommitted, entry.targetLang);
    line.original.hidden = line.translation.hidden = entry.final && entry.text === "";
    setText(line.note, entry.note);
    line.note.hidden = entry.note === "";
    setText(line.who, name);
    line.who.hidden = name === "";
    if (entry.speaker) this.speakers.add(entry.speaker);
    this.list.classList.toggle("many", this.speakers.size > 1);
    this.#hold(line, entry.final);
  }

  /**
   * Keeps the height that an open caption has reached: a hypothesis that becomes shorter must not move the page.
   *
   * @param {Line} line
   * @param {boolean} done
   */
  #hold(line, done) {
    if (done) {
      line.item.style.removeProperty("--reached");
      return;
    }
    const { height } = line.item.getBoundingClientRect(); // with its fractions
    if (height <= line.reached) return;
    line.reached = height;
    line.item.style.setProperty("--reached", `${height}px`);
  }

  /** @returns {Line} */
  #line() {
    const time = make("time");
    const who = make("span", { class: "who" });
    const original = make("p", { class: "original" }, [make("span"), make("span", { class: "tentative" })]);
    const translation = make("p", { class: "translation" }, [make("span"), make("span", { class: "tentative" })]);
    const note = make("p", { class: "note" });
    const item = make("li", { class: "caption" }, [time, who, original, translation, note]);
    return { item, time, who, original, translation, note, reached: 0 };
  }

  /**
   * @param {HTMLElement} item
   * @param {Entry} entry
   * @param {number} index among the captions
   */
  #insert(item, entry, index) {
    const captions = this.list.getElementsByClassName("caption");
    const next = captions[index];
    this.list.insertBefore(item, next ?? null);
    item.dataset.key = entry.key;
  }

  #follow() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.following = scrollHeight - clientHeight - scrollTop < NEAR_END;
    if (this.following) this.newest.hidden = true;
  }

  /** Another width wraps words differently: heights start again. */
  #resized() {
    for (const line of this.lines.values()) {
      if (line.item.dataset.open !== "true") continue;
      line.reached = 0;
      line.item.style.removeProperty("--reached");
    }
    if (this.following) this.#follow();
  }
}

/**
 * @param {HTMLElement} paragraph with two spans: committed, tentative
 * @param {string} text
 * @param {number} committed
 * @param {string} language
 */
function words(paragraph, text, committed, language) {
  const [solid, tentative] = paragraph.children;
  setText(solid, text.slice(0, committed));
  setText(tentative, text.slice(committed));
  const dir = direction(language);
  if (paragraph.dir !== dir) paragraph.dir = dir;
  if (language && paragraph.lang !== language) paragraph.lang = language;
}
