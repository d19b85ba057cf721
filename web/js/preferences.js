/** What this browser remembers between visits, and what this tab remembers between reloads. Nothing that was said. */

const KEY = "interpreter";

/**
 * @typedef {object} Preferences
 * @property {string} microphone device id, empty for the system's choice
 * @property {string} speaker device id, empty for the system's choice
 * @property {string} source
 * @property {string} target
 * @property {number} volume 0 to 1
 * @property {"s" | "m" | "l" | "xl"} textSize
 * @property {boolean} showOriginal
 * @property {boolean} shortcuts whether single letters do something
 */

/** @type {Preferences} */
const DEFAULTS = {
  microphone: "", speaker: "", source: "", target: "", volume: 1, textSize: "m", showOriginal: true, shortcuts: true,
};

/** @returns {Preferences} */
export function loadPreferences() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    const known = Object.entries(DEFAULTS).filter(([name, value]) => typeof stored[name] === typeof value);
    return { ...DEFAULTS, ...Object.fromEntries(known.map(([name]) => [name, stored[name]])) };
  } catch {
    return { ...DEFAULTS }; // storage is off (private mode) or holds something foreign
  }
}

/** @param {Preferences} preferences */
export function savePreferences(preferences) {
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch {
    // storage is off or full: the choice holds for this visit
  }
}

/** What must survive a reload of this tab: the call to resume and the key typed in. */
export const tab = {
  /** @param {"session" | "key" | "consent"} name @returns {string} */
  get(name) {
    try {
      return sessionStorage.getItem(`${KEY}.${name}`) ?? "";
    } catch {
      return "";
    }
  },
  /** @param {"session" | "key" | "consent"} name @param {string} value empty to forget */
  set(name, value) {
    try {
      if (value) sessionStorage.setItem(`${KEY}.${name}`, value);
      else sessionStorage.removeItem(`${KEY}.${name}`);
    } catch {
      // storage is off: nothing survives the reload
    }
  },
};
