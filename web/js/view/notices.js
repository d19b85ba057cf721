/** Notices above the control bar: what went wrong or is not ready yet, and what can be done. One for each subject. */

import { icon, make, setText } from "./dom.js";

/**
 * @typedef {object} Notice
 * @property {"info" | "warning" | "error"} level
 * @property {string} title
 * @property {string} [text] words in “quotes” that are commands are shown as such
 * @property {{label: string, run: () => void}[]} [actions]
 * @property {boolean} [busy] shows that something goes on
 * @property {number | null} [nextTryAt] counts down to this moment of `Date.now()`
 * @property {boolean} [closable]
 */

const COMMAND = /“((?:make|meeting-voice-language|apt|pip)\b[^”]*)”/;

export class Notices {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    /** @type {Map<string, {notice: Notice, element: HTMLElement}>} */
    this.shown = new Map();
    /** @type {number | undefined} */
    this.timer = undefined;
  }

  /**
   * @param {string} subject a newer notice on the same subject takes the older one's place
   * @param {Notice} notice
   */
  set(subject, notice) {
    const old = this.shown.get(subject);
    if (old && same(old.notice, notice)) {
      old.notice = notice;
      return;
    }
    const element = this.#build(subject, notice);
    const focused = old?.element.contains(document.activeElement);
    if (old) old.element.replaceWith(element);
    else this.place.append(element);
    if (focused) element.querySelector("button")?.focus();
    this.shown.set(subject, { notice, element });
    this.#tick();
  }

  /** @param {string} subject */
  clear(subject) {
    this.shown.get(subject)?.element.remove();
    this.shown.delete(subject);
  }

  /**
   * @param {string} subject
   * @param {Notice} notice
   */
  #build(subject, notice) {
    const body = make("div", {}, [make("p", {}, [make("strong", { text: notice.title })])]);
    if (notice.text) body.append(make("p", { class: "text" }, phrases(notice.text)));
    // The count changes every second: not for screen readers.
    if (notice.nextTryAt) body.append(make("p", { class: "countdown", "aria-hidden": "true" }));
    const actions = [...(notice.actions ?? [])].map(({ label, run }) => {
      const button = make("button", { class: "secondary", type: "button", text: label });
      button.addEventListener("click", run);
      return button;
    });
    if (notice.closable) {
      const close = make("button", { class: "icon-button", type: "button", "aria-label": "Close this notice" }, [icon("close")]);
      close.addEventListener("click", () => this.clear(subject));
      actions.push(close);
    }
    const children = [icon(notice.level === "info" ? "info" : "warning"), body];
    if (actions.length > 0) children.push(make("div", { class: "actions" }, actions));
    if (notice.busy) children.push(make("span", { class: "busy", "aria-hidden": "true" }));
    const role = notice.level === "error" ? "alert" : "status";
    return make("div", { class: "notice", role, "data-level": notice.level, "data-subject": subject }, children);
  }

  #tick() {
    window.clearTimeout(this.timer);
    let counting = false;
    for (const { notice, element } of this.shown.values()) {
      const place = element.querySelector(".countdown");
      if (!notice.nextTryAt || !place) continue;
      const seconds = Math.max(0, Math.ceil((notice.nextTryAt - Date.now()) / 1000));
      setText(place, seconds > 0 ? `Trying again in ${seconds} s` : "Trying again…");
      counting ||= seconds > 0;
    }
    if (counting) this.timer = window.setTimeout(() => this.#tick(), 250);
  }
}

/**
 * @param {Notice} a
 * @param {Notice} b
 */
function same(a, b) {
  return a.level === b.level && a.title === b.title && a.text === b.text && a.nextTryAt === b.nextTryAt
    && (a.actions ?? []).map((one) => one.label).join() === (b.actions ?? []).map((one) => one.label).join();
}

/**
 * @param {string} text
 * @returns {Node[]}
 */
function phrases(text) {
  return text.split(new RegExp(COMMAND, "g")).map((part, index) =>
    index % 2 === 1 ? make("code", { text: part }) : document.createTextNode(part));
}
