/** When to try again after a lost or refused connection. Pure: the caller brings the randomness and the timer. */

const FIRST_MS = 300;
const LIMIT_MS = 10_000;
const SPREAD = 0.25; // every wait is up to this share longer, so that many pages do not come back in one moment

/**
 * @param {number} attempt 0 for the first try after the loss
 * @param {number} random a number in [0, 1)
 * @returns {number} milliseconds to wait before this try
 */
export function backoffMs(attempt, random) {
  const base = Math.min(LIMIT_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(base * (1 + SPREAD * random));
}

/**
 * `Retry-After` of RFC 9110, section 10.2.3: seconds or an HTTP date.
 *
 * @param {string | null} value the header as it came
 * @param {number} nowMs the time now, Unix milliseconds
 * @returns {number | null} whole seconds to wait, at least 1 and at most 300; null when there is nothing usable
 */
export function retryAfterSeconds(value, nowMs) {
  if (value === null || value.trim() === "") return null;
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) : (Date.parse(value) - nowMs) / 1000;
  if (!Number.isFinite(seconds)) return null;
  return Math.min(300, Math.max(1, Math.ceil(seconds)));
}
