/** Hands a text to the user as a file. */

const KEPT_MS = 10_000; // the browser reads the text some time after the press

/**
 * @param {string} text
 * @param {string} name of the file
 */
export function saveText(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}
