/** The state of the connection: the badge at the top and the figures in the settings. */

import { clock, milliseconds, percent } from "../core/format.js";
import { loss, quality, reading } from "../core/network.js";
import { byId, make, setText } from "./dom.js";

/** @typedef {import("../call/call.js").CallState} CallState */
/** @typedef {import("../core/network.js").Reading} Reading */

/** @type {Record<CallState, string>} */
const WORDS = {
  idle: "Not connected",
  microphone: "Opening the microphone",
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  waiting: "Waiting",
};

const WINDOW = 5; // readings, 2 s apart: the loss shown is that of the last 10 s

export class StatusView {
  constructor() {
    this.badge = byId("connection");
    /** @type {CallState} */
    this.state = "idle";
    /** @type {number | null} the moment of `Date.now()` at which the call began */
    this.startedAt = null;
    /** @type {number | null} */
    this.roundTripMs = null;
    /** @type {number | null} */
    this.lagMs = null;
    /** @type {Reading[]} */
    this.readings = [];
    this.show();
  }

  /** @param {CallState} state */
  enter(state) {
    this.state = state;
    if (state !== "live") {
      this.roundTripMs = null;
      this.readings = [];
    }
    this.show();
  }

  /** @param {number} roundTripMs measured by ping on the data channel */
  measured(roundTripMs) {
    // One slow answer says little: follow upwards slowly, downwards at once.
    const before = this.roundTripMs ?? roundTripMs;
    this.roundTripMs = roundTripMs < before ? roundTripMs : before + (roundTripMs - before) * 0.4;
  }

  /** @param {RTCStatsReport} report */
  read(report) {
    this.readings.push(reading(/** @type {any} */ (report).values(), performance.now()));
    if (this.readings.length > WINDOW) this.readings.shift();
  }

  show() {
    const live = this.state === "live";
    const latest = this.readings.at(-1);
    const first = this.readings[0];
    const lost = latest && first && latest !== first ? loss(first, latest) : { lossOut: null, lossIn: null };
    const roundTripMs = this.roundTripMs ?? latest?.roundTripMs ?? null;
    const grade = quality(roundTripMs, Math.max(lost.lossOut ?? 0, lost.lossIn ?? 0));
    const state = live ? (grade === "poor" ? "poor" : "live") : this.state === "idle" ? "idle" : "busy";
    this.badge.dataset.state = state;
    setText(byId("connection-text"), live && grade === "poor" ? "Weak connection" : WORDS[this.state]);
    const elapsed = byId("elapsed");
    elapsed.hidden = this.startedAt === null;
    if (this.startedAt !== null) setText(elapsed, clock(Date.now() - this.startedAt));
    const roundTrip = byId("round-trip");
    roundTrip.hidden = !live || roundTripMs === null;
    setText(roundTrip, milliseconds(roundTripMs));
    this.#list(WORDS[this.state], roundTripMs, lost, latest);
  }

  /**
   * @param {string} state
   * @param {number | null} roundTripMs
   * @param {{lossOut: number | null, lossIn: number | null}} lost
   * @param {Reading | undefined} latest
   */
  #list(state, roundTripMs, lost, latest) {
    const paths = new Map([["udp", "Direct (UDP)"], ["tcp", "Direct (TCP)"], ["relay", "Through a relay (TURN)"]]);
    /** @type {[string, string][]} */
    const figures = [
      ["State", state],
      ["Round trip", milliseconds(roundTripMs)],
      ["Packets lost, sending", percent(lost.lossOut)],
      ["Packets lost, receiving", percent(lost.lossIn)],
      ["Jitter", milliseconds(latest && latest.packetsReceived > 0 ? latest.jitterMs : null)],
      ["Way", paths.get(latest?.path ?? "") ?? "–"],
    ];
    if (this.lagMs !== null) figures.push(["Interpreter behind", milliseconds(this.lagMs)]);
    const place = byId("figures");
    if (place.childElementCount !== figures.length) {
      place.replaceChildren(...figures.map(([name]) => make("div", {}, [make("dt", { text: name }), make("dd")])));
    }
    figures.forEach(([, value], index) => setText(/** @type {Element} */ (place.children[index].lastElementChild), value));
  }
}
