/** Every way in which a call can fail, in plain words: what happened, and what to do now. Pure. */

/**
 * @typedef {"insecure" | "unsupported" | "mic-denied" | "mic-missing" | "mic-busy" | "mic-failed" | "mic-lost" | "full" | "busy" | "draining"
 *   | "too-many" | "unauthorized" | "forbidden" | "bad-offer" | "server" | "unreachable" | "no-route" | "lost" | "consent"} FailureCode
 */

/**
 * @typedef {object} Words
 * @property {string} title one short sentence
 * @property {string} text what to do now
 */

/** Codes after which the page tries again by itself. */
const RETRIED = new Set(["full", "busy", "draining", "too-many", "server", "unreachable", "no-route", "lost"]);

/** @type {Record<string, FailureCode>} codes of a 503, and what they mean; of others the server's own words are shown */
const REFUSALS = {
  SERVER_FULL: "full",
  DRAINING: "draining",
  ENGINES_BUSY: "busy",
  LOOP_BUSY: "busy",
  HALF_OPEN: "busy",
};

export class Failure extends Error {
  /**
   * @param {FailureCode} code
   * @param {{detail?: string, retryAfterS?: number | null}} [more] `detail`: the server's own sentence
   */
  constructor(code, { detail = "", retryAfterS = null } = {}) {
    super(detail || code);
    this.code = code;
    this.detail = detail;
    this.retryAfterS = retryAfterS;
  }

  get retried() {
    return RETRIED.has(this.code);
  }
}

/**
 * @param {unknown} error what `getUserMedia` threw
 * @returns {Failure}
 */
export function microphoneFailure(error) {
  if (error instanceof Failure) return error;
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  /** @type {Record<string, FailureCode>} */
  const codes = {
    NotAllowedError: "mic-denied",
    SecurityError: "mic-denied",
    NotFoundError: "mic-missing",
    OverconstrainedError: "mic-missing",
    NotReadableError: "mic-busy",
    AbortError: "mic-busy",
  };
  return new Failure(codes[name] ?? "mic-failed", { detail: error instanceof Error ? error.message : "" });
}

/**
 * @param {number} status of an HTTP answer that is no success
 * @param {{code?: string, message?: string}} error of its JSON body
 * @param {number | null} retryAfterS
 * @returns {Failure}
 */
export function httpFailure(status, error, retryAfterS) {
  const more = { detail: error.message ?? "", retryAfterS };
  if (status === 503 && error.code && error.code in REFUSALS) return new Failure(REFUSALS[error.code], more);
  if (status === 429) return new Failure("too-many", more);
  if (status === 401) return new Failure("unauthorized", more);
  if (status === 403) return new Failure(/consent/i.test(error.code ?? "") ? "consent" : "forbidden", more);
  if (status >= 500) return new Failure("server", more);
  return new Failure("bad-offer", more);
}

/**
 * @param {Failure} failure
 * @param {{host: string, live: boolean, key?: boolean}} page the address as the browser shows it; whether a call was
 *   running; whether an access key was sent
 * @returns {Words}
 */
export function failureWords(failure, { host, live, key = false }) {
  const said = failure.detail ? ` The server says: “${failure.detail}”` : "";
  switch (failure.code) {
    case "insecure":
      return {
        title: "This address cannot use a microphone",
        text: `Browsers give a microphone only to pages at https:// or at localhost, and this page came from http://${host}. `
          + `Start the server with “make run TLS=1” and open the https:// address that it prints.`,
      };
    case "unsupported":
      return { title: "This browser cannot make calls", text: "It has no WebRTC. A current Chrome, Edge, Firefox or Safari has it." };
    case "mic-denied":
      return {
        title: "The microphone is not allowed",
        text: "Allow it for this page: press the icon left of the address, set Microphone to Allow, then press Start again.",
      };
    case "mic-missing":
      return { title: "No microphone was found", text: "Plug one in or switch it on, then press Start again." };
    case "mic-busy":
      return {
        title: "The microphone is in use",
        text: "Another program holds it or the system does not hand it out. Close the other program or choose another microphone, then press Start again.",
      };
    case "mic-failed":
      return { title: "The microphone could not be opened", text: `Choose another microphone in the settings.${failure.detail ? ` (${failure.detail})` : ""}` };
    case "mic-lost":
      return { title: "The microphone was unplugged", text: "The call goes on, but nobody hears you. Plug it in again or choose another one in the settings." };
    case "full":
      return { title: "The server is full", text: `Every place is taken right now. Your call ${live ? "goes on" : "starts"} as soon as there is room.` };
    case "busy":
      return {
        title: "The server is busy",
        text: `It takes no more calls, so that those that run stay good. Yours ${live ? "goes on" : "starts"} as soon as it has caught up.`,
      };
    case "draining":
      return { title: "The server is restarting", text: `It takes no calls for a moment. Yours ${live ? "goes on" : "starts"} by itself as soon as it is back.` };
    case "too-many":
      return { title: "Too many tries in a short time", text: "The server asks for a short break." };
    case "unauthorized":
      return key
        ? { title: "The server does not know this access key", text: "Enter the key that its owner gave you." }
        : { title: "This server asks for an access key", text: "Enter the key that its owner gave you." };
    case "forbidden":
      return { title: "This server does not accept calls from this page", text: `Its owner decides which addresses may (ALLOWED_ORIGINS).${said}` };
    case "bad-offer":
      return { title: "The server did not accept this call", text: `Reload the page and try again.${said}` };
    case "server":
      return { title: "Something went wrong on the server", text: `Its log says more.${said}` };
    case "consent":
      return { title: "This server needs your consent", text: "It hears nothing before you agree. Press Start to be asked again." };
    case "no-route":
      return {
        title: live ? "The connection was lost" : "The sound does not get through",
        text: live
          ? "Your words so far are kept."
          : "The server answers, but a firewall between you and it seems to block the sound (UDP). Its owner can help with a TURN server or by opening ports.",
      };
    case "unreachable":
      return live
        ? { title: "The connection was lost", text: "Your words so far are kept." }
        : { title: "The server cannot be reached", text: "Either it is not running or the network is down." };
    case "lost":
      return { title: "The connection was lost", text: "Your words so far are kept." };
  }
}
