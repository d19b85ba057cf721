/** The two languages and the button between them. Offers exactly what works on this server. */

import { DETECT, NOTHING_YET, languageName, pathWords, settle, swapped, targetsFor } from "../core/languages.js";
import { byId, fillSelect } from "./dom.js";

/** @typedef {import("../core/languages.js").Offer} Offer */
/** @typedef {import("../core/languages.js").Choice} Choice */

export class LanguagePickers {
  /**
   * @param {Choice} wish the choice of the last visit; empty codes for none
   * @param {(choice: Choice) => void} onChoice the user chose
   */
  constructor(wish, onChoice) {
    this.source = /** @type {HTMLSelectElement} */ (byId("source"));
    this.target = /** @type {HTMLSelectElement} */ (byId("target"));
    this.swap = /** @type {HTMLButtonElement} */ (byId("swap"));
    /** @type {Offer} */
    this.offer = NOTHING_YET;
    this.wish = wish;
    this.choice = { source: wish.source || DETECT, target: wish.target };
    this.detected = "";
    this.onChoice = onChoice;
    this.source.addEventListener("change", () => {
      const source = this.source.value;
      // Who says what they speak wants to be heard in another language, or would choose "captions only".
      this.#choose({ source, target: source === this.choice.target ? "" : this.choice.target });
    });
    this.target.addEventListener("change", () => this.#choose({ source: this.choice.source, target: this.target.value }));
    this.swap.addEventListener("click", () => {
      const other = swapped(this.offer, this.choice, this.detected);
      if (other) this.#choose(other);
    });
    this.#show();
  }

  /** @param {Offer} offer */
  update(offer) {
    this.offer = offer;
    this.choice = settle(offer, {
      source: this.wish.source || offer.defaults.source,
      target: this.wish.target || offer.defaults.target,
    });
    this.#show();
  }

  /** @param {string} language what the recognizer heard */
  heard(language) {
    if (!language || language === this.detected) return;
    this.detected = language;
    this.#show();
  }

  /** @param {string} code */
  nameOf(code) {
    return languageName(this.offer, code);
  }

  get path() {
    return pathWords(this.offer, this.choice);
  }

  /** @param {Choice} wish */
  #choose(wish) {
    this.choice = settle(this.offer, wish);
    this.wish = this.choice;
    this.#show();
    this.onChoice(this.choice);
  }

  #show() {
    const { offer, choice } = this;
    const detect = choice.source === DETECT && this.detected ? `${this.nameOf(this.detected)} (detected)` : "Detect language";
    fillSelect(this.source, [{ value: DETECT, label: detect }, ...offer.sources.map(option)], choice.source);
    const targets = targetsFor(offer, choice.source).map(option)
      .map((one) => (one.value === choice.source ? { ...one, label: `${one.label} (captions only)` } : one));
    fillSelect(this.target, targets.length > 0 ? targets : [{ value: "", label: "Not known yet" }], choice.target);
    this.target.disabled = targets.length === 0;
    this.swap.disabled = swapped(offer, choice, this.detected) === null;
  }
}

/** @param {{code: string, name: string}} language */
const option = ({ code, name }) => ({ value: code, label: name });
