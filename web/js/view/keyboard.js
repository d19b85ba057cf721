/** Single-key shortcuts. They can be switched off (WCAG 2.1.4) and never act while something is typed or asked. */

/**
 * @typedef {object} Shortcuts
 * @property {() => void} mute
 * @property {() => void} startOrStop
 * @property {() => void} newest
 * @property {() => void} help
 */

/**
 * @param {() => boolean} enabled
 * @param {Shortcuts} actions
 */
export function listenToKeys(enabled, actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "End") return inField(event.target) ? undefined : actions.newest();
    if (!enabled() || inField(event.target)) return;
    const key = event.key.toLowerCase();
    if (key === "m") actions.mute();
    else if (key === "s") actions.startOrStop();
    else if (key === "?") actions.help();
    else return;
    event.preventDefault();
  });
}

/**
 * @param {EventTarget | null} target
 * @returns {boolean} whether letters mean something to this element (selects search by letter)
 */
function inField(target) {
  return target instanceof Element && target.closest("input, select, textarea, [contenteditable]") !== null;
}
