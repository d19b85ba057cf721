/** The page: builds its parts and connects them. What each part does stands in its own module. */

import { Api } from "./call/api.js";
import { Awake } from "./call/awake.js";
import { Call } from "./call/call.js";
import { Microphone } from "./call/microphone.js";
import { Voice } from "./call/voice.js";
import { Consent } from "./consent.js";
import { Conversation } from "./conversation.js";
import { Failure, failureWords } from "./core/failures.js";
import { transcriptFileName, transcriptText } from "./core/format.js";
import { Devices } from "./devices.js";
import { HealthWatch } from "./health.js";
import { loadPreferences, savePreferences, tab } from "./preferences.js";
import { ServerMessages } from "./server-messages.js";
import { bindAppearance } from "./view/appearance.js";
import { byId, setText } from "./view/dom.js";
import { saveText } from "./view/download.js";
import { EnginesView } from "./view/engines.js";
import { Hint } from "./view/hint.js";
import { listenToKeys } from "./view/keyboard.js";
import { LanguagePickers } from "./view/language-pickers.js";
import { Notices } from "./view/notices.js";
import { Panel } from "./view/panel.js";
import { askKey } from "./view/questions.js";
import { SoundView } from "./view/sound.js";
import { StatusView } from "./view/status.js";

/** @typedef {import("./call/call.js").CallState} CallState */

const STATS_MS = 2_000;
/** @type {Record<CallState, string>} */
const SAID = { idle: "Call ended", microphone: "", connecting: "Connecting", live: "Connected", reconnecting: "Reconnecting", waiting: "Waiting" };

const preferences = loadPreferences();
const api = new Api(new URL(location.href), tab.get("key"));
const notices = new Notices(byId("notices"));
const consent = new Consent(notices);
const status = new StatusView();
const engines = new EnginesView(notices);
const awake = new Awake();
const pickers = new LanguagePickers({ source: preferences.source, target: preferences.target }, (choice) => {
  Object.assign(preferences, choice);
  savePreferences(preferences);
  call.send({ type: "config", sourceLang: choice.source, targetLang: choice.target });
  showPath();
});
const conversation = new Conversation({
  onHeard: (language) => pickers.heard(language),
  onListening: () => hint.show(),
  onChanged: (finals) => {
    /** @type {HTMLButtonElement} */ (byId("download")).disabled = finals === 0;
    /** @type {HTMLButtonElement} */ (byId("clear")).disabled = finals === 0;
  },
});
const voice = new Voice(/** @type {HTMLAudioElement} */ (byId("voice")), (blocked) => {
  if (!blocked) return notices.clear("autoplay");
  notices.set("autoplay", {
    level: "warning",
    title: "The browser holds the sound back",
    text: "It plays only after a press of a button.",
    actions: [{ label: "Turn the sound on", run: () => void voice.resume() }],
  });
});
const microphone = new Microphone(() => void devices.lost(), () => void devices.changed());
const sound = new SoundView(preferences, microphone, voice, {
  onMicrophone: () => void devices.chosen(),
  onTalking: () => {
    if (call.state === "live" && call.muted) hint.pass("You are talking, but your microphone is muted.");
  },
});
const call = new Call(api, microphone, wishes, {
  onState: entered,
  onFailure: failed,
  onAnswer: answered,
  onMessage: (message) => {
    if (!conversation.receive(message)) serverMessages.receive(message);
  },
  onStream: (stream) => void voice.play(stream),
  onRoundTrip: (roundTripMs) => status.measured(roundTripMs),
});
const devices = new Devices(microphone, sound, call, notices);
const hint = new Hint(call, conversation);
const panel = new Panel(() => void devices.shown(() => panel.isOpen));
const serverMessages = new ServerMessages(notices, {
  onEngines: () => void health.ask(),
  onLag: (lagMs) => {
    status.lagMs = lagMs;
  },
  onConsentMissing: consentMissing,
  onLeave: (failure) => call.leave(failure),
  onEnd: stop,
});
const health = new HealthWatch(api, {
  onHealth: (now) => {
    notices.clear("server");
    engines.show(now);
    consent.require(now.consentRequired);
  },
  onChange: () => void fetchLanguages(),
  onUnreachable: () => {
    if (!call.running) sayFailure("server", new Failure("unreachable")); // a call says it itself
  },
});
let starting = false;

function wishes() {
  const { source, target } = pickers.choice;
  return { sourceLang: source, ...(target ? { targetLang: target } : {}), ...(consent.given ? { consent: true } : {}) };
}

async function start() {
  if (call.running || starting) return;
  starting = true;
  try {
    for (const subject of ["call", "goodbye", "consent", "microphone", "resume"]) notices.clear(subject);
    if (!health.latest) await health.ask();
    if (!(await consent.settled())) return;
    const [session, startedAt] = tab.get("session").split(" ");
    status.startedAt = session ? Number(startedAt) || null : null;
    await call.start(session ?? "");
  } finally {
    starting = false;
  }
}

function stop() {
  tab.set("session", "");
  call.stop();
}

/** The server is told, and the microphone stays shut until the user agrees again. */
function withdraw() {
  call.send({ type: "consent", granted: false });
  if (call.running) setMuted(true);
  consent.withdraw(call.running);
}

function consentMissing() {
  consent.given = false;
  consent.require(true);
  setMuted(true);
  notices.set("consent", {
    level: "warning",
    title: "This server needs your consent",
    text: "It does not hear you yet.",
    actions: [{ label: "Answer", run: () => void toggleMute() }],
  });
}

async function toggleMute() {
  if (!call.running || call.state === "microphone") return;
  if (call.muted && consent.required && !consent.given) {
    if (!(await consent.settled())) return;
    call.send({ type: "consent", granted: true });
  }
  setMuted(!call.muted);
}

