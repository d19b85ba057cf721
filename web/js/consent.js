/** Consent of this visit: asked for in plain words, given, withdrawn. It is not remembered beyond the page. */

import { byId } from "./view/dom.js";
import { askConsent } from "./view/questions.js";

/** @typedef {import("./view/notices.js").Notices} Notices */

export class Consent {
  /** @param {Notices} notices */
  constructor(notices) {
    this.notices = notices;
    this.required = false;
    this.given = false;
  }

  /** @param {boolean} required what the server says */
  require(required) {
    this.required = required;
    this.#show();
  }

  /** @returns {Promise<boolean>} whether the server may hear the user; asks where that is not settled */
  async settled() {
    if (!this.required || this.given) return true;
    this.given = await askConsent();
    this.#show();
    if (this.given) this.notices.clear("consent");
    else this.#say("Nothing was sent", "Without your consent there is no call. Press Start to be asked again.");
    return this.given;
  }

  /** @param {boolean} calling whether a call is running */
  withdraw(calling) {
    this.given = false;
    this.#show();
    this.#say("You withdrew your consent", calling
      ? "Nothing you say is heard any more. You still hear and read the others."
      : "You are asked again before the next call.");
  }

  /** @param {string} title @param {string} text */
  #say(title, text) {
    this.notices.set("consent", { level: "info", title, text, closable: true });
  }

  #show() {
    byId("consent-section").hidden = !(this.required && this.given);
  }
}
