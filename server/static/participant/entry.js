// @ts-check
// The way in and the way out: who comes, what the server says to them, and which screen follows. Nothing is drawn here.
//
// A look asks whether there is a session already; it begins none. That is the doing of the last button before the chat,
// so that a link which is only looked at, by a messenger's preview or by mistake, costs nothing.

import { ask, Outbox, randomId, retryDelay } from "./connection.js";

/**
 * @typedef {{text: string, style: "plain" | "strong" | "emphasis" | "link", href: string | null}} Span
 * @typedef {{title: string, paragraphs: Span[][]}} Reading
 * @typedef {{outcome: string, code: string | null, url: string | null}} Completion
 * @typedef {"demo" | "tokens" | "open" | "panel"} Mode
 * @typedef {{token?: string, parameters?: Record<string, string>}} Link what the link said, or the participant typed
 *
 * @typedef {object} PageData what the server tells the page before anybody has begun
 * @property {Mode} mode
 * @property {string[]} parameters names of what a link may carry
 * @property {(Reading & {version: string, agree: string, decline: string}) | null} consent
 * @property {(Reading & {button: string}) | null} welcome
 * @property {import("./room.js").Withdrawal | null} withdrawal
 *
 * @typedef {{title: string, text: string, mark?: string, button?: string, wait?: number}} Notice `wait`: seconds before its button works
 * @typedef {{label: string, onPress: () => void}} Choice
 * @typedef {{name: "room" | "begun", sessionId: string}
 *   | {name: "first"}
 *   | {name: "code", problem: string}
 *   | {name: "end", completion: Completion, debriefing: Reading | null}
 *   | {name: "notice", notice: Notice}} Screen
 *
 * @typedef {object} Screens who draws
 * @property {(parts: {value: string, problem: string, button: string, onCode: (code: string) => void}) => void} code
 * @property {(onJoin: () => void) => void} invitation
 * @property {(reading: Reading, choices: Choice[]) => void} reading
 * @property {(notice: Notice, onPress?: () => void) => void} notice
 * @property {(end: {completion: Completion, debriefing: Reading | null}) => void} end
 * @property {(outcome: string | null) => void} calm an end of which no more is known yet
 */

// What this tab remembers, so that a reload finds its way back.
const LINK_KEY = "chatroom-link";
const VISIT_KEY = "chatroom-visit";
const SESSION_KEY = "chatroom-session"; // there was one, or consent was declined

/** @type {Record<string, Notice>} */
const NOTICES = {
  begun: { mark: "group", title: "You have begun already", text: "Your place in the chat is still yours.", button: "Back to the chat" },
  changed: { title: "This page has changed", text: "Please load it again.", button: "Load the page again" },
  elsewhere: {
    title: "The chat is open somewhere else",
    text: "It goes on in another window. You can close this one, or go on here.",
    button: "Use here",
  },
  incomplete: { title: "This link is not complete", text: "Please open it again from the page that invited you." },
  interrupted: { title: "The chat was interrupted", text: "It cannot be continued. Load this page again to join a new one." },
  offline: { title: "There is no connection", text: "Please check it and try again.", button: "Try again" },
  refused: { title: "The chat could not be opened", text: "Load this page again to try once more." },
};
/** @type {Record<string, string>} */
const TITLES = {
  not_open: "The chat is not open",
  not_admitting: "Please wait a moment",
  study_paused: "The chat is paused",
  too_many_failures: "Too many attempts",
};
/** @type {Record<string, string>} */
const OUTCOMES = { duration_expired: "completed", withdrawn: "withdrawn" };

/** @param {Mode} mode */
const takesCodes = (mode) => mode === "demo" || mode === "tokens";

/**
 * Say which screen follows from an answer.
 * @param {import("./connection.js").Answer} answer
 * @param {"look" | "resume" | "start" | "decline"} asked look: is there a session? resume: go on with the one there was
 * @param {Mode} mode
 * @returns {Screen}
 */
export function screenFor({ status, body, retryAfter }, asked, mode) {
  if (body.completion) return { name: "end", completion: body.completion, debriefing: body.debriefing ?? null };
  if (status === 200) return { name: asked === "look" ? "begun" : "room", sessionId: body.session_id };
  if (body.error === "not_started") return asked === "look" ? { name: "first" } : notice("interrupted");
  if (takesCodes(mode) && (status === 401 || status === 422)) {
    return { name: "code", problem: "This code is not valid. Please check it." };
  }
  if (mode === "panel" && status === 422) return notice("incomplete");
  if (body.error === "consent_required") return notice("changed");
  if (status === 0) return notice("offline");
  const title = TITLES[body.error] ?? "The chat could not be opened";
  return { name: "notice", notice: { title, text: body.message ?? "", button: "Try again", wait: retryAfter } };
}

