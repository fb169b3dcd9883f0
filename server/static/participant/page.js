// @ts-check
// The participant page: screens, joining, and the wires between connection, transcript and composer.

import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { typingText } from "./format.js";
import { PARTICIPANT } from "./message.js";
import { Transcript } from "./transcript.js";

const NOTICE_AFTER_MS = 2_500; // a short interruption is nobody's business
const TYPING_EXPIRES_MS = 30_000;
// So that a reload finds its way back, to the chat or to its end; this tab only.
const SESSION_KEY = "chatroom-session";
const END_KEY = "chatroom-end";
const TOKEN_KEY = "chatroom-token"; // whoever came by a link never saw their code
const OVER = {
  over: ["The time is up", "Thank you for taking part. You can close this page now."],
  withdrawn: ["You have left the chat", "Thank you. You can close this page now."],
  elsewhere: ["The chat is open somewhere else", "It goes on in the window that you opened last. You can close this one."],
  ended: ["The chat has ended", "Thank you for taking part. You can close this page now."],
  refused: ["The chat could not be opened", "Load this page again to try once more."],
  unknown: ["The chat was interrupted", "It cannot be continued. Load this page again to join a new one."],
};

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

/** @param {string} name */
function show(name) {
  document.body.dataset.screen = name;
}

class Room {
  #connection;
  #transcript;
  #composer;
  /** @type {string[]} */ #members = [];
  /** @type {Map<string, number>} */ #typing = new Map();
  /** @type {number | undefined} */ #noticeTimer;
  #title = document.title;
  #endedAs = "over";

  /** @param {string} sessionId */
  constructor(sessionId) {
    this.#composer = new Composer({ form: element("composer"), onSend: (content, replyTo) => this.#send(content, replyTo) });
    this.#transcript = new Transcript({
      scroller: element("log"),
      list: element("messages"),
      toNewest: element("to-newest"),
      announcer: element("announcer"),
      onReply: (message) => this.#composer.quote(message),
    });
    this.#connection = new Connection(sessionId, {
      onFrame: (frame) => this.#receive(frame),
      onChange: (isConnected) => this.#connectionChanged(isConnected),
      onEnd: (outcome) => this.#ended(outcome),
    });
    this.#connection.open();
  }

  /** @param {string} content @param {string | null} replyTo */
  #send(content, replyTo) {
    const message = { sender: PARTICIPANT, content, date: new Date(), id: null, clientId: newId(), replyTo, position: 0 };
    this.#transcript.addPending(message);
    this.#post(message);
  }

  /** @param {import("./message.js").Message} message */
  #post(message) {
    this.#connection.send({
      type: "user_message",
      content: message.content,
      client_message_id: message.clientId,
      ...(message.replyTo ? { reply_to: message.replyTo } : {}),
    });
  }

  /** @param {import("./connection.js").Frame} frame */
  #receive(frame) {
    switch (frame.type) {
      case "welcome":
        return this.#welcomed(frame);
      case "message":
        return this.#message(frame);
      case "reaction":
        return this.#transcript.react(frame.message_id, frame.sender, frame.emoji);
      case "typing":
        return this.#typingChanged(frame.sender, frame.typing);
      case "backlog_end":
        return this.#transcript.pending().forEach((message) => this.#post(message));
      case "error":
        return this.#transcript.refuse(frame.client_message_id ?? "");
      case "session_end":
        this.#endedAs = frame.reason === "duration_expired" ? "over" : frame.reason;
    }
  }

  /** @param {import("./connection.js").Frame} frame */
  #welcomed(frame) {
    this.#members = frame.members;
    this.#title = frame.group_name;
    document.title = frame.group_name;
    element("group-name").textContent = frame.group_name;
    this.#transcript.setMembers(frame.members);
    this.#composer.setMembers(frame.members);
    this.#forgetTyping();
    if (document.body.dataset.screen === "room") return;
    show("room");
    this.#composer.focus();
  }

  /** @param {import("./connection.js").Frame} frame */
  #message(frame) {
    this.#typingChanged(frame.sender, false);
    this.#transcript.add({
      sender: frame.sender,
      content: frame.content,
      date: new Date(frame.timestamp),
      id: frame.message_id,
      clientId: frame.client_message_id ?? null,
      replyTo: frame.reply_to,
      position: frame.position,
    });
  }

  /** @param {string} sender @param {boolean} isTyping */
  #typingChanged(sender, isTyping) {
    clearTimeout(this.#typing.get(sender));
    if (!this.#typing.delete(sender) && !isTyping) return;
    if (isTyping) {
      this.#typing.set(sender, setTimeout(() => this.#typingChanged(sender, false), TYPING_EXPIRES_MS));
    }
    this.#showSubtitle();
  }

  #forgetTyping() {
    this.#typing.forEach((timer) => clearTimeout(timer));
    this.#typing.clear();
    this.#showSubtitle();
  }

  #showSubtitle() {
    const names = [...this.#typing.keys()];
    const subtitle = element("subtitle");
    subtitle.textContent = typingText(names) || [...this.#members, "You"].join(", ");
    subtitle.classList.toggle("is-typing", names.length > 0);
    this.#transcript.showTyping(names);
  }

  /** @param {boolean} isConnected */
  #connectionChanged(isConnected) {
    const notice = element("connection-notice");
    if (isConnected) {
      this.#stopNotice();
      notice.hidden = true;
      return;
    }
    this.#forgetTyping();
    this.#noticeTimer ??= setTimeout(() => (notice.hidden = false), NOTICE_AFTER_MS);
  }

  #stopNotice() {
    clearTimeout(this.#noticeTimer);
    this.#noticeTimer = undefined;
  }

  /** @param {string} outcome */
  #ended(outcome) {
    this.#stopNotice();
    document.title = this.#title;
    if (outcome !== "elsewhere") sessionStorage.removeItem(SESSION_KEY);
    if (outcome === "over") sessionStorage.setItem(END_KEY, this.#endedAs);
    showEnd(outcome === "over" ? this.#endedAs : outcome);
  }
}

