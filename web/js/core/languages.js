/** Which languages can be chosen, by what the server says works on it. Pure. */

/** @typedef {{code: string, name: string}} Language */
/** @typedef {{source: string, target: string, by: string, steps: number, voice: string | null, note: string}} Pair */
/** @typedef {{sources: Language[], targets: Language[], pairs: Pair[], defaults: {source: string, target: string}}} Offer */
/** @typedef {{source: string, target: string}} Choice */

export const DETECT = "auto";

/** @type {Offer} what the page shows until the server has answered */
export const NOTHING_YET = { sources: [], targets: [], pairs: [], defaults: { source: DETECT, target: "" } };

/** Tried in this order when a language must be chosen for somebody. */
const USUAL = ["en", "es", "fr", "pt", "de", "it", "zh", "ar", "hi"];

const RIGHT_TO_LEFT = new Set(["ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"]);

/**
 * @param {string} code a language code, with or without region
 * @returns {"rtl" | "auto"} a value for `dir`: what is not known to be right-to-left is decided by its letters
 */
export function direction(code) {
  return RIGHT_TO_LEFT.has(code.toLowerCase().split("-")[0]) ? "rtl" : "auto";
}

/**
 * @param {Offer} offer
 * @param {string} code
 * @returns {string}
 */
export function languageName(offer, code) {
  const known = offer.sources.find((one) => one.code === code) ?? offer.targets.find((one) => one.code === code);
  if (known) return known.name;
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code) ?? code;
  } catch {
    return code; // RangeError: not the shape of a language code
  }
}

/**
 * @param {Offer} offer
 * @param {string} source a code or `auto`
 * @returns {Language[]} the languages in which this speaker can be heard or, with the same language, read
 */
export function targetsFor(offer, source) {
  const reached = new Set(offer.pairs.filter((pair) => source === DETECT || pair.source === source).map((pair) => pair.target));
  const listed = offer.targets.filter((target) => reached.has(target.code) || target.code === source);
  const own = offer.sources.find((one) => one.code === source);
  return own && !listed.some((target) => target.code === source) ? [...listed, own] : listed;
}

/**
 * The choice that comes closest to the wish and works here.
 *
 * @param {Offer} offer
 * @param {Choice} wish
 * @returns {Choice}
 */
export function settle(offer, wish) {
  if (offer.sources.length === 0 && offer.targets.length === 0) return wish;
  const source = wish.source === DETECT || offer.sources.some((one) => one.code === wish.source) ? wish.source : offer.defaults.source;
  const targets = targetsFor(offer, source);
  const others = targets.map(({ code }) => code).filter((code) => code !== source);
  if (targets.some(({ code }) => code === wish.target)) return { source, target: wish.target };
  const target = [offer.defaults.target, ...USUAL].find((code) => others.includes(code)) ?? others[0] ?? targets[0]?.code;
  return { source, target: target ?? "" };
}

/**
 * @param {Offer} offer
 * @param {Choice} choice
 * @param {string} detected the language last heard, or empty
 * @returns {Choice | null} the two languages exchanged; null when that does not work here
 */
export function swapped(offer, choice, detected) {
  const spoken = choice.source === DETECT ? detected : choice.source;
  if (!spoken || spoken === choice.target) return null;
  if (!offer.pairs.some((pair) => pair.source === choice.target && pair.target === spoken)) return null;
  return { source: choice.target, target: spoken };
}

/**
 * @param {Offer} offer
 * @param {Choice} choice
 * @returns {string} by what this choice is translated and spoken, in one sentence; empty while unknown
 */
export function pathWords(offer, choice) {
  if (choice.source === choice.target) return "Captions only: both languages are the same.";
  if (choice.source === DETECT) return "";
  const pair = offer.pairs.find((one) => one.source === choice.source && one.target === choice.target);
  if (!pair) return "";
  const through = pair.steps > 1 ? ` in ${pair.steps} steps` : "";
  return `Translated by ${pair.by}${through}, ${pair.voice ? `spoken by ${pair.voice}` : "read only: there is no voice for it here"}.`;
}
