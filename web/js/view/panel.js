/** The settings panel: opened by its button or at one of its sections, closed by Escape, its cross or a press beside it. */

import { byId } from "./dom.js";

export class Panel {
  /** @param {(open: boolean) => void} onToggle */
  constructor(onToggle) {
    this.dialog = /** @type {HTMLDialogElement} */ (byId("settings"));
    this.onToggle = onToggle;
    byId("open-settings").addEventListener("click", () => this.open());
    byId("connection").addEventListener("click", () => this.open("h-connection"));
    byId("privacy").addEventListener("click", () => this.open("h-engines"));
    this.dialog.querySelector("[data-close]")?.addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close(); // only the backdrop is the dialog itself
    });
    this.dialog.addEventListener("close", () => onToggle(false));
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** @param {string} [heading] the id of a heading to begin at */
  open(heading) {
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.onToggle(true);
    }
    if (!heading) return;
    const place = byId(heading);
    place.scrollIntoView({ block: "start" });
    place.focus({ preventScroll: true });
  }
}
