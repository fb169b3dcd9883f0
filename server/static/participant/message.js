// @ts-check
// One message as an element. Texts go in as text, never as markup.

import { colorOf, initialOf, isBigEmoji, mentionPieces, timeText } from "./format.js";

/**
 * @typedef {{headline: string, source: string, text: string}} News
 * @typedef {object} Message
 * @property {string} sender "user" is the participant
 * @property {string} content of a news card: its headline
 * @property {News | null} [card]
 * @property {Date} date
 * @property {string | null} id message_id, null while it is pending
 * @property {string | null} clientId
 * @property {string | null} replyTo
 * @property {number} position
 * @property {boolean} [isFailed] the server would not have it
 */

export const PARTICIPANT = "user";
const STATUS = { pending: "Sending", sent: "Sent" };

/**
 * @template {Element} [T=HTMLElement] of what kind it is, the caller knows
 * @param {ParentNode} root @param {string} selector
 */
export function part(root, selector) {
  return /** @type {T} */ (root.querySelector(selector));
}

/**
 * @param {Message} message @param {Message | undefined} quoted @param {string[]} members
 * @returns {HTMLLIElement}
 */
export function messageElement(message, quoted, members) {
  /** @type {HTMLTemplateElement} */ const template = part(document, "#message-template");
  /** @type {HTMLLIElement} */ const item = part(/** @type {DocumentFragment} */ (template.content.cloneNode(true)), ".message");
  const isOwn = message.sender === PARTICIPANT;
  item.classList.toggle("own", isOwn);
  item.classList.toggle("has-news", !!message.card);
  item.classList.toggle("big-emoji", !message.replyTo && !message.card && isBigEmoji(message.content));
  if (isOwn) part(item, ".sender").remove();
  else nameSender(item, message.sender, members);
  if (message.card) drawNews(part(item, ".content"), message.card);
  else fillContent(part(item, ".content"), message.content, members);
  if (quoted) fillQuote(item, quoted, members);
  showTime(item, message.date);
  showStatus(item, isOwn ? statusOf(message) : null);
  return item;
}

/** @param {Message} message */
function statusOf({ id, isFailed }) {
  if (id) return "sent";
  return isFailed ? "failed" : "pending";
}

/** @param {HTMLElement} item @param {string} sender @param {string[]} members */
function nameSender(item, sender, members) {
  const color = colorOf(sender, members);
  const name = part(item, ".sender");
  name.append(isolated(sender));
  name.classList.add(color);
  const avatar = document.createElement("span");
  avatar.className = `avatar ${color}`;
  avatar.textContent = initialOf(sender);
  avatar.setAttribute("aria-hidden", "true");
  item.prepend(avatar);
}

/** A name that is written from right to left turns nothing round but itself. @param {string} text */
function isolated(text) {
  const element = document.createElement("bdi");
  element.textContent = text;
  return element;
}

/** @param {HTMLElement} element @param {string} content @param {string[]} members */
function fillContent(element, content, members) {
  for (const piece of mentionPieces(content, members)) {
    if (!piece.isMention) {
      element.append(piece.text);
      continue;
    }
    const mention = isolated(piece.text);
    mention.className = "mention";
    element.append(mention);
  }
}

/** As a shared link is shown. @param {HTMLElement} element @param {News} card */
function drawNews(element, card) {
  element.classList.add("news");
  for (const name of /** @type {const} */ (["source", "headline", "text"])) {
    const line = document.createElement("span");
    line.className = `news-${name}`;
    line.dir = "auto";
    line.textContent = card[name];
    element.append(line);
  }
}

/** @param {HTMLElement} item @param {Message} quoted @param {string[]} members */
function fillQuote(item, quoted, members) {
  const quote = part(item, ".quote");
  quote.hidden = false;
  quote.dataset.target = quoted.id ?? "";
  writeQuote(quote, quoted, members);
}

/** @param {HTMLElement} box @param {Message} quoted @param {string[]} members */
export function writeQuote(box, quoted, members) {
  const isOwn = quoted.sender === PARTICIPANT;
  const color = isOwn ? "color-own" : colorOf(quoted.sender, members);
  box.className = `${box.className.replace(/ ?color-\w+/g, "")} ${color}`;
  part(box, ".quote-sender").replaceChildren(isolated(isOwn ? "You" : quoted.sender));
  const text = part(box, ".quote-text");
  text.replaceChildren();
  fillContent(text, quoted.content, members);
}

/** @param {HTMLElement} item @param {Date} date */
export function showTime(item, date) {
  /** @type {HTMLTimeElement} */ const time = part(item, "time");
  time.dateTime = date.toISOString();
  time.textContent = timeText(date);
}

/** @param {HTMLElement} item @param {"pending" | "sent" | "failed" | null} status */
export function showStatus(item, status) {
  const mark = part(item, ".status");
  const isFailed = status === "failed";
  item.classList.toggle("pending", status === "pending");
  item.classList.toggle("failed", isFailed);
  part(item, ".retry").hidden = !isFailed;
  mark.hidden = !status || isFailed;
  if (status && !isFailed) mark.setAttribute("aria-label", STATUS[status]);
}

/** @param {HTMLElement} item @param {Map<string, string>} reactions emoji by member */
export function showReactions(item, reactions) {
  const box = part(item, ".reactions");
  const emoji = [...new Set(reactions.values())];
  box.hidden = emoji.length === 0;
  box.textContent = emoji.slice(0, 4).join("") + (reactions.size > 1 ? ` ${reactions.size}` : "");
  box.title = [...reactions].map(([name, sign]) => `${name === PARTICIPANT ? "You" : name} ${sign}`).join(", ");
  item.classList.toggle("has-reactions", emoji.length > 0);
}
