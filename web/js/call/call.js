/**
 * One call as the user knows it: it outlives connections. It holds the microphone, comes back after a loss with growing
 * pauses, waits at a full server, and tells one state at a time.
 *
 *     idle -> microphone -> connecting -> live -> reconnecting -> live ... -> idle
 *                               `-> waiting -> connecting
 */

import { backoffMs } from "../core/backoff.js";
import { Failure, microphoneFailure } from "../core/failures.js";
import { Peer } from "./peer.js";

const FINISH_MS = 4_000; // longest wait for what was being said when the server said goodbye
const VOICE_MS = 1_500; // after its last caption, for the voice

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./microphone.js").Microphone} Microphone */
/** @typedef {"idle" | "microphone" | "connecting" | "live" | "reconnecting" | "waiting"} CallState */

/**
 * @typedef {object} CallEvents
 * @property {(state: CallState) => void} onState
 * @property {(failure: Failure, nextTryAt: number | null) => void} onFailure `nextTryAt` on the clock of `Date.now()`, null: the call is over
 * @property {(answer: Answer, resumed: boolean) => void} onAnswer
 * @property {(message: Record<string, any>) => void} onMessage
 * @property {(stream: MediaStream) => void} onStream
 * @property {(roundTripMs: number) => void} onRoundTrip
 */

export class Call {
  /**
   * @param {Api} api
   * @param {Microphone} microphone
   * @param {() => Record<string, unknown>} wishes languages and consent, asked for at every offer
   * @param {CallEvents} events
   */
  constructor(api, microphone, wishes, events) {
    this.api = api;
    this.microphone = microphone;
    this.wishes = wishes;
    this.events = events;
    /** @type {CallState} */
    this.state = "idle";
    /** @type {Peer | null} */
    this.peer = null;
    this.sessionId = "";
    this.muted = false;
    this.loopback = false;
    this.wasLive = false;
    this.attempt = 0;
    /** @type {RTCIceServer[]} */
    this.iceServers = [];
    /** @type {number | undefined} */
    this.timer = undefined;
    /** @type {Set<string>} utterances that have no final yet */
    this.open = new Set();
    /** @type {(() => void) | null} */
    this.finish = null;
  }

  get running() {
    return this.state !== "idle";
  }

  /**
   * @param {string} sessionId of a call that this tab had before it was reloaded, else empty
   * @returns {Promise<void>}
   */
  async start(sessionId) {
    if (this.running) return;
    this.sessionId = sessionId;
    this.wasLive = false;
    this.attempt = 0;
    this.#enter("microphone");
    try {
      await this.microphone.open();
    } catch (error) {
      if (this.state === "microphone") this.#end(microphoneFailure(error));
      return;
    }
    if (this.state === "microphone") await this.#connect();
  }

  stop() {
    if (!this.running) return;
    this.#end(null);
  }

  /** Does not wait for the next try. */
  retryNow() {
    if (this.state === "reconnecting" || this.state === "waiting") void this.#connect();
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.muted = muted;
    this.microphone.enable(!muted);
    this.send({ type: "mute", muted });
  }

  /** @param {boolean} on */
  hearMyself(on) {
    this.loopback = on;
    this.send({ type: "loopback", on });
  }

  /** @param {Record<string, unknown>} message */
  send(message) {
    return this.peer?.send(message) ?? false;
  }

  /** The microphone was changed while the call runs. */
  async replaceTrack() {
    const track = this.microphone.track;
    if (!track) return;
    track.enabled = !this.muted;
    await this.peer?.sender?.replaceTrack(track);
  }

  /** @returns {Promise<RTCStatsReport | null>} */
  async stats() {
    return this.state === "live" && this.peer ? await this.peer.connection.getStats() : null;
  }

  /**
   * The server has said goodbye: what is being said ends here, is still interpreted, and the call comes back.
   *
   * @param {Failure} failure
   */
  leave(failure) {
    if (this.finish) return;
    const { peer } = this;
    let timer = 0;
    const go = () => {
      window.clearTimeout(timer);
      this.finish = null;
      if (this.peer !== peer || !this.running) return;
      this.#drop();
      this.#retry(failure);
    };
    if (!this.open.size) return go();
    this.send({ type: "mute", muted: true });
    timer = window.setTimeout(go, FINISH_MS);
    this.finish = () => {
      window.clearTimeout(timer);
      timer = window.setTimeout(go, VOICE_MS);
    };
  }

  /** @param {Record<string, any>} message */
  #heed(message) {
    if (message.type === "partial") this.open.add(message.id);
    else if (message.type === "final" || message.type === "lost") this.open.delete(message.id);
    this.events.onMessage(message);
    if (!this.open.size) this.finish?.();
  }

  async #connect() {
    window.clearTimeout(this.timer);
    this.#drop();
    this.#enter(this.wasLive ? "reconnecting" : "connecting");
    const track = this.microphone.track;
    if (!track) return this.#end(new Failure("mic-lost"));
    this.iceServers = await this.api.iceServers().catch(() => this.iceServers);
    if (!this.running) return;
    const peer = new Peer(this.api, this.iceServers, {
      onMessage: (message) => this.#heed(message),
      onStream: this.events.onStream,
      onRoundTrip: this.events.onRoundTrip,
      onLost: (failure) => this.#retry(failure),
    });
    this.peer = peer;
    try {
      const resume = this.sessionId ? { sessionId: this.sessionId } : {};
      const answer = await peer.connect(track, { ...this.wishes(), ...resume });
      if (this.peer !== peer) return;
      this.#live(answer);
    } catch (error) {
      if (this.peer !== peer) return; // stopped or overtaken by a newer try
      this.#drop();
      this.#retry(error instanceof Failure ? error : new Failure("server", { detail: String(error) }));
    }
  }

  /** @param {Answer} answer */
  #live(answer) {
    const resumed = this.sessionId !== "" && answer.sessionId === this.sessionId;
    this.sessionId = answer.sessionId ?? "";
    this.wasLive = true;
    this.attempt = 0;
    this.events.onAnswer(answer, resumed);
    if (this.muted) this.send({ type: "mute", muted: true });
    if (this.loopback) this.send({ type: "loopback", on: true });
    this.#enter("live");
  }

  /** @param {Failure} failure */
  #retry(failure) {
    if (!this.running) return;
    if (!failure.retried) return this.#end(failure);
    const askedMs = failure.retryAfterS === null ? 0 : failure.retryAfterS * 1000;
    const waitMs = Math.max(askedMs, backoffMs(this.attempt, Math.random()));
    this.attempt += 1;
    this.#enter(this.wasLive && !askedMs ? "reconnecting" : "waiting");
    this.events.onFailure(failure, Date.now() + waitMs);
    this.timer = window.setTimeout(() => void this.#connect(), waitMs);
  }

  /** @param {Failure | null} failure why the call is over, null when the user ended it */
  #end(failure) {
    window.clearTimeout(this.timer);
    this.#drop();
    this.microphone.close();
    this.sessionId = "";
    this.muted = false;
    this.loopback = false;
    this.#enter("idle");
    if (failure) this.events.onFailure(failure, null);
  }

  #drop() {
    const peer = this.peer;
    this.peer = null;
    this.open.clear();
    this.finish = null;
    peer?.close();
  }

  /** @param {CallState} state */
  #enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.events.onState(state);
  }
}
