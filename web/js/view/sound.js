/** Sound on the page: the devices, the level meter, the interpreter's volume. */

import { LevelMeter } from "../call/level.js";
import { devices, microphoneAllowed } from "../call/microphone.js";
import { savePreferences } from "../preferences.js";
import { byId, fillSelect } from "./dom.js";

/** @typedef {import("../preferences.js").Preferences} Preferences */
/** @typedef {import("../call/microphone.js").Microphone} Microphone */
/** @typedef {import("../call/voice.js").Voice} Voice */

const TALKING = 0.55; // of the meter: about -27 dBFS
const TALKING_MS = 400;

export class SoundView {
  /**
   * @param {Preferences} preferences
   * @param {Microphone} microphone
   * @param {Voice} voice
   * @param {{onMicrophone: () => void, onTalking: () => void}} events another microphone was chosen; somebody talks
   */
  constructor(preferences, microphone, voice, events) {
    this.preferences = preferences;
    this.microphone = microphone;
    this.voice = voice;
    this.events = events;
    this.ring = /** @type {HTMLElement} */ (byId("mute").querySelector(".ring"));
    this.wave = /** @type {HTMLElement} */ (document.querySelector(".wave"));
    this.bar = /** @type {HTMLMeterElement} */ (byId("level"));
    this.loudSince = 0;
    /** @type {MediaStreamTrack | null} a copy for the meter: it goes on while the one in the call is muted */
    this.metered = null;
    this.meter = new LevelMeter((level) => this.#level(level));
    microphone.deviceId = preferences.microphone;
    this.#bindDevices();
    this.#bindVolume();
    void this.listDevices();
  }

  async listDevices() {
    const inputs = await devices("audioinput");
    const outputs = this.voice.canChooseSpeaker ? await devices("audiooutput") : [];
    const options = (/** @type {import("../call/microphone.js").Device[]} */ found) => [
      { value: "", label: "System default" },
      ...found.filter(({ id }) => id !== "default").map(({ id, label }) => ({ value: id, label })),
    ];
    fillSelect(/** @type {HTMLSelectElement} */ (byId("microphone")), options(inputs), this.preferences.microphone);
    fillSelect(/** @type {HTMLSelectElement} */ (byId("speaker")), options(outputs), this.preferences.speaker);
    byId("speaker-row").hidden = outputs.length === 0;
  }

  /** The microphone is open: shows its level. */
  showLevel() {
    const { stream, track } = this.microphone;
    if (!stream || !track) return;
    this.hideLevel();
    this.metered = track.clone();
    this.metered.enabled = true;
    this.meter.start(new MediaStream([this.metered]));
    byId("test-row").hidden = true;
    void this.listDevices(); // names are known from now on
  }

  hideLevel() {
    this.meter.stop();
    this.metered?.stop();
    this.metered = null;
    byId("test-row").hidden = false;
  }

  /** Shows the level before a call, without a question to the user. */
  async preview() {
    if (await microphoneAllowed()) await this.test();
  }

  async test() {
    await this.microphone.open();
    this.showLevel();
  }

  #bindDevices() {
    const microphone = /** @type {HTMLSelectElement} */ (byId("microphone"));
    const speaker = /** @type {HTMLSelectElement} */ (byId("speaker"));
    microphone.addEventListener("change", () => {
      this.preferences.microphone = microphone.value;
      this.microphone.deviceId = microphone.value;
      savePreferences(this.preferences);
      this.events.onMicrophone();
    });
    speaker.addEventListener("change", () => {
      this.preferences.speaker = speaker.value;
      savePreferences(this.preferences);
      void this.voice.choose(speaker.value);
    });
    if (this.preferences.speaker) void this.voice.choose(this.preferences.speaker);
  }

  #bindVolume() {
    const slider = /** @type {HTMLInputElement} */ (byId("volume"));
    const silence = byId("silence");
    let before = this.preferences.volume || 1;
    const apply = () => {
      const { volume } = this.preferences;
      this.voice.volume = volume;
      slider.value = String(Math.round(volume * 100));
      slider.setAttribute("aria-valuetext", `${slider.value} %`);
      silence.setAttribute("aria-pressed", String(volume === 0));
    };
    slider.addEventListener("input", () => {
      this.preferences.volume = Number(slider.value) / 100;
      if (this.preferences.volume > 0) before = this.preferences.volume;
      apply();
    });
    slider.addEventListener("change", () => savePreferences(this.preferences));
    silence.addEventListener("click", () => {
      this.preferences.volume = this.preferences.volume > 0 ? 0 : before;
      savePreferences(this.preferences);
      apply();
    });
    apply();
  }

  /** @param {number} level 0 to 1 */
  #level(level) {
    const value = level.toFixed(2);
    this.ring.style.setProperty("--level", value);
    this.wave.style.setProperty("--level", value);
    this.bar.value = level;
    const now = performance.now();
    if (level < TALKING) this.loudSince = now;
    else if (now - this.loudSince > TALKING_MS) this.events.onTalking();
  }
}