/** @param {string} name @returns {Screen} */
const notice = (name) => ({ name: "notice", notice: NOTICES[name] });

/**
 * Take a link's token and parameters out of an address: they are nobody's who looks over a shoulder or into the history.
 * @param {URLSearchParams} address @param {PageData} data
 * @returns {Link | null} null if there are none
 */
function takeLink(address, { mode, parameters }) {
  /** @param {string} name @returns {[string, string]} */
  const take = (name) => {
    const value = (address.get(name) ?? "").trim();
    address.delete(name);
    return [name, value];
  };
  const names = ["token", ...parameters].filter((name) => address.has(name));
  if (names.length === 0) return null;
  const { token, ...others } = Object.fromEntries(names.map(take));
  return { ...(token && takesCodes(mode) ? { token } : {}), ...(Object.keys(others).length ? { parameters: others } : {}) };
}

/** Where storage is blocked, as in some frames, all is forgotten with the page. */
export class Memory {
  /** @type {Map<string, string>} */ #values = new Map();

  /** @param {string} key */
  get(key) {
    try {
      return sessionStorage.getItem(key) ?? this.#values.get(key) ?? null;
    } catch {
      return this.#values.get(key) ?? null;
    }
  }

  /** Say whether a reload will find it. @param {string} key @param {string} value */
  set(key, value) {
    this.#values.set(key, value);
    try {
      sessionStorage.setItem(key, value);
      return true;
    } catch {
      return false;
    }
  }

  /** @param {string[]} keys */
  forget(...keys) {
    for (const key of keys) {
      this.#values.delete(key);
      try {
        sessionStorage.removeItem(key);
      } catch {
        // it was never there
      }
    }
  }
}

export class Entry {
  #data;
  #memory;
  #screens;
  #openRoom;
  /** @type {Link} */ #link = {};
  #visit;
  #hasAgreed = false;

