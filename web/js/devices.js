/** What becomes of the microphone when it is changed, unplugged or comes back, before and during a call. */

import { Failure, failureWords, microphoneFailure } from "./core/failures.js";

/** @typedef {import("./call/call.js").Call} Call */
/** @typedef {import("./call/microphone.js").Microphone} Microphone */
/** @typedef {import("./view/notices.js").Notices} Notices */
/** @typedef {import("./view/sound.js").SoundView} SoundView */

export class Devices {
  /**
   * @param {Microphone} microphone
   * @param {SoundView} sound
   * @param {Call} call
   * @param {Notices} notices
   */
  constructor(microphone, sound, call, notices) {
    this.microphone = microphone;
    this.sound = sound;
    this.call = call;
    this.notices = notices;
    /** Whether the settings, and the microphone's level in them, are on show. */
    this.isShown = () => false;
  }

  /** The user chose another microphone. */
  async chosen() {
    if (this.microphone.stream) await this.#open();
  }

  /** The microphone in use went away: another one takes its place if there is one. */
  async lost() {
    await this.#open();
    const { track } = this.microphone;
    if (track) {
      const text = `Now in use: ${track.label || "another one"}.`;
      this.notices.set("microphone", { level: "info", title: "The microphone was unplugged", text, closable: true });
    } else if (this.call.running) {
      this.#say(new Failure("mic-lost"));
    }
  }

  /** Some device came or went. */
  async changed() {
    await this.sound.listDevices();
    const calling = this.call.running && this.call.state !== "microphone";
    if (calling && this.microphone.track?.readyState !== "live") await this.#open();
  }

  /** The user wants to see whether it hears. */
  async test() {
    try {
      await this.sound.test();
      this.#closeUnlessWanted();
    } catch (error) {
      this.#say(microphoneFailure(error));
    }
  }

  /**
   * The settings were opened or closed: outside a call the microphone is open only while its level is on show.
   *
   * @param {() => boolean} open
   */
  async shown(open) {
    this.isShown = open;
    if (this.call.running) return;
    if (open()) await this.sound.preview().catch(() => undefined); // without a question, or not at all
    this.#closeUnlessWanted();
  }

  /** Also called when it has just been opened, which takes time: the settings may have been closed meanwhile. */
  #closeUnlessWanted() {
    if (this.isShown() || this.call.running) return;
    this.sound.hideLevel();
    this.microphone.close();
  }

  async #open() {
    this.microphone.close();
    try {
      await this.microphone.open();
      await this.call.replaceTrack();
      this.sound.showLevel();
      this.notices.clear("microphone");
      this.#closeUnlessWanted();
    } catch (error) {
      this.sound.hideLevel();
      this.#say(microphoneFailure(error));
    }
  }

  /** @param {Failure} failure */
  #say(failure) {
    const words = failureWords(failure, { host: location.host, live: this.call.wasLive });
    this.notices.set("microphone", { level: "error", ...words, closable: true });
  }
}
