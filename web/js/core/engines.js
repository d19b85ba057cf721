/** What `/health` says about the engines, in words for people. Pure. */

/**
 * @typedef {object} Engine
 * @property {string} stage `recognize`, `translate`, `speak`, `denoise` or `turn`
 * @property {string} name
 * @property {string} model
 * @property {"ready" | "loading" | "restarting" | "failed" | "missing"} state
 * @property {string} reason
 * @property {string | null} [fetch]
 * @property {string | null} [offMachine]
 */

/**
 * @typedef {object} Health
 * @property {boolean} ready whether a new call would be taken and everything is loaded
 * @property {boolean} draining
 * @property {string} version
 * @property {boolean} consentRequired
 * @property {{active: number, max: number}} [sessions] this and the next two: only to those who may make calls
 * @property {Engine[]} [engines]
 * @property {{level: "info" | "warning" | "error", text: string}[]} [messages]
 */

/** @type {Record<string, {title: string, sends: string, task: string}>} */
const STAGES = {
  denoise: { title: "Cleaning the sound", sends: "your voice", task: "noise reduction" },
  recognize: { title: "Recognizing speech", sends: "your voice", task: "speech recognition" },
  turn: { title: "Hearing the end of a sentence", sends: "your voice", task: "sentence ends" },
  translate: { title: "Translating", sends: "your words", task: "translation" },
  speak: { title: "Speaking", sends: "the translation", task: "the voice" },
};

/** @type {Record<Engine["state"], string>} */
const STATES = {
  ready: "Ready", loading: "Loading", restarting: "Restarting", failed: "Not working", missing: "Not installed",
};

/** @param {string} stage */
export const stageTitle = (stage) => STAGES[stage]?.title ?? stage;

/** @param {string} stage */
export const stageTask = (stage) => STAGES[stage]?.task ?? stage;

/** @param {Engine["state"]} state */
export const stateWord = (state) => STATES[state] ?? state;

/**
 * @param {readonly Engine[]} engines
 * @returns {Engine[]} in the order in which sound passes them
 */
export function inOrder(engines) {
  const order = Object.keys(STAGES);
  return [...engines].sort((a, b) => order.indexOf(a.stage) - order.indexOf(b.stage));
}

/**
 * The server's messages that are not already told by the state of an engine.
 *
 * @param {Health} health
 * @returns {{level: "info" | "warning" | "error", text: string}[]}
 */
export function otherMessages(health) {
  const told = (health.engines ?? []).filter(({ state, reason }) => reason && (state === "missing" || state === "failed"));
  return (health.messages ?? []).filter(({ text }) => !told.some(({ reason }) => text.includes(reason)));
}

/**
 * Who gets something of the conversation besides this server.
 *
 * @param {readonly Engine[]} engines
 * @returns {{away: boolean, short: string, long: string}}
 */
export function privacyWords(engines) {
  /** @type {Map<string, Set<string>>} */
  const receivers = new Map();
  for (const engine of engines) {
    if (!engine.offMachine || engine.state === "missing") continue;
    const what = receivers.get(engine.offMachine) ?? new Set();
    receivers.set(engine.offMachine, what.add(STAGES[engine.stage]?.sends ?? "part of the conversation"));
  }
  if (receivers.size === 0) {
    return { away: false, short: "Stays on this server", long: "Everything runs on this server. Nothing you say is sent to anybody else." };
  }
  const names = [...receivers.keys()];
  const parts = [...receivers].map(([who, what]) => `${list([...what])} to ${who}`);
  return { away: true, short: `Sends to ${list(names)}`, long: `This server sends ${list(parts)}.` };
}

/**
 * What is not ready yet, as one sentence.
 *
 * @param {readonly Engine[]} engines
 * @returns {string} empty when nothing loads
 */
export function loadingWords(engines) {
  const named = (/** @type {Engine["state"]} */ state) =>
    inOrder(engines).filter((engine) => engine.state === state).map(({ stage, name }) => `${stageTask(stage)}${name ? ` (${name})` : ""}`);
  const loading = named("loading");
  const restarting = named("restarting");
  const sentences = [];
  if (loading.length > 0) sentences.push(`${capital(list(loading))} ${loading.length === 1 ? "is" : "are"} loading.`);
  if (restarting.length > 0) sentences.push(`${capital(list(restarting))} stopped and ${restarting.length === 1 ? "is" : "are"} starting again.`);
  return sentences.join(" ");
}

/** @param {readonly string[]} words */
export function list(words) {
  if (words.length < 2) return words[0] ?? "";
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** @param {string} text */
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
