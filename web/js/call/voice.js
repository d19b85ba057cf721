/** Plays the interpretation, through an `<audio>` element with `srcObject`: only so does echo cancellation know it. */

export class Voice {
  /**
   * @param {HTMLAudioElement} element
   * @param {(blocked: boolean) => void} onBlocked the browser wants a press of a button before it plays
   */
  constructor(element, onBlocked) {
    this.element = element;
    this.onBlocked = onBlocked;
  }

  /** @param {MediaStream} stream */
  async play(stream) {
    this.element.srcObject = stream;
    await this.resume();
  }

  async resume() {
    try {
      await this.element.play();
      this.onBlocked(false);
    } catch (error) {
      if (error instanceof DOMException && error.name === "NotAllowedError") this.onBlocked(true);
      // AbortError: a newer stream or the end of the call came in between
    }
  }

  stop() {
    this.element.pause();
    this.element.srcObject = null;
    this.onBlocked(false);
  }

  /** @param {number} volume 0 to 1 */
  set volume(volume) {
    this.element.volume = volume;
  }

  get canChooseSpeaker() {
    return "setSinkId" in this.element;
  }

  /** @param {string} deviceId empty for the system's choice */
  async choose(deviceId) {
    if (!this.canChooseSpeaker) return;
    await this.element.setSinkId(deviceId).catch(() => undefined); // gone since it was chosen: the system's choice stays
  }
}
