/**
 * What was said, in order: caption messages go in, entries come out. Pure: no DOM, no clock.
 *
 * Rules: a caption never goes back (an older revision, or a partial after its final, is ignored); a final without words
 * takes its caption away. A call has *legs*: when the server could not resume after a loss, its ids and its clock start
 * again. A later call goes on below the earlier one.
 */

/**
 * @typedef {object} Entry
 * @property {string} key unique in this transcript
 * @property {number} call 0 for the first call in this transcript
 * @property {string} speaker
 * @property {number} startMs since the start of the call
 * @property {number} endMs
 * @property {string} text
 * @property {number} committed characters of `text` that will not change any more
 * @property {string} lang code of the language spoken, empty while it is unknown
 * @property {string} translation
 * @property {number} translationCommitted
 * @property {string} targetLang
 * @property {boolean} final
 * @property {number} revision
 * @property {string} note plain words about this caption, mostly empty
 */

/** @typedef {{change: "added" | "updated" | "removed", entry: Entry, index: number}} Change */

const LIMIT = 5_000; // entries; the oldest go first: 8 hours of talk at one sentence every 6 s

export class Transcript {
  constructor() {
    /** @type {Entry[]} ordered by the time at which they were said */
    this.entries = [];
    /** @type {Date[]} when each call began */
    this.calls = [];
    this.leg = 0;
    this.offsetMs = 0;
    /** @type {Map<string, Entry>} */
    this.byKey = new Map();
  }

  /** @param {Date} at a new call begins now */
  beginCall(at) {
    if (this.entries.at(-1)?.call !== this.calls.length - 1) this.calls.pop(); // nothing was said in it
    this.calls.push(at);
    this.beginLeg(0);
  }

  /**
   * The server counts from the start again, at `offsetMs` of this call.
   *
   * @param {number} offsetMs
   */
  beginLeg(offsetMs) {
    this.leg += 1;
    this.offsetMs = offsetMs;
  }

  clear() {
    this.entries = [];
    this.byKey.clear();
    this.calls = this.calls.slice(-1);
  }

  /**
   * @param {Record<string, any>} message of type `partial`, `final` or `lost`
   * @returns {Change | null} null when nothing changes
   */
  apply(message) {
    const key = `${this.leg}/${message.id}`;
    const known = this.byKey.get(key);
    const final = message.type !== "partial";
    if (known && !final && (known.final || number(message.revision, 0) < known.revision)) return null;
    if (message.type === "lost") return this.#lose(key, known, message);
    const text = string(message.text);
    if (final && text.trim() === "" && !message.note) return known ? this.#remove(known) : null;
    const entry = known ?? this.#blank(key);
    entry.text = text;
    entry.committed = final ? text.length : units(text, message.committed);
    entry.lang = string(message.lang) || entry.lang;
    entry.translation = string(message.translation);
    entry.translationCommitted = final ? entry.translation.length : units(entry.translation, message.translation_committed);
    entry.targetLang = string(message.target_lang) || entry.targetLang;
    entry.final = final;
    entry.revision = number(message.revision, entry.revision);
    entry.note = string(message.note);
    return this.#place(entry, known, message);
  }

  /**
   * Ends the captions that are still open: their final will not come any more.
   *
   * @param {string} note
   * @returns {Change[]}
   */
  settle(note) {
    return this.entries.filter((entry) => !entry.final).map((entry) => {
      entry.final = true;
      entry.note = note;
      return { change: "updated", entry, index: this.entries.indexOf(entry) };
    });
  }

  /**
   * @param {string} key
   * @param {Entry | undefined} known
   * @param {Record<string, any>} message
   * @returns {Change | null}
   */
  #lose(key, known, message) {
    if (known?.final) return null;
    const entry = known ?? this.#blank(key);
    entry.final = true;
    entry.committed = entry.text.length;
    entry.translationCommitted = entry.translation.length;
    entry.note = string(message.message) || "Something was said here that could not be understood.";
    return this.#place(entry, known, message);
  }

  /**
   * @param {Entry} entry
   * @param {Entry | undefined} known
   * @param {Record<string, any>} message
   * @returns {Change}
   */
  #place(entry, known, message) {
    entry.speaker = string(message.speaker) || entry.speaker;
    if (!known) {
      entry.startMs = number(message.start_ms, (this.entries.at(-1)?.endMs ?? this.offsetMs) - this.offsetMs) + this.offsetMs;
    }
    entry.endMs = number(message.end_ms, entry.endMs - this.offsetMs) + this.offsetMs;
    if (known) return { change: "updated", entry, index: this.entries.indexOf(entry) };
    let index = this.entries.length;
    while (index > 0 && later(this.entries[index - 1], entry)) index -= 1;
    this.entries.splice(index, 0, entry);
    this.byKey.set(entry.key, entry);
    return { change: "added", entry, index };
  }

  /**
   * @param {Entry} entry
   * @returns {Change}
   */
  #remove(entry) {
    const index = this.entries.indexOf(entry);
    this.entries.splice(index, 1);
    this.byKey.delete(entry.key);
    return { change: "removed", entry, index };
  }

  /**
   * Forgets the oldest entries beyond the limit.
   *
   * @returns {Entry[]} those that went
   */
  trim() {
    const gone = this.entries.splice(0, Math.max(0, this.entries.length - LIMIT));
    for (const entry of gone) this.byKey.delete(entry.key);
    return gone;
  }

  /**
   * @param {string} key
   * @returns {Entry}
   */
  #blank(key) {
    return {
      key, call: Math.max(0, this.calls.length - 1), speaker: "", startMs: 0, endMs: this.offsetMs, text: "", committed: 0, lang: "", translation: "",
      translationCommitted: 0, targetLang: "", final: false, revision: 0, note: "",
    };
  }
}

/** @param {Entry} a @param {Entry} b */
const later = (a, b) => (a.call === b.call ? a.startMs > b.startMs : a.call > b.call);

/** @param {unknown} value */
const string = (value) => (typeof value === "string" ? value : "");

/** @param {unknown} value @param {number} otherwise */
const number = (value, otherwise) => (typeof value === "number" && Number.isFinite(value) ? value : otherwise);

/**
 * The wire counts characters (code points), a string of this language UTF-16 units.
 *
 * @param {string} text
 * @param {unknown} characters
 * @returns {number} at most the length of the text
 */
function units(text, characters) {
  let index = 0;
  for (let left = number(characters, 0); left > 0 && index < text.length; left -= 1) {
    index += /** @type {number} */ (text.codePointAt(index)) > 0xffff ? 2 : 1;
  }
  return index;
}
