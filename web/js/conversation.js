/** From caption messages to the screen: the transcript, its view, and what is read aloud to screen readers. */

import { Transcript } from "./core/transcript.js";
import { Announcer } from "./view/announcer.js";
import { CaptionsView } from "./view/captions.js";
import { byId } from "./view/dom.js";

/** @typedef {import("./core/transcript.js").Change} Change */

export class Conversation {
  /**
   * @param {{onHeard: (language: string) => void, onListening: () => void, onChanged: (finals: number) => void}} events
   */
  constructor(events) {
    this.events = events;
    this.transcript = new Transcript();
    this.view = new CaptionsView(byId("transcript"), byId("captions"), byId("newest"));
    this.announcer = new Announcer(byId("announcer"));
    this.running = false;
    /** Whether the transcript was downloaded as it is. */
    this.saved = true;
    /** How captions name this side. */
    this.own = "";
    /** Whether anything was said in this call. */
    this.spoken = false;
    /** @type {Map<string, string>} */
    this.names = new Map();
    /** @type {Set<string>} who speaks right now */
    this.speaking = new Set();
  }

  /** Whether something would be lost with the page. */
  get unsaved() {
    return !this.saved;
  }

  get listening() {
    return this.speaking.size > 0;
  }

  /** @param {Date} at the call began */
  begin(at) {
    this.running = true;
    this.spoken = false;
    this.transcript.beginCall(at);
    this.view.beginCall(at, this.transcript.entries.length > 0);
  }

  /**
   * The connection is back, but the server does not know this call any more.
   *
   * @param {number} elapsedMs since the call began
   */
  beginAgain(elapsedMs) {
    this.#settle("Cut off here: the connection was lost.");
    this.transcript.beginLeg(elapsedMs);
    this.speaking.clear();
  }

  end() {
    this.running = false;
    this.#settle("");
    this.speaking.clear();
  }

  clear() {
    this.transcript.clear();
    this.view.clear();
    this.announcer.clear();
    this.saved = true;
    this.events.onChanged(0);
  }

  /**
   * @param {Record<string, any>} message
   * @returns {boolean} whether it was one for the captions
   */
  receive(message) {
    if (message.type === "speaking") {
      if (message.on) this.speaking.add(String(message.speaker));
      else this.speaking.delete(String(message.speaker));
      this.events.onListening();
      return true;
    }
    if (!["partial", "final", "lost"].includes(message.type)) return false;
    const change = this.transcript.apply(message);
    if (change) this.#show(change);
    for (const entry of this.transcript.trim()) this.view.forget(entry);
    return true;
  }

  /** @param {Change} change */
  #show(change) {
    this.spoken = true;
    this.view.show(change, this.#nameOf(change.entry.speaker));
    if (!change.entry.final) return;
    this.saved = false;
    this.announcer.say(change.entry);
    this.events.onHeard(change.entry.lang);
    this.events.onChanged(this.transcript.entries.filter((entry) => entry.final).length);
  }

  /** @param {string} speaker as the server calls them: letters that mean nothing to people */
  #nameOf(speaker) {
    if (!speaker) return "";
    if (speaker === this.own) return "You";
    if (!this.names.has(speaker)) this.names.set(speaker, `Speaker ${this.names.size + 1}`);
    return /** @type {string} */ (this.names.get(speaker));
  }

  /** @param {string} note */
  #settle(note) {
    for (const change of this.transcript.settle(note)) this.#show(change);
  }
}
