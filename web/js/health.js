/** Asks the server how it is: often while something loads, seldom later, never while nobody looks. */

/** @typedef {import("./call/api.js").Api} Api */
/** @typedef {import("./core/engines.js").Health} Health */

const SOON_MS = 1_500;
const LATER_MS = 15_000;

export class HealthWatch {
  /**
   * @param {Api} api
   * @param {{onHealth: (health: Health) => void, onChange: () => void, onUnreachable: () => void}} events `onChange`: engines
   *   came or went, so other languages may work
   */
  constructor(api, events) {
    this.api = api;
    this.events = events;
    /** @type {Health | null} */
    this.latest = null;
    this.engines = "";
    /** @type {number | undefined} */
    this.timer = undefined;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) void this.ask();
    });
  }

  /** Whatever is known may be wrong from now on. */
  forget() {
    this.engines = "";
  }

  /** @returns {Promise<Health | null>} what the server says now; null when it cannot be reached */
  async ask() {
    window.clearTimeout(this.timer);
    let health = null;
    try {
      health = await this.api.health();
      this.latest = health;
      this.events.onHealth(health);
      const engines = JSON.stringify((health.engines ?? []).map(({ stage, name, model, state }) => [stage, name, model, state]));
      if (engines !== this.engines) this.events.onChange();
      this.engines = engines;
    } catch {
      this.engines = ""; // whatever answers next may be another server
      this.events.onUnreachable();
    }
    window.clearTimeout(this.timer);
    const busy = health === null || !health.ready || (health.engines ?? []).some(({ state }) => state === "loading" || state === "restarting");
    if (!document.hidden) this.timer = window.setTimeout(() => void this.ask(), busy ? SOON_MS : LATER_MS);
    return health;
  }
}
