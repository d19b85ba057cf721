/** What runs on the server: the list in the settings, the badge that says who gets something, what still loads. */

import { inOrder, loadingWords, otherMessages, privacyWords, stageTask, stageTitle, stateWord } from "../core/engines.js";
import { byId, make, setText } from "./dom.js";

/** @typedef {import("../core/engines.js").Health} Health */
/** @typedef {import("../core/engines.js").Engine} Engine */
/** @typedef {import("./notices.js").Notices} Notices */

export class EnginesView {
  /** @param {Notices} notices */
  constructor(notices) {
    this.notices = notices;
    this.drawn = "";
  }

  /** @param {Health} health */
  show(health) {
    const engines = inOrder(health.engines ?? []);
    if (engines.length > 0) this.#privacy(engines);
    const calls = health.sessions ? `, ${health.sessions.active} of ${health.sessions.max} calls` : "";
    setText(byId("version"), `Version ${health.version}${calls}`);
    const drawn = JSON.stringify(engines);
    if (drawn !== this.drawn) byId("engines").replaceChildren(...engines.map(engineItem));
    this.drawn = drawn;
    this.#loading(engines);
    this.#missing(engines);
    const [message] = otherMessages(health);
    if (message) this.notices.set("server-says", { level: message.level, title: message.text, closable: true });
    else this.notices.clear("server-says");
  }

  /** @param {Engine[]} engines */
  #privacy(engines) {
    const words = privacyWords(engines);
    const badge = byId("privacy");
    badge.hidden = false;
    badge.dataset.away = String(words.away);
    badge.title = words.long;
    badge.querySelector("use")?.setAttribute("href", words.away ? "#i-cloud" : "#i-shield");
    setText(byId("privacy-text"), words.short);
    const long = byId("privacy-long");
    long.dataset.away = String(words.away);
    setText(long, words.long);
    setText(byId("consent-privacy"), words.long);
  }

  /** @param {Engine[]} engines */
  #loading(engines) {
    const text = loadingWords(engines);
    if (text) this.notices.set("loading", { level: "info", title: "One moment", text, busy: true });
    else this.notices.clear("loading");
  }

  /** @param {Engine[]} engines */
  #missing(engines) {
    const [first] = engines.filter((engine) => (engine.state === "missing" || engine.state === "failed") && engine.stage !== "turn");
    if (!first) {
      this.notices.clear("missing");
      return;
    }
    const task = stageTask(first.stage);
    const how = first.fetch ? ` Run “${first.fetch}” on the server.` : "";
    const still = first.stage === "recognize" ? " Until then you can hear your own cleaned microphone (in the settings)." : "";
    this.notices.set("missing", {
      level: "warning",
      title: `${task.charAt(0).toUpperCase()}${task.slice(1)} is ${first.state === "missing" ? "not installed" : "not working"}`,
      text: `${sentence(first.reason)}${how}${still}`.trim(),
    });
  }
}

/** @param {Engine} engine */
function engineItem(engine) {
  const name = [engine.name, engine.model].filter(Boolean).join(" ");
  const children = [
    make("span", { class: "task", text: stageTitle(engine.stage) }),
    make("span", { class: "state", "data-state": engine.state, text: stateWord(engine.state) }),
    make("span", { class: "name", text: name }),
  ];
  if (engine.reason) children.push(make("span", { class: "reason", text: sentence(engine.reason) }));
  if (engine.offMachine) children.push(make("span", { class: "away", text: `Sends to ${engine.offMachine}` }));
  if (engine.fetch && engine.state === "missing") children.push(make("span", { class: "reason" }, [make("code", { text: engine.fetch })]));
  return make("li", {}, children);
}

/** @param {string} text */
function sentence(text) {
  if (!text) return "";
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
