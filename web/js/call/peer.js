/**
 * One peer connection: from the offer to its end. It never comes back; after a loss there is a new one.
 *
 * The microphone goes out and the interpretation comes in on one audio m-line; captions and control travel on one data
 * channel. No sound for a long time is normal (nothing is sent while there is nothing to say), so life is told from the
 * answers to `ping`, not from packets.
 */

import { Failure } from "../core/failures.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./api.js").Answer} Answer */

/**
 * @typedef {object} PeerEvents
 * @property {(message: Record<string, any>) => void} onMessage a JSON message from the server
 * @property {(stream: MediaStream) => void} onStream the interpretation
 * @property {(roundTripMs: number) => void} onRoundTrip
 * @property {(failure: Failure) => void} onLost at most once, only after `connect` has resolved
 */

const GATHER_MS = 1_000; // longest wait for our own candidates before the offer goes out
const CONNECT_MS = 12_000; // from the answer to an open data channel
const PING_MS = 2_000;
const SILENT_MS = 7_000; // this long without an answer is a lost connection: three pings
const DISCONNECTED_MS = 2_500; // ICE often recovers by itself within this

export class Peer {
  /**
   * @param {Api} api
   * @param {RTCIceServer[]} iceServers
   * @param {PeerEvents} events
   */
  constructor(api, iceServers, events) {
    this.api = api;
    this.events = events;
    this.connection = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.channel = this.connection.createDataChannel("captions", { ordered: true });
    /** @type {RTCRtpSender | null} */
    this.sender = null;
    this.closed = new AbortController();
    this.live = false;
    this.heardAt = 0;
    /** @type {number | undefined} */
    this.pingTimer = undefined;
    /** @type {number | undefined} */
    this.disconnectedTimer = undefined;
  }

  /**
   * @param {MediaStreamTrack} track the microphone
   * @param {Record<string, unknown>} wishes languages, consent and session of the offer
   * @returns {Promise<Answer>} when captions and sound can travel
   */
  async connect(track, wishes) {
    const { connection } = this;
    const transceiver = connection.addTransceiver(track, { direction: "sendrecv" });
    this.sender = transceiver.sender;
    connection.addEventListener("track", (event) => this.events.onStream(new MediaStream([event.track])));
    this.channel.addEventListener("message", (event) => this.#receive(event.data));
    await connection.setLocalDescription(await connection.createOffer());
    await gathered(connection, GATHER_MS);
    if (this.closed.signal.aborted) throw new Failure("lost");
    const { sdp, type } = /** @type {RTCSessionDescription} */ (connection.localDescription);
    const answer = await this.api.offer({ sdp, type, ...wishes }, this.closed.signal);
    await connection.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
    await this.#opened();
    this.#watch();
    return answer;
  }

  /** @param {Record<string, unknown>} message @returns {boolean} whether it went out */
  send(message) {
    if (this.channel.readyState !== "open") return false;
    this.channel.send(JSON.stringify(message));
    return true;
  }

  /** Idempotent; no event comes after it. */
  close() {
    if (this.closed.signal.aborted) return;
    this.closed.abort();
    window.clearInterval(this.pingTimer);
    window.clearTimeout(this.disconnectedTimer);
    this.connection.close();
  }

  /** @param {unknown} data */
  #receive(data) {
    if (typeof data !== "string" || this.closed.signal.aborted) return;
    this.heardAt = performance.now();
    if (data.startsWith("pong ")) {
      this.events.onRoundTrip(this.heardAt - Number(data.slice(5)));
      return;
    }
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // not ours: other text on the channel means nothing to a page
    }
    if (typeof message === "object" && message !== null) this.events.onMessage(message);
  }

  /** @returns {Promise<void>} when the data channel is open; rejects when that takes too long */
  #opened() {
    const { channel, connection } = this;
    return new Promise((resolve, reject) => {
      const timer = window.setTimeout(() => reject(new Failure("no-route")), CONNECT_MS);
      const settle = (/** @type {() => void} */ outcome) => {
        window.clearTimeout(timer);
        outcome();
      };
      if (channel.readyState === "open") settle(resolve);
      channel.addEventListener("open", () => settle(resolve), { once: true });
      this.closed.signal.addEventListener("abort", () => settle(() => reject(new Failure("lost"))), { once: true });
      connection.addEventListener("connectionstatechange", () => {
        if (connection.connectionState === "failed") settle(() => reject(new Failure("no-route")));
      });
    });
  }

  /** From now on a loss is told through `onLost`. */
  #watch() {
    const { connection, channel } = this;
    const lose = () => {
      if (this.closed.signal.aborted) return;
      this.close();
      this.events.onLost(new Failure("lost"));
    };
    channel.addEventListener("close", lose);
    connection.addEventListener("connectionstatechange", () => {
      window.clearTimeout(this.disconnectedTimer);
      if (connection.connectionState === "failed" || connection.connectionState === "closed") lose();
      if (connection.connectionState === "disconnected") this.disconnectedTimer = window.setTimeout(lose, DISCONNECTED_MS);
    });
    this.heardAt = performance.now();
    let pingedAt = this.heardAt;
    const ping = () => {
      const now = performance.now();
      // A sleeping laptop or a throttled tab fires late: count only time in which we asked.
      if (now - pingedAt > 2 * PING_MS) this.heardAt = Math.max(this.heardAt, now - PING_MS);
      pingedAt = now;
      if (now - this.heardAt > SILENT_MS) lose();
      else if (channel.readyState === "open") channel.send(`ping ${now}`);
    };
    ping();
    this.pingTimer = window.setInterval(ping, PING_MS);
  }
}

/**
 * @param {RTCPeerConnection} connection
 * @param {number} limitMs
 * @returns {Promise<void>} when all candidates are known or the time is over
 */
function gathered(connection, limitMs) {
  if (connection.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const timer = window.setTimeout(resolve, limitMs);
    connection.addEventListener("icegatheringstatechange", () => {
      if (connection.iceGatheringState !== "complete") return;
      window.clearTimeout(timer);
      resolve();
    });
  });
}
