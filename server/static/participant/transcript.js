// @ts-check
// The list of messages: order, grouping, day chips, and where the reader stands in it.
//
// What the server has confirmed stands in its order; what it has not stands below, until its echo gives it its place.

import { dayKey, dayText, initialOf, colorOf, typingText } from "./format.js";
import { messageElement, part, PARTICIPANT, showReactions, showStatus, showTime } from "./message.js";

/** @typedef {import("./message.js").Message} Message */

const GROUP_MS = 60_000;
const NEAR_END_PX = 80;
const FLASH_MS = 1_200;
const TALL_PX = 160;

export class Transcript {
  /** @type {Map<string, {message: Message, item: HTMLLIElement, reactions: Map<string, string>}>} */ #byId = new Map();
  /** @type {Map<string, {message: Message, item: HTMLLIElement}>} */ #unconfirmed = new Map();
  /** @type {WeakMap<Element, Message>} */ #messages = new WeakMap();
  /** @type {HTMLLIElement | null} */ #typingItem = null;
  /** @type {string[]} */ #members = [];
  #lastDay = "";
  #unseen = 0;
  #scroller;
  #list;
  #toNewest;
  #announcer;
  #onReply;
  #onRetry;

  /**
   * @param {{scroller: HTMLElement, list: HTMLElement, toNewest: HTMLElement, announcer: HTMLElement,
   *   onReply: (message: Message) => void, onRetry: (clientId: string) => void}} parts
   */
  constructor({ scroller, list, toNewest, announcer, onReply, onRetry }) {
    this.#scroller = scroller;
    this.#list = list;
    this.#toNewest = toNewest;
    this.#announcer = announcer;
    this.#onReply = onReply;
    this.#onRetry = onRetry;
    scroller.addEventListener("scroll", () => this.#isAtEnd() && this.#seen(), { passive: true });
    toNewest.addEventListener("click", () => this.toEnd());
    list.addEventListener("click", (event) => this.#clicked(event));
    list.addEventListener("pointerover", bringReplyButton);
    new ResizeObserver(() => this.#unseen === 0 && this.toEnd()).observe(scroller);
  }

  /** @param {string[]} members */
  setMembers(members) {
    this.#members = members;
  }

  /** A message as the server has it: new, or the echo of one that was pending. @param {Message} message */
  add(message) {
    const unconfirmed = this.#unconfirmed.get(message.clientId ?? "");
    if (message.id && this.#byId.has(message.id)) this.remove(message.clientId ?? "");
    else if (unconfirmed) this.#keepingPlace(() => this.#confirm(unconfirmed.item, message));
    else this.#append(message);
  }

  /** A message of one's own that the server has not confirmed yet. @param {Message} message */
  addPending(message) {
    this.#append(message);
    this.toEnd();
  }

  /** Draw these, and no others, as what the server has not confirmed. @param {Message[]} messages */
  drawUnconfirmed(messages) {
    this.#keepingPlace(() => {
      for (const clientId of [...this.#unconfirmed.keys()]) this.remove(clientId);
      for (const message of messages) this.#append(message);
    });
  }

  /** Take away what the server has not confirmed. @param {string} clientId */
  remove(clientId) {
    const item = this.#unconfirmed.get(clientId)?.item;
    if (!item) return;
    this.#unconfirmed.delete(clientId);
    const next = item.nextElementSibling;
    this.#keepingPlace(() => item.remove());
    this.#regroup(next);
  }

  /** The server will not have a message of one's own. @param {string} clientId */
  refuse(clientId) {
    const entry = this.#unconfirmed.get(clientId);
    if (!entry) return;
    entry.message.isFailed = true;
    this.#keepingPlace(() => showStatus(entry.item, "failed"));
    this.#announcer.textContent = part(entry.item, ".retry").textContent;
  }

  /** @param {string} messageId @param {string} sender @param {string} emoji */
  react(messageId, sender, emoji) {
    const entry = this.#byId.get(messageId);
    if (!entry) return;
    if (emoji) entry.reactions.set(sender, emoji);
    else entry.reactions.delete(sender);
    this.#keepingPlace(() => showReactions(entry.item, entry.reactions));
  }

  /** @param {string[]} names */
  showTyping(names) {
    this.#keepingPlace(() => {
      this.#typingItem?.remove();
      this.#typingItem = names.length ? this.#typing(names) : null;
      if (this.#typingItem) this.#list.append(this.#typingItem);
    });
  }

  // At once: while a smooth scroll is under way, new messages would move the end away from under it.
  toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#seen();
  }

  /** @param {Message} message */
  #append(message) {
    this.#keepingPlace(() => {
      const quoted = message.replyTo ? this.#byId.get(message.replyTo)?.message : undefined;
      const item = messageElement(message, quoted, this.#members);
      this.#list.insertBefore(item, this.#placeOf(message));
      if (message.id) this.#chip(message.date, item);
      this.#register(message, item);
      this.#regroup(item, item.nextElementSibling);
    });
    if (message.sender !== PARTICIPANT) this.#received(message);
  }

