/** The microphone: which ones there are, the one in use, and what becomes of it when devices come and go. */

import { Failure } from "../core/failures.js";

/** @typedef {{id: string, label: string}} Device */

export class Microphone {
  /**
   * @param {() => void} onLost the device in use went away
   * @param {() => void} onDevices the list of devices has changed
   */
  constructor(onLost, onDevices) {
    this.onLost = onLost;
    this.deviceId = "";
    /** @type {MediaStream | null} */
    this.stream = null;
    navigator.mediaDevices?.addEventListener("devicechange", onDevices);
  }

  /** @returns {MediaStreamTrack | null} */
  get track() {
    return this.stream?.getAudioTracks()[0] ?? null;
  }

  /**
   * Opens the chosen device, or another one when the chosen one is not there any more. An open microphone stays open.
   *
   * @returns {Promise<MediaStream>}
   * @throws {Failure | DOMException}
   */
  async open() {
    if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
      throw new Failure(window.isSecureContext ? "unsupported" : "insecure");
    }
    if (typeof RTCPeerConnection === "undefined") throw new Failure("unsupported");
    if (this.stream && this.track?.readyState === "live") return this.stream;
    this.close();
    const stream = await this.#ask();
    this.close();
    this.stream = stream;
    this.track?.addEventListener("ended", () => {
      if (this.stream === stream) this.onLost();
    });
    return stream;
  }

  /** @param {boolean} on */
  enable(on) {
    if (this.track) this.track.enabled = on;
  }

  close() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
  }

  /** @returns {Promise<MediaStream>} */
  async #ask() {
    // The server removes noise itself, and better when the browser has not tried before. Echo cancellation keeps the
    // interpreter's voice out of the microphone; it works because the voice plays through an <audio> element.
    const wanted = { echoCancellation: true, noiseSuppression: false, autoGainControl: true, channelCount: 1 };
    try {
      const deviceId = this.deviceId ? { deviceId: { exact: this.deviceId } } : {};
      return await navigator.mediaDevices.getUserMedia({ audio: { ...wanted, ...deviceId } });
    } catch (error) {
      const gone = error instanceof DOMException && (error.name === "OverconstrainedError" || error.name === "NotFoundError");
      if (!this.deviceId || !gone) throw error;
      return await navigator.mediaDevices.getUserMedia({ audio: wanted });
    }
  }
}

/**
 * @param {"audioinput" | "audiooutput"} kind
 * @returns {Promise<Device[]>} those with a name: browsers give names only after the permission
 */
export async function devices(kind) {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return all.filter((one) => one.kind === kind && one.deviceId && one.label).map((one) => ({ id: one.deviceId, label: one.label }));
}

/** @returns {Promise<boolean>} whether the microphone may be opened without a question */
export async function microphoneAllowed() {
  try {
    const status = await navigator.permissions.query({ name: /** @type {PermissionName} */ ("microphone") });
    return status.state === "granted";
  } catch {
    return false; // browsers that do not tell
  }
}