/** @param {boolean} muted */
function setMuted(muted) {
  call.mute(muted);
  showMute();
  setText(byId("spoken-state"), muted ? "Microphone muted" : "Microphone on");
}

function showMute() {
  const button = /** @type {HTMLButtonElement} */ (byId("mute"));
  button.disabled = !call.running || call.state === "microphone";
  button.setAttribute("aria-pressed", String(call.muted));
  button.title = call.muted ? "Unmute (M)" : "Mute (M)";
  hint.renew();
}

/** @param {CallState} state */
function entered(state) {
  document.body.dataset.call = state;
  status.enter(state);
  setText(byId("start-text"), state === "idle" ? "Start" : state === "microphone" || state === "connecting" ? "Cancel" : "Stop");
  setText(byId("spoken-state"), SAID[state]);
  const loopback = /** @type {HTMLInputElement} */ (byId("loopback"));
  loopback.disabled = state !== "live";
  void awake.keep(state !== "idle");
  if (state === "connecting" && !sound.metered) sound.showLevel();
  if (state === "live") for (const subject of ["call", "goodbye", "server"]) notices.clear(subject);
  if (state === "idle") {
    loopback.checked = false;
    status.startedAt = null;
    voice.stop();
    sound.hideLevel();
    conversation.end();
    for (const subject of ["call", "microphone", "autoplay"]) notices.clear(subject);
  }
  status.show();
  showMute();
}

/** @param {Failure} failure @param {number | null} nextTryAt */
function failed(failure, nextTryAt) {
  if (nextTryAt === null) tab.set("session", "");
  const actions = [];
  if (nextTryAt !== null) actions.push({ label: "Try now", run: () => call.retryNow() });
  if (failure.code === "unauthorized") actions.push({ label: "Enter the key", run: () => void enterKey() });
  sayFailure("call", failure, { level: nextTryAt === null ? "error" : "warning", actions, nextTryAt, closable: nextTryAt === null });
}

/**
 * @param {string} subject
 * @param {Failure} failure
 * @param {Partial<import("./view/notices.js").Notice>} [more]
 */
function sayFailure(subject, failure, more = {}) {
  const words = failureWords(failure, { host: location.host, live: call.wasLive, key: api.key !== "" });
  notices.set(subject, { level: "error", ...words, ...more });
}

async function fetchLanguages() {
  try {
    pickers.update(await api.languages());
    showPath();
  } catch (error) {
    // Anything else: the next answer of the server brings another try.
    if (error instanceof Failure && error.code === "unauthorized" && !call.running) failed(error, null);
  }
}

async function enterKey() {
  const key = await askKey();
  if (!key) return;
  api.key = key;
  tab.set("key", key);
  notices.clear("call");
  health.forget();
  void health.ask();
}

/** @param {import("./call/api.js").Answer} answer @param {boolean} resumed */
function answered(answer, resumed) {
  if (!resumed && !conversation.running) status.startedAt = null; // what a reload wanted to go on with is gone
  status.startedAt ??= Date.now();
  tab.set("session", answer.sessionId ? `${answer.sessionId} ${status.startedAt}` : "");
  if (!conversation.running) conversation.begin(new Date(status.startedAt));
  else if (!resumed) conversation.beginAgain(Date.now() - status.startedAt);
  conversation.own = answer.speaker ?? "";
  const room = answer.roomId || api.room;
  byId("room").hidden = !room;
  setText(byId("room"), room ? `Room ${room}` : "");
}

function showPath() {
  const { source, target } = pickers.choice;
  const from = source === "auto" ? "any language" : pickers.nameOf(source);
  setText(byId("welcome-text"), target && target !== source
    ? `Press Start and talk in ${from}. Your words appear here while you speak, and a voice says them in ${pickers.nameOf(target)} a moment later.`
    : `Press Start and talk in ${from}. Your words appear here while you speak.`);
  setText(byId("welcome-path"), pickers.path);
  setText(byId("pair-path"), pickers.path);
}

function download() {
  const { entries, calls } = conversation.transcript;
  conversation.saved = true;
  saveText(transcriptText(entries, { calls, room: api.room, nameOf: (code) => pickers.nameOf(code) }), transcriptFileName(new Date()));
}

const startOrStop = () => (call.running ? stop() : void start());
byId("start").addEventListener("click", startOrStop);
byId("mute").addEventListener("click", () => void toggleMute());
byId("withdraw").addEventListener("click", withdraw);
byId("download").addEventListener("click", download);
byId("clear").addEventListener("click", () => conversation.clear());
byId("test-microphone").addEventListener("click", () => void devices.test());
byId("loopback").addEventListener("change", (event) => {
  call.hearMyself(/** @type {HTMLInputElement} */ (event.target).checked);
  hint.show();
});
listenToKeys(() => preferences.shortcuts, {
  mute: () => void toggleMute(),
  startOrStop,
  newest: () => conversation.view.toNewest(),
  help: () => panel.open("h-keys"),
});
window.addEventListener("online", () => call.retryNow());
window.addEventListener("beforeunload", (event) => {
  if (call.running && conversation.unsaved) event.preventDefault(); // the browser asks whether to leave
});
window.setInterval(() => status.show(), 1_000);
window.setInterval(() => hint.show(), 1_000);
window.setInterval(() => void call.stats().then((report) => report && status.read(report)), STATS_MS);

bindAppearance(preferences);
showPath();
if (!window.isSecureContext) {
  sayFailure("call", new Failure("insecure"));
} else if (tab.get("session")) {
  const actions = [{ label: "Go on", run: () => void start() }];
  notices.set("resume", { level: "info", title: "You were in a call", text: "The page was loaded anew.", actions, closable: true });
}
void health.ask();
