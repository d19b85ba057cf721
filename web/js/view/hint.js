/** The line above the buttons: what goes on, in a few words. */

import { byId, setText } from "./dom.js";

/** @typedef {import("../call/call.js").Call} Call */
/** @typedef {import("../conversation.js").Conversation} Conversation */

const PASSING_MS = 4_000;

export class Hint {
  /**
   * @param {Call} call
   * @param {Conversation} conversation
   */
  constructor(call, conversation) {
    this.call = call;
    this.conversation = conversation;
    this.passingUntil = 0;
  }

  show() {
    if (this.call.state !== "live") this.passingUntil = 0;
    if (Date.now() >= this.passingUntil) setText(byId("hint"), this.#standing());
  }

  /** @param {string} text shown for some seconds */
  pass(text) {
    this.passingUntil = Date.now() + PASSING_MS;
    setText(byId("hint"), text);
  }

  /** What was said in passing does not hold any more. */
  renew() {
    this.passingUntil = 0;
    this.show();
  }

  #standing() {
    const { call, conversation } = this;
    if (call.state === "microphone") return "Allow the microphone when the browser asks.";
    if (call.state === "connecting") return "Connecting…";
    if (call.state !== "live") return "";
    if (call.muted) return "You are muted. Press M to speak.";
    if (call.loopback) return "You hear your own microphone.";
    if (conversation.listening) return "Listening…";
    return conversation.spoken ? "" : "Speak now.";
  }
}
