/** Questions that must be answered before the call goes on. */

import { byId } from "./dom.js";

/** @returns {Promise<boolean>} whether this server may hear the user; closing the question is a no */
export function askConsent() {
  const dialog = /** @type {HTMLDialogElement} */ (byId("consent"));
  return new Promise((resolve) => {
    const answer = (/** @type {boolean} */ agreed) => {
      dialog.returnValue = agreed ? "yes" : "no";
      dialog.close(dialog.returnValue);
    };
    const yes = byId("consent-yes");
    const no = byId("consent-no");
    yes.onclick = () => answer(true);
    no.onclick = () => answer(false);
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
}

/** @returns {Promise<string>} the access key typed in; empty when the user gave up */
export function askKey() {
  const dialog = /** @type {HTMLDialogElement} */ (byId("key-question"));
  const input = /** @type {HTMLInputElement} */ (byId("key"));
  input.value = "";
  return new Promise((resolve) => {
    let key = "";
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      key = input.value.trim();
      dialog.close();
    };
    byId("key-cancel").onclick = () => dialog.close();
    dialog.addEventListener("close", () => resolve(key), { once: true });
    dialog.showModal();
  });
}
