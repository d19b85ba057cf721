/** The server's HTTP interface. Every failure leaves as a `Failure`. */

import { retryAfterSeconds } from "../core/backoff.js";
import { Failure, httpFailure } from "../core/failures.js";

/** @typedef {import("../core/engines.js").Health} Health */
/** @typedef {import("../core/languages.js").Offer} LanguageOffer */

/**
 * @typedef {object} Answer
 * @property {string} sdp
 * @property {"answer"} type
 * @property {string} [sessionId]
 * @property {string} [sourceLang]
 * @property {string} [targetLang]
 * @property {string | null} [roomId]
 * @property {string} [speaker] how captions name this side
 */

const SHORT_MS = 4_000;
const OFFER_MS = 8_000;

export class Api {
  /**
   * @param {URL} page the page's own address: its `room` and `token` are handed on
   * @param {string} key an access key that was typed in, empty for none
   */
  constructor(page, key) {
    this.room = page.searchParams.get("room") ?? "";
    this.key = key || (page.searchParams.get("token") ?? "");
  }

  /** @param {AbortSignal} [signal] @returns {Promise<Health>} */
  async health(signal) {
    // A server that is draining or not ready may answer 503 with the same body.
    return await (await this.#fetch("/health", { signal }, SHORT_MS, [503])).json();
  }

  /** @returns {Promise<LanguageOffer>} */
  async languages() {
    return await (await this.#fetch("/languages", {}, SHORT_MS)).json();
  }

  /** @returns {Promise<RTCIceServer[]>} */
  async iceServers() {
    const body = await (await this.#fetch("/ice-servers", {}, SHORT_MS)).json();
    return body.iceServers ?? [];
  }

  /**
   * @param {Record<string, unknown>} offer the JSON of `POST /offer`
   * @param {AbortSignal} signal
   * @returns {Promise<Answer>}
   */
  async offer(offer, signal) {
    const path = this.room ? `/offer?${new URLSearchParams({ room: this.room })}` : "/offer";
    const body = JSON.stringify(offer);
    const headers = { "Content-Type": "application/json" };
    return await (await this.#fetch(path, { method: "POST", body, headers, signal }, OFFER_MS)).json();
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   * @param {number} limitMs
   * @param {number[]} [accepted] statuses that are no failure, besides 2xx
   * @returns {Promise<Response>}
   */
  async #fetch(path, init, limitMs, accepted = []) {
    const headers = new Headers(init.headers);
    if (this.key) headers.set("Authorization", `Bearer ${this.key}`);
    const limit = AbortSignal.timeout(limitMs);
    const signal = init.signal ? AbortSignal.any([init.signal, limit]) : limit;
    let response;
    try {
      response = await fetch(path, { cache: "no-store", ...init, headers, signal });
    } catch (error) {
      if (init.signal?.aborted) throw error; // the caller gave up: not a failure of the server
      throw new Failure("unreachable");
    }
    if (response.ok || accepted.includes(response.status)) return response;
    const retryAfterS = retryAfterSeconds(response.headers.get("Retry-After"), Date.now());
    throw httpFailure(response.status, await errorOf(response), retryAfterS);
  }
}

/**
 * @param {Response} response
 * @returns {Promise<{code?: string, message?: string}>} empty when the body is not the server's JSON (a proxy's page)
 */
async function errorOf(response) {
  try {
    const { error } = await response.json();
    return typeof error === "object" && error !== null ? error : { message: typeof error === "string" ? error : "" };
  } catch {
    return {};
  }
}
