// @ts-check
// The chat itself: the wires between connection, transcript and composer, and the way out.

import { Composer } from "./composer.js";
import { Connection, Outbox } from "./connection.js";
import { typingText } from "./format.js";
import { part, PARTICIPANT } from "./message.js";
import { Transcript } from "./transcript.js";

const NOTICE_AFTER_MS = 2_500; // a short interruption is nobody's business
const TYPING_EXPIRES_MS = 30_000;

/** @typedef {{label: string, question: string, confirm: string, cancel: string}} Withdrawal */

export class Room {
  #root;
  #notice;
  /** @type {HTMLDialogElement} */ #dialog;
  #connection;
  #outbox;
  #transcript;
  #composer;
  #onOpen;
  #onEnd;
  /** @type {string[]} */ #members = [];
  /** @type {Map<string, number>} */ #typing = new Map();
  /** @type {number | undefined} */ #noticeTimer;
  /** @type {string | null} */ #reason = null;
  #isShown = false;
  #isOutboxDrawn = false;
  #isLeaving = false;

  /**
   * `onOpen` is called when there is something to see, `onEnd` with how it ended, and why if that was said.
   * @param {{root: HTMLElement, sessionId: string, withdrawal: Withdrawal | null, onOpen: () => void,
   *   onEnd: (outcome: string, reason: string | null) => void}} parts
   */
  constructor({ root, sessionId, withdrawal, onOpen, onEnd }) {
    this.#root = root;
    this.#notice = part(root, "#connection-notice");
    this.#onOpen = onOpen;
    this.#onEnd = onEnd;
    this.#dialog = part(root, "#withdrawal");
    if (withdrawal) offerWithdrawal(root, withdrawal, () => this.#leave());
    this.#composer = new Composer({ form: part(root, "#composer"), onSend: (content, replyTo) => this.#send(content, replyTo) });
    this.#transcript = new Transcript({
      scroller: part(root, "#log"),
      list: part(root, "#messages"),
      toNewest: part(root, "#to-newest"),
      announcer: part(root, "#announcer"),
      onReply: (message) => this.#composer.quote(message),
      onRetry: (clientId) => this.#retry(clientId),
    });
    this.#connection = new Connection(sessionId, {
      onFrame: (frame) => this.#receive(frame),
      onChange: (isConnected) => this.#connectionChanged(isConnected),
      onEnd: (outcome) => this.#ended(outcome),
    });
    this.#outbox = new Outbox(sessionId, this.#connection);
  }

  /** Come in; or come back, when the chat was open somewhere else. */
  open() {
    this.#isShown = this.#isOutboxDrawn = false;
    this.#connection.open();
    this.#noticeLater();
  }

  /** @param {string} content @param {string | null} replyTo */
  #send(content, replyTo) {
    this.#transcript.addPending(unconfirmed(this.#outbox.add(content, replyTo)));
  }

  /** @param {string} clientId */
  #retry(clientId) {
    const item = this.#outbox.retry(clientId);
    if (!item) return;
    this.#transcript.remove(clientId);
    this.#transcript.addPending(unconfirmed(item));
    this.#composer.focus(); // the button that had it is gone
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
        return this.#caughtUp();
      case "error":
        return this.#refused(frame);
      case "session_end":
        this.#reason = frame.reason;
    }
  }

  /** @param {import("./connection.js").Frame} frame */
  #welcomed(frame) {
    this.#members = frame.members;
    document.title = frame.group_name;
    part(this.#root, "#group-name").textContent = frame.group_name;
    this.#transcript.setMembers(frame.members);
    this.#composer.setMembers(frame.members);
    this.#forgetTyping();
    if (this.#isLeaving) this.#leave();
    this.#show();
  }

  #show() {
    if (this.#isShown) return;
    this.#isShown = true;
    this.#onOpen();
    part(this.#root, "#group-name").focus();
    this.#composer.focus();
  }

  /** What waits in the outbox may quote what has only now come. */
  #caughtUp() {
    if (!this.#isOutboxDrawn) this.#drawOutbox();
    this.#isOutboxDrawn = true;
    this.#outbox.open();
  }

  #drawOutbox() {
    this.#transcript.drawUnconfirmed(this.#outbox.items.map(unconfirmed));
  }

  /** @param {import("./connection.js").Frame} error */
  #refused(error) {
    const clientId = error.client_message_id ?? "";
    if (this.#outbox.refuse(clientId, error)) this.#transcript.refuse(clientId);
  }

  /** For good. Without a connection, it is said as soon as there is one. */
  #leave() {
    this.#isLeaving = true;
    this.#stopNotice();
    this.#notice.textContent = "Leaving…";
    this.#notice.hidden = false;
    this.#connection.send({ type: "leave" });
  }

  /** @param {import("./connection.js").Frame} frame */
  #message(frame) {
    this.#typingChanged(frame.sender, false);
    if (frame.client_message_id) this.#outbox.confirm(frame.client_message_id);
    this.#transcript.add({
      sender: frame.sender,
      content: frame.card?.headline ?? frame.content,
      card: frame.card ?? null,
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
    const subtitle = part(this.#root, "#subtitle");
    subtitle.textContent = typingText(names) || [...this.#members, "You"].join(", ");
    subtitle.classList.toggle("is-typing", names.length > 0);
    this.#transcript.showTyping(names);
  }

  /** @param {boolean} isConnected */
  #connectionChanged(isConnected) {
    if (isConnected) this.#stopNotice();
    else {
      this.#outbox.pause();
      this.#forgetTyping();
      this.#noticeLater();
    }
  }

  #noticeLater() {
    this.#noticeTimer ??= setTimeout(() => {
      this.#show();
      if (!this.#isOutboxDrawn) this.#drawOutbox();
      this.#notice.hidden = false;
    }, NOTICE_AFTER_MS);
  }

  #stopNotice() {
    clearTimeout(this.#noticeTimer);
    this.#noticeTimer = undefined;
    this.#notice.hidden = !this.#isLeaving;
  }

  /** @param {string} outcome */
  #ended(outcome) {
    this.#stopNotice();
    this.#dialog.close(); // nothing else could be used under it
    if (outcome === "elsewhere") this.#outbox.pause();
    else this.#outbox.empty();
    this.#onEnd(outcome, this.#reason);
  }
}

/** @param {import("./connection.js").Item} item @returns {import("./message.js").Message} */
function unconfirmed({ id, content, replyTo, date, failed }) {
  return { sender: PARTICIPANT, content, date: new Date(date), id: null, clientId: id, replyTo, position: 0, isFailed: failed };
}

/** @param {HTMLElement} root @param {Withdrawal} texts @param {() => void} onConfirm */
function offerWithdrawal(root, texts, onConfirm) {
  /** @type {HTMLButtonElement} */ const button = part(root, "#withdraw");
  /** @type {HTMLDialogElement} */ const dialog = part(root, "#withdrawal");
  part(button, ".label").textContent = texts.label;
  part(dialog, "h2").textContent = texts.question;
  part(dialog, "[value=stay]").textContent = texts.cancel;
  part(dialog, "[value=leave]").textContent = texts.confirm;
  button.hidden = false;
  button.addEventListener("click", () => {
    dialog.returnValue = "";
    dialog.showModal();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "leave") return;
    button.hidden = true;
    onConfirm();
  });
}
