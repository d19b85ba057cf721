/** What the server says on the data channel besides captions: states of engines, errors, figures, goodbye. */

import { Failure } from "./core/failures.js";

/** @typedef {import("./view/notices.js").Notices} Notices */

/**
 * @typedef {object} MessageEvents
 * @property {() => void} onEngines an engine changed its state
 * @property {(lagMs: number) => void} onLag
 * @property {() => void} onConsentMissing the server hears nothing before the user agrees
 * @property {(failure: Failure) => void} onLeave the call comes back after a while
 * @property {() => void} onEnd the call is over
 */

export class ServerMessages {
  /**
   * @param {Notices} notices
   * @param {MessageEvents} events
   */
  constructor(notices, events) {
    this.notices = notices;
    this.events = events;
  }

  /** @param {Record<string, any>} message */
  receive(message) {
    if (message.type === "stats" && typeof message.lag_ms === "number") this.events.onLag(message.lag_ms);
    else if (message.type === "status") this.#status(message);
    else if (message.type === "goodbye") this.#goodbye(message);
    else if (message.type === "error") this.#error(message);
  }

  /** @param {Record<string, any>} message */
  #status({ stage, level, message }) {
    // What loads or starts again is told by the engines' states; a call begins with one such message an engine.
    if (level === "error") this.notices.set(`stage-${stage}`, { level: "error", title: String(message), closable: true });
    else this.notices.clear(`stage-${stage}`);
    if (level !== "info") this.events.onEngines();
  }

  /** @param {Record<string, any>} message */
  #error({ code, message }) {
    if (code === "CONSENT_REQUIRED") this.events.onConsentMissing();
    else this.notices.set("error", { level: "warning", title: String(message ?? "The server reports an error."), closable: true });
  }

  /** @param {Record<string, any>} message */
  #goodbye({ message, retry_after_s: retryAfterS }) {
    if (typeof retryAfterS === "number") {
      this.events.onLeave(new Failure("draining", { retryAfterS }));
      return;
    }
    this.events.onEnd();
    this.notices.set("goodbye", { level: "info", title: "The server ended the call", text: String(message ?? ""), closable: true });
  }
}