/** @param {string} end how the chat ended for this page */
function showEnd(end) {
  const [title, text] = OVER[/** @type {keyof OVER} */ (end)] ?? OVER.ended;
  element("over-title").textContent = title;
  element("over-text").textContent = text;
  show("over");
  /** @type {HTMLElement} */ (document.querySelector("#over .card")).focus();
}

function newId() {
  // randomUUID is not there on plain http from another machine; getRandomValues is.
  return crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** @param {string} sessionId */
function enter(sessionId) {
  sessionStorage.setItem(SESSION_KEY, sessionId);
  sessionStorage.removeItem(END_KEY);
  new Room(sessionId);
}

/** @param {string} token @returns {Promise<string>} the session's id */
async function start(token) {
  const response = await fetch("/session/start", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(response.status === 401 ? "This code is not valid. Please check it." : answer.message);
  return answer.session_id;
}

/** @param {SubmitEvent} event */
async function join(event) {
  event.preventDefault();
  const problem = element("join-problem");
  const token = /** @type {HTMLInputElement} */ (element("token")).value.trim();
  const button = /** @type {HTMLButtonElement} */ (document.querySelector("#join-form button"));
  problem.textContent = token ? "" : "Please enter your access code.";
  if (!token) return;
  button.disabled = true;
  try {
    enter(await start(token));
  } catch (error) {
    problem.textContent = error instanceof TypeError ? "There is no connection. Please try again." : /** @type {Error} */ (error).message;
  } finally {
    button.disabled = false;
  }
}

/** Take a token out of the address: it is nobody's who looks over a shoulder or into the history. */
function takeToken() {
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  if (token === null) return;
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
  sessionStorage.setItem(TOKEN_KEY, token);
  sessionStorage.removeItem(END_KEY);
}

function begin() {
  takeToken();
  const session = sessionStorage.getItem(SESSION_KEY);
  const end = sessionStorage.getItem(END_KEY);
  /** @type {HTMLInputElement} */ (element("token")).value = sessionStorage.getItem(TOKEN_KEY) ?? "";
  if (session) {
    show("waiting");
    enter(session);
  } else if (end !== null) showEnd(end);
}

element("join-form").addEventListener("submit", join);
begin();
