/** Numbers, times and the transcript as people read them. Pure. */

/** @typedef {import("./transcript.js").Entry} Entry */

/**
 * @param {number} ms since the start of the call
 * @returns {string} `0:07`, `12:30` or `1:02:03`
 */
export function clock(ms) {
  const total = Math.max(0, Math.floor(ms / 1000));
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const seconds = String(total % 60).padStart(2, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
}

/**
 * @param {number | null} ms
 * @returns {string} a round-trip time, or a dash while there is none
 */
export function milliseconds(ms) {
  if (ms === null) return "–";
  return ms < 1 ? "under 1 ms" : `${Math.round(ms)} ms`;
}

/**
 * @param {number | null} share 0 to 1
 * @returns {string}
 */
export function percent(share) {
  if (share === null) return "–";
  const value = share * 100;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/**
 * @typedef {object} TranscriptFacts
 * @property {readonly Date[]} calls when each call began
 * @property {string | null} room
 * @property {(code: string) => string} nameOf the name of a language code
 */

/**
 * The transcript as a plain text file: what was said, what it became, when. Open captions are left out.
 *
 * @param {readonly Entry[]} entries
 * @param {TranscriptFacts} facts
 * @returns {string} lines end with CRLF, so that every editor shows them
 */
export function transcriptText(entries, facts) {
  const lines = ["Transcript"];
  if (facts.room) lines.push(`Room: ${facts.room}`);
  const speakers = new Set(entries.map((entry) => entry.speaker));
  let call = -1;
  for (const entry of entries) {
    if (!entry.final || (entry.text === "" && !entry.note)) continue;
    if (entry.call !== call) {
      call = entry.call;
      lines.push("", `Call of ${facts.calls[call]?.toLocaleString() ?? "an unknown time"}`);
    }
    const who = speakers.size > 1 && entry.speaker ? ` ${entry.speaker}` : "";
    const language = entry.lang ? ` (${facts.nameOf(entry.lang)})` : "";
    lines.push("", `[${clock(entry.startMs)}]${who}${language}`);
    if (entry.text) lines.push(entry.text);
    if (entry.translation && entry.targetLang !== entry.lang) {
      lines.push(`${facts.nameOf(entry.targetLang)}: ${entry.translation}`);
    }
    if (entry.note) lines.push(`(${entry.note})`);
  }
  return `${lines.join("\r\n")}\r\n`;
}

/**
 * @param {Date} at
 * @returns {string} a file name that sorts by time
 */
export function transcriptFileName(at) {
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `transcript-${day}-${two(at.getHours())}${two(at.getMinutes())}.txt`;
}
