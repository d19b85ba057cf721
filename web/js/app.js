/** The page: builds its parts and connects them. What each part does stands in its own module. */

import { Api } from "./call/api.js";
import { Call } from "./call/call.js";
import { Microphone } from "./call/microphone.js";
import { Voice } from "./call/voice.js";
import { Failure, failureWords, microphoneFailure } from "./core/failures.js";
import { transcriptFileName, transcriptText } from "./core/format.js";
import { HealthWatch } from "./health.js";
import { Conversation } from "./conversation.js";
import { loadPreferences, savePreferences, tab } from "./preferences.js";
import { bindAppearance } from "./view/appearance.js";
import { byId, setText } from "./view/dom.js";
import { EnginesView } from "./view/engines.js";
import { listenToKeys } from "./view/keyboard.js";
import { LanguagePickers } from "./view/language-pickers.js";
import { Notices } from "./view/notices.js";
import { Panel } from "./view/panel.js";
import { askConsent, askKey } from "./view/questions.js";
import { SoundView } from "./view/sound.js";
import { StatusView } from "./view/status.js";

/** @typedef {import("./call/call.js").CallState} CallState */

const STATS_MS = 2_000;
const preferences = loadPreferences();
const api = new Api(new URL(location.href), tab.get("key"));
const notices = new Notices(byId("notices"));
const status = new StatusView();
const engines = new EnginesView(notices);
const pickers = new LanguagePickers({ source: preferences.source, target: preferences.target }, (choice) => {
  Object.assign(preferences, choice);
  savePreferences(preferences);
  call.send({ type: "config", sourceLang: choice.source, targetLang: choice.target });
  showPath();
});
const conversation = new Conversation({
  onHeard: (language) => pickers.heard(language),
  onListening: () => showHint(),
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
const microphone = new Microphone(() => void microphoneWent(), () => void devicesChanged());
const sound = new SoundView(preferences, microphone, voice, {
  onMicrophone: () => void changeMicrophone(),
  onTalking: () => {
    if (call.state === "live" && call.muted) showHint("You are talking, but your microphone is muted.");
  },
});
const call = new Call(api, microphone, wishes, {
  onState: entered,
  onFailure: failed,
  onAnswer: answered,
  onMessage: received,
  onStream: (stream) => void voice.play(stream),
  onRoundTrip: (roundTripMs) => status.measured(roundTripMs),
});
const panel = new Panel((open) => void panelToggled(open));
const health = new HealthWatch(() => api, {
  onHealth: (now) => {
    notices.clear("server");
    engines.show(now);
    byId("consent-section").hidden = !(now.consentRequired && consent);
  },
  onChange: () => void fetchLanguages(),
  onUnreachable: () => {
    if (call.running) return; // the call says it itself
    notices.set("server", { level: "error", ...failureWords(new Failure("unreachable"), { host: location.host, live: false }) });
  },
});

let consent = false;
let starting = false;

function wishes() {
  const { source, target } = pickers.choice;
  return { sourceLang: source, ...(target ? { targetLang: target } : {}), ...(consent ? { consent: true } : {}) };
}

async function start() {
  if (call.running || starting) return;
  starting = true;
  try {
    for (const subject of ["call", "goodbye", "consent", "microphone"]) notices.clear(subject);
    const now = health.latest ?? (await health.ask());
    if (now?.consentRequired && !consent && !(await agree())) return;
    const [session, startedAt] = tab.get("session").split(" ");
    status.startedAt = session ? Number(startedAt) || null : null;
    await call.start(session ?? "");
  } finally {
    starting = false;
  }
}

/** @returns {Promise<boolean>} */
async function agree() {
  consent = await askConsent();
  byId("consent-section").hidden = !consent;
  if (consent) notices.clear("consent");
  else notices.set("consent", { level: "info", title: "Nothing was sent", text: "Without your consent there is no call. Press Start to be asked again.", closable: true });
  return consent;
}

function stop() {
  tab.set("session", "");
  call.stop();
}

/** Consent is taken back: the server is told, and the microphone stays shut until the user agrees again. */
function withdraw() {
  consent = false;
  byId("consent-section").hidden = true;
  call.send({ type: "consent", granted: false });
  if (call.running) setMuted(true);
  notices.set("consent", {
    level: "info",
    title: "You withdrew your consent",
    text: call.running ? "Nothing you say is heard any more. You still hear and read the others." : "You are asked again before the next call.",
    closable: true,
  });
}

/** @param {boolean} muted */
function setMuted(muted) {
  call.mute(muted);
  showMute();
  setText(byId("spoken-state"), muted ? "Microphone muted" : "Microphone on");
}

async function toggleMute() {
  if (!call.running) return;
  if (call.muted && health.latest?.consentRequired && !consent) {
    if (!(await agree())) return;
    call.send({ type: "consent", granted: true });
  }
  setMuted(!call.muted);
}

function showMute() {
  const button = /** @type {HTMLButtonElement} */ (byId("mute"));
  button.disabled = !call.running || call.state === "microphone";
  button.setAttribute("aria-pressed", String(call.muted));
  button.title = call.muted ? "Unmute (M)" : "Mute (M)";
  showHint();
}

/** @param {CallState} state */
function entered(state) {
  document.body.dataset.call = state;
  status.enter(state);
  setText(byId("start-text"), state === "idle" ? "Start" : state === "microphone" || state === "connecting" ? "Cancel" : "Stop");
  const loopback = /** @type {HTMLInputElement} */ (byId("loopback"));
  loopback.disabled = state !== "live";
  if (state === "connecting" && microphone.stream && !sound.metered) sound.showLevel();
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
  const words = { idle: "Call ended", microphone: "", connecting: "Connecting", live: "Connected", reconnecting: "Reconnecting", waiting: "Waiting" };
  setText(byId("spoken-state"), words[state]);
}

/** @param {Failure} failure @param {number | null} nextTryAt */
function failed(failure, nextTryAt) {
  if (nextTryAt === null) tab.set("session", "");
  const words = failureWords(failure, { host: location.host, live: call.wasLive });
  const actions = [];
  if (nextTryAt !== null) actions.push({ label: "Try now", run: () => call.retryNow() });
  if (failure.code === "unauthorized") actions.push({ label: "Enter the key", run: () => void enterKey() });
  notices.set("call", { level: nextTryAt === null ? "error" : "warning", ...words, actions, nextTryAt, closable: nextTryAt === null });
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
  const first = !conversation.running;
  status.startedAt ??= Date.now();
  tab.set("session", answer.sessionId ? `${answer.sessionId} ${status.startedAt}` : "");
  if (first) conversation.begin(new Date(status.startedAt));
  else if (!resumed) conversation.beginAgain(Date.now() - status.startedAt);
  conversation.own = answer.speaker ?? "";
  const room = answer.roomId || api.room;
  byId("room").hidden = !room;
  setText(byId("room"), room ? `Room ${room}` : "");
}

/** @param {Record<string, any>} message */
function received(message) {
  if (conversation.receive(message)) return;
  if (message.type === "stats" && typeof message.lag_ms === "number") status.lagMs = message.lag_ms;
  if (message.type === "status") stageStatus(message);
  if (message.type === "goodbye") goodbye(message);
  if (message.type !== "error") return;
  if (message.code === "CONSENT_REQUIRED") {
    setMuted(true);
    notices.set("consent", { level: "warning", title: "This server needs your consent", text: "It does not hear you yet.", actions: [{ label: "Answer", run: () => void toggleMute() }] });
  } else {
    notices.set("error", { level: "warning", title: String(message.message ?? "The server reports an error."), closable: true });
  }
}

/** @param {Record<string, any>} message */
function stageStatus({ stage, level, message }) {
  // What loads or starts again is told by the engines' states; a call begins with one such message an engine.
  if (level === "error") notices.set(`stage-${stage}`, { level: "error", title: String(message), closable: true });
  else notices.clear(`stage-${stage}`);
  if (level !== "info") void health.ask();
}

/** @param {Record<string, any>} message */
function goodbye({ message, retry_after_s: retryAfterS }) {
  if (typeof retryAfterS === "number") {
    void call.leave(new Failure("draining", { retryAfterS }));
  } else {
    stop();
    notices.set("goodbye", { level: "info", title: "The server ended the call", text: String(message ?? ""), closable: true });
  }
}

async function changeMicrophone() {
  if (!microphone.stream) return;
  microphone.close();
  try {
    await microphone.open();
    await call.replaceTrack();
    sound.showLevel();
    notices.clear("microphone");
  } catch (error) {
    sound.hideLevel();
    sayMicrophone(microphoneFailure(error));
  }
}

async function microphoneWent() {
  await changeMicrophone();
  if (microphone.track) {
    notices.set("microphone", { level: "info", title: "The microphone was unplugged", text: `Now in use: ${microphone.track.label || "another one"}.`, closable: true });
  } else if (call.running) {
    sayMicrophone(new Failure("mic-lost"));
  }
}

async function devicesChanged() {
  await sound.listDevices();
  if (call.running && call.state !== "microphone" && microphone.track?.readyState !== "live") {
    microphone.close();
    try {
      await microphone.open();
      await call.replaceTrack();
      sound.showLevel();
      notices.clear("microphone");
    } catch {
      // still none: the notice stays
    }
  }
}

/** @param {Failure} failure */
function sayMicrophone(failure) {
  notices.set("microphone", { level: "error", ...failureWords(failure, { host: location.host, live: call.wasLive }), closable: true });
}

/** @param {boolean} open */
async function panelToggled(open) {
  if (call.running) return;
  if (open) await sound.preview().catch(() => undefined);
  if (!panel.isOpen && !call.running) {
    sound.hideLevel();
    microphone.close();
  }
}

let hintUntil = 0;

/** @param {string} [passing] shown for some seconds */
function showHint(passing) {
  if (passing) hintUntil = Date.now() + 4_000;
  else if (Date.now() < hintUntil && call.state === "live") return;
  setText(byId("hint"), passing ?? standingHint());
}

function standingHint() {
  if (call.state === "microphone") return "Allow the microphone when the browser asks.";
  if (call.state === "connecting") return "Connecting…";
  if (call.state !== "live") return "";
  if (call.muted) return "You are muted. Press M to speak.";
  if (call.loopback) return "You hear your own microphone.";
  if (conversation.listening) return "Listening…";
  return conversation.spoken ? "" : "Speak now.";
}

function showPath() {
  const { source, target } = pickers.choice;
  const from = source === "auto" ? "any language" : pickers.nameOf(source);
  setText(byId("welcome-text"), target && target !== source
    ? `Press Start and talk in ${from}. Your words appear here while you speak, and a voice says them in ${pickers.nameOf(target)} a moment later.`
    : `Press Start and talk${source === "auto" ? "" : ` in ${from}`}. Your words appear here while you speak.`);
  setText(byId("welcome-path"), pickers.path);
  setText(byId("pair-path"), pickers.path);
}

function download() {
  const { entries, calls } = conversation.transcript;
  const text = transcriptText(entries, { calls, room: api.room, nameOf: (code) => pickers.nameOf(code) });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  link.download = transcriptFileName(new Date());
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const startOrStop = () => (call.running ? stop() : void start());
byId("start").addEventListener("click", startOrStop);
byId("mute").addEventListener("click", () => void toggleMute());
byId("withdraw").addEventListener("click", withdraw);
byId("download").addEventListener("click", download);
byId("clear").addEventListener("click", () => conversation.clear());
byId("loopback").addEventListener("change", (event) => {
  call.hearMyself(/** @type {HTMLInputElement} */ (event.target).checked);
  showHint();
});
byId("test-microphone").addEventListener("click", () => sound.test().catch((error) => sayMicrophone(microphoneFailure(error))));
listenToKeys(() => preferences.shortcuts, {
  mute: () => void toggleMute(),
  startOrStop,
  newest: () => conversation.view.toNewest(),
  help: () => panel.open("h-keys"),
});
window.addEventListener("online", () => call.retryNow());
window.setInterval(() => status.show(), 1_000);
window.setInterval(() => showHint(), 1_000);
window.setInterval(() => void call.stats().then((report) => report && status.read(report)), STATS_MS);

bindAppearance(preferences);
showPath();
if (!window.isSecureContext) {
  notices.set("call", { level: "error", ...failureWords(new Failure("insecure"), { host: location.host, live: false }) });
}
void health.ask();