  /** @param {{data: PageData, memory: Memory, screens: Screens, openRoom: (sessionId: string) => void}} parts */
  constructor({ data, memory, screens, openRoom }) {
    this.#data = data;
    this.#memory = memory;
    this.#screens = screens;
    this.#openRoom = openRoom;
    this.#takeLink();
    this.#visit = memory.get(VISIT_KEY) ?? randomId();
    memory.set(VISIT_KEY, this.#visit);
  }

  /** Show the first screen. */
  begin() {
    if (this.#memory.get(SESSION_KEY)) return this.#isIdentified ? this.#ask("resume") : this.#follow(notice("interrupted"));
    if (this.#data.mode === "open") return this.#first();
    if (this.#isIdentified) return this.#ask("look");
    return this.#data.mode === "panel" ? this.#follow(notice("incomplete")) : this.#askCode("");
  }

  /** Go on after the chat. @param {string} outcome the connection's @param {string | null} reason */
  ended(outcome, reason) {
    if (outcome === "elsewhere") return this.#screens.notice(NOTICES.elsewhere, () => this.#goBack());
    if (outcome === "refused") return this.#screens.notice(NOTICES.refused);
    this.#screens.calm(OUTCOMES[reason ?? ""] ?? null);
    return this.#askWhatIsDue();
  }

  // Who comes

  #takeLink() {
    const kept = this.#memory.get(LINK_KEY) ?? "{}";
    const address = new URL(location.href);
    const link = takeLink(address.searchParams, this.#data);
    this.#link = link ?? JSON.parse(kept);
    if (!link) return;
    // Everybody has the demo's link: whoever opens it again wants a new chat.
    if (this.#data.mode === "demo" || JSON.stringify(link) !== kept) this.#memory.forget(SESSION_KEY, VISIT_KEY);
    if (this.#keepLink()) history.replaceState(null, "", address);
  }

  #keepLink() {
    return this.#memory.set(LINK_KEY, JSON.stringify(this.#link));
  }

  get #isIdentified() {
    const { mode } = this.#data;
    return mode === "open" || !!(mode === "panel" ? this.#link.parameters : this.#link.token);
  }

  // What the server says

  /** @param {string} path @param {object} [more] */
  #post(path, more) {
    return ask(path, { ...this.#link, visit: this.#visit, ...more });
  }

  /** @param {"look" | "resume" | "start"} asked */
  async #answer(asked) {
    const version = this.#hasAgreed ? this.#data.consent?.version : undefined;
    const more = asked === "start" ? (version ? { consent: { version } } : {}) : { resume: true };
    return this.#post("/session/start", more);
  }

  /** @param {"look" | "resume" | "start"} asked */
  async #ask(asked) {
    this.#follow(screenFor(await this.#answer(asked), asked, this.#data.mode), () => this.#ask(asked));
  }

  async #decline() {
    const answer = await this.#post("/session/decline", { version: this.#data.consent?.version });
    if (answer.status === 200) this.#memory.set(SESSION_KEY, "declined");
    this.#follow(screenFor(answer, "decline", this.#data.mode), () => this.#decline());
  }

  /** A wrong code is told before anything is read. @param {string} code */
  async #typed(code) {
    this.#link = { ...this.#link, token: code };
    const asked = this.#hasMoreToRead ? "look" : "start";
    const answer = await this.#answer(asked);
    if (answer.status === 0) return this.#askCode("There is no connection. Please try again.");
    this.#keepLink();
    return this.#follow(screenFor(answer, asked, this.#data.mode), () => this.#askCode(""));
  }

  /** The server may be out of reach, or still writing; whoever waits is told nothing of that. */
  async #askWhatIsDue() {
    for (let attempts = 0; ; attempts++) {
      const answer = await this.#answer("resume");
      if (![0, 200, 429].includes(answer.status) && answer.status < 500) {
        const screen = screenFor(answer, "resume", this.#data.mode);
        return screen.name === "code" ? undefined : this.#follow(screen);
      }
      await pause(Math.max(retryDelay(attempts), answer.retryAfter * 1_000));
    }
  }

  // Which screen

  /** @param {Screen} screen @param {() => void} [again] */
  #follow(screen, again) {
    switch (screen.name) {
      case "room":
        return this.#enter(screen.sessionId);
      case "begun":
        return this.#screens.notice(NOTICES.begun, () => this.#enter(screen.sessionId));
      case "first":
        return this.#first();
      case "code":
        return this.#askCode(screen.problem);
      case "end":
        Outbox.forget();
        return this.#screens.end(screen);
      case "notice":
        return this.#notify(screen.notice, again);
    }
  }

  /** @param {Notice} shown @param {(() => void) | undefined} again */
  #notify(shown, again) {
    if (shown === NOTICES.interrupted) {
      this.#memory.forget(SESSION_KEY, VISIT_KEY);
      Outbox.forget();
    }
    this.#screens.notice(shown, shown === NOTICES.changed ? () => location.reload() : again);
  }

  /** @param {string} problem */
  #askCode(problem) {
    const value = this.#link.token ?? "";
    if (problem) this.#forgetToken();
    this.#screens.code({
      value,
      problem,
      button: this.#hasMoreToRead ? "Continue" : "Join the chat",
      onCode: (code) => this.#typed(code),
    });
  }

  #forgetToken() {
    delete this.#link.token;
    this.#keepLink();
  }

  get #hasMoreToRead() {
    return !!(this.#data.consent || this.#data.welcome);
  }

  /** Consent, welcome, chat; or an invitation, where there is nothing to read. */
  #first() {
    const { consent, welcome } = this.#data;
    if (consent && !this.#hasAgreed) this.#screens.reading(consent, this.#choices(consent));
    else if (welcome) this.#screens.reading(welcome, [{ label: welcome.button, onPress: () => this.#ask("start") }]);
    else if (consent) this.#ask("start");
    else this.#screens.invitation(() => this.#ask("start"));
  }

  /** @param {{agree: string, decline: string}} consent @returns {Choice[]} */
  #choices({ agree, decline }) {
    const agrees = () => {
      this.#hasAgreed = true;
      this.#first();
    };
    return [{ label: agree, onPress: agrees }, { label: decline, onPress: () => this.#decline() }];
  }

  /** @param {string} sessionId */
  #enter(sessionId) {
    this.#memory.set(SESSION_KEY, sessionId);
    this.#openRoom(sessionId);
  }

  #goBack() {
    this.#openRoom(this.#memory.get(SESSION_KEY) ?? "");
  }
}

/** Wait so long, or until there is a connection again. @param {number} milliseconds */
function pause(milliseconds) {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    addEventListener("online", resolve, { once: true });
  });
}