  /** @param {Message} message @param {HTMLLIElement} item */
  #register(message, item) {
    if (message.id) this.#byId.set(message.id, { message, item, reactions: new Map() });
    else if (message.clientId) this.#unconfirmed.set(message.clientId, { message, item });
    this.#messages.set(item, message);
    item.dataset.id = message.id ?? "";
    item.dataset.clientId = message.clientId ?? "";
  }

  /** @param {HTMLLIElement} item @param {Message} message */
  #confirm(item, message) {
    this.#unconfirmed.delete(message.clientId ?? "");
    this.#register(message, item);
    showTime(item, message.date);
    showStatus(item, "sent");
    const [place, next] = [this.#placeOf(message), item.nextElementSibling];
    if (place !== next) this.#list.insertBefore(item, place);
    this.#chip(message.date, item);
    this.#regroup(item, item.nextElementSibling, next);
  }

  /** What a message stands before. @param {Message} message @returns {Element | null} */
  #placeOf(message) {
    const waiting = message.id ? [...this.#unconfirmed.values()].find((entry) => !entry.message.isFailed) : null;
    return waiting?.item ?? this.#typingItem;
  }

  /** Say anew of items whether they begin a group. @param {(Element | null)[]} items */
  #regroup(...items) {
    for (const item of items) {
      const message = item && this.#messages.get(item);
      if (message) item.classList.toggle("first", !this.#continues(message, item.previousElementSibling));
    }
  }

  /** @param {Message} message @param {Element | null} before */
  #continues(message, before) {
    const last = before && this.#messages.get(before);
    return !!last && last.sender === message.sender && message.date.getTime() - last.date.getTime() < GROUP_MS;
  }

  /** Say which day begins with a confirmed message. @param {Date} date @param {HTMLLIElement} item */
  #chip(date, item) {
    if (dayKey(date) === this.#lastDay) return;
    this.#lastDay = dayKey(date);
    const chip = document.createElement("li");
    chip.className = "day";
    const label = document.createElement("span");
    label.textContent = dayText(date, new Date());
    chip.append(label);
    this.#list.insertBefore(chip, item);
  }

  /** @param {string[]} names */
  #typing(names) {
    const item = document.createElement("li");
    item.className = "message typing first";
    item.setAttribute("aria-label", typingText(names));
    const avatar = document.createElement("span");
    avatar.className = `avatar ${colorOf(names[0], this.#members)}`;
    avatar.textContent = initialOf(names[0]);
    const bubble = document.createElement("div");
    bubble.className = "bubble";
    bubble.append(...[0, 1, 2].map(() => Object.assign(document.createElement("i"), { className: "dot" })));
    item.append(avatar, bubble);
    return item;
  }

  /** @param {Message} message */
  #received(message) {
    this.#announcer.textContent = `${message.sender}: ${message.content}`;
    if (this.#isAtEnd() && !document.hidden) return;
    this.#unseen += 1;
    this.#showUnseen();
  }

  #seen() {
    if (this.#unseen === 0 && this.#toNewest.hidden) return;
    this.#unseen = 0;
    this.#showUnseen();
  }

  #showUnseen() {
    this.#toNewest.hidden = this.#isAtEnd();
    const count = /** @type {HTMLElement} */ (this.#toNewest.querySelector(".unseen-count"));
    count.textContent = this.#unseen ? String(this.#unseen) : "";
  }

  #isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  /** Whoever reads at the end stays there; whoever reads further up is left in peace. @param {() => void} change */
  #keepingPlace(change) {
    const wasAtEnd = this.#isAtEnd();
    change();
    if (wasAtEnd) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const target = /** @type {Element} */ (event.target);
    const item = /** @type {HTMLElement | null} */ (target.closest(".message"));
    const quote = /** @type {HTMLElement | null} */ (target.closest(".quote"));
    if (quote) this.#jumpTo(quote.dataset.target ?? "");
    else if (target.closest(".reply-button")) this.#reply(item?.dataset.id ?? "");
    else if (isRetry(target)) this.#onRetry(item?.dataset.clientId ?? "");
    else this.#choose(target.closest(".bubble") ? item : null);
  }

  /** @param {string} messageId */
  #reply(messageId) {
    const entry = this.#byId.get(messageId);
    this.#choose(null);
    if (entry) this.#onReply(entry.message);
  }

  /** Where nothing can hover, a tap on a message shows what can be done with it. @param {HTMLElement | null} item */
  #choose(item) {
    const before = this.#list.querySelector(".chosen");
    before?.classList.remove("chosen");
    if (item !== before) item?.classList.add("chosen");
  }

  /** @param {string} messageId */
  #jumpTo(messageId) {
    const entry = this.#byId.get(messageId);
    if (!entry) return;
    entry.item.scrollIntoView({ block: "center", behavior: "smooth" });
    entry.item.classList.add("flash");
    setTimeout(() => entry.item.classList.remove("flash"), FLASH_MS);
  }
}

/** The whole of a bubble that was not sent is for tapping; but its text may be selected, to be kept. @param {Element} target */
function isRetry(target) {
  return !!target.closest(".retry") || (!!target.closest(".failed .bubble") && getSelection()?.isCollapsed !== false);
}

/** On a message taller than a glance, the button comes to where the reader points. @param {PointerEvent} event */
function bringReplyButton(event) {
  const bubble = /** @type {Element} */ (event.target).closest(".bubble");
  const button = /** @type {HTMLElement | null | undefined} */ (bubble?.querySelector(".reply-button"));
  if (!bubble || !button) return;
  const { top, height } = bubble.getBoundingClientRect();
  if (height > TALL_PX) button.style.insetBlockStart = `${event.clientY - top}px`;
}
