/** Keeps the screen on during a call: a phone that goes to sleep takes its microphone along. */

export class Awake {
  constructor() {
    this.wanted = false;
    /** @type {WakeLockSentinel | null} */
    this.lock = null;
    // The browser lets go whenever the page is hidden.
    document.addEventListener("visibilitychange", () => void this.#renew());
  }

  /** @param {boolean} wanted */
  async keep(wanted) {
    this.wanted = wanted;
    await this.#renew();
  }

  async #renew() {
    if (!this.wanted) {
      const { lock } = this;
      this.lock = null;
      await lock?.release();
    } else if (!document.hidden && (this.lock === null || this.lock.released)) {
      try {
        this.lock = await navigator.wakeLock.request("screen");
      } catch {
        this.lock = null; // no such thing in this browser, or the battery is low
      }
    }
  }
}
