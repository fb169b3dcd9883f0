// @ts-check
// The participant page: its screens but for the chat, and what ties way in, chat and way out together.

import { Entry, Memory } from "./entry.js";
import { waitText } from "./format.js";
import { part } from "./message.js";
import { Room } from "./room.js";

/**
 * @typedef {import("./entry.js").Choice} Choice
 * @typedef {import("./entry.js").Completion} Completion
 * @typedef {import("./entry.js").Notice} Notice
 * @typedef {import("./entry.js").Reading} Reading
 * @typedef {import("./entry.js").Span} Span
 *
 * @typedef {object} Card
 * @property {string} title
 * @property {string} [text]
 * @property {string} [mark] a sign over the title; none: the group's icon
 * @property {Node[]} [body] what is read
 * @property {Node[]} [foot] what is done; always in reach
 */

const TAKEN_ON_AFTER_SECONDS = 10;
/** @type {Record<string, Card>} */
const OUTCOMES = {
  completed: { mark: "done", title: "The time is up", text: "Thank you for taking part." },
  withdrawn: { mark: "left", title: "You have left the chat", text: "Thank you for taking part." },
  declined: { mark: "left", title: "You have not taken part", text: "Thank you." },
  technical: { mark: "info", title: "The chat has ended", text: "It was interrupted. Thank you for taking part." },
  screened_out: { mark: "info", title: "All places are taken", text: "Thank you for your interest." },
};
const ENDED = { mark: "done", title: "The chat has ended", text: "Thank you for taking part." };

/** Each screen is drawn anew, and its heading gets the focus. */
class Screens {
  /** @type {HTMLFormElement} */ #form = part(document, "#join-form");
  /** @type {HTMLInputElement} */ #token = part(this.#form, "#token");
  /** @type {HTMLButtonElement} */ #submit = part(this.#form, "button");
  #problem = part(this.#form, "#join-problem");
  #card = part(document, "#card");
  /** @type {(code: string) => void} */ #onCode = () => {};
  /** @type {number | undefined} */ #timer;

  constructor() {
    this.#form.addEventListener("submit", (event) => this.#submitted(event));
  }

  /** @param {{value: string, problem: string, button: string, onCode: (code: string) => void}} parts */
  code({ value, problem, button, onCode }) {
    this.#onCode = onCode;
    this.#submit.textContent = button;
    this.#submit.disabled = false;
    this.#token.value = value;
    this.#problem.textContent = problem;
    show("join");
    (problem ? this.#token : part(this.#form, "h1")).focus();
  }

  /** @param {SubmitEvent} event */
  #submitted(event) {
    event.preventDefault();
    const code = this.#token.value.trim();
    this.#problem.textContent = code ? "" : "Please enter your access code.";
    this.#submit.disabled = code !== "";
    if (code) this.#onCode(code);
  }

  /** @param {() => void} onJoin */
  invitation(onJoin) {
    const title = part(this.#form, "h1").textContent;
    this.#draw({ title, text: "You have been invited to this group chat.", foot: [button("primary", "Join the chat", onJoin)] });
  }

  /** @param {Reading} reading @param {Choice[]} choices the first of them leads on */
  reading({ title, paragraphs }, choices) {
    const buttons = choices.map(({ label, onPress }, index) => button(index ? "plain" : "primary", label, onPress));
    this.#draw({ mark: choices.length > 1 ? "none" : "group", title, body: paragraphs.map(paragraph), foot: buttons });
  }

  /** @param {Notice} notice @param {() => void} [onPress] */
  notice({ title, text, mark = "info", button: label, wait = 0 }, onPress) {
    const next = label && onPress ? button("primary", label, onPress) : null;
    const line = make("p", "card-line");
    this.#draw({ mark, title, text, foot: next ? [line, next] : [] });
    if (!next || !wait) return;
    next.disabled = true;
    this.#countDown(wait, (left) => {
      line.textContent = left ? `You can try again in ${waitText(left)}.` : "";
      next.disabled = left > 0;
    });
  }

  /** @param {string | null} outcome */
  calm(outcome) {
    const line = make("p", "card-line late", "Please keep this page open for a moment.");
    this.#draw({ ...(outcome ? OUTCOMES[outcome] : ENDED), foot: [line] });
  }

  /** @param {{completion: Completion, debriefing: Reading | null}} end */
  end({ completion: { outcome, code, url }, debriefing }) {
    const { mark, title, text } = OUTCOMES[outcome] ?? ENDED;
    const body = debriefing ? [make("h2", "", debriefing.title), ...debriefing.paragraphs.map(paragraph)] : [];
    const next = url && isFollowable(url) ? make("a", "primary", "Continue") : null;
    const line = make("p", "card-line");
    const isDone = !next && !code;
    this.#draw({
      mark,
      title,
      text: isDone ? `${text} You can close this page now.` : text,
      body,
      foot: [...(code ? codeBox(code) : []), ...(next ? [line, next] : [])],
    });
    if (!next || !url) return;
    next.href = url;
    if (!debriefing) whenSeen(() => this.#takeOn(line, url));
  }

  /** Go to where the participant is expected, unless they stay. @param {HTMLElement} line @param {string} url */
  #takeOn(line, url) {
    const time = make("span", "");
    const stay = button("link", "Stay here", () => {
      clearInterval(this.#timer);
      line.replaceChildren();
      part(this.#card, "a.primary").focus();
    });
    line.append(time, " ", stay);
    this.#countDown(TAKEN_ON_AFTER_SECONDS, (left) => {
      time.textContent = `You will be taken back in ${waitText(left)}`;
      if (left === 0) location.assign(url);
    });
  }

  /** @param {number} seconds @param {(left: number) => void} onLeft */
  #countDown(seconds, onLeft) {
    const end = Date.now() + seconds * 1_000;
    const tick = () => {
      const left = Math.max(0, Math.ceil((end - Date.now()) / 1_000));
      if (left === 0) clearInterval(this.#timer);
      onLeft(left);
    };
    this.#timer = setInterval(tick, 1_000);
    tick();
  }

  /** @param {Card} card */
  #draw({ title, text = "", mark = "group", body = [], foot = [] }) {
    clearInterval(this.#timer);
    this.#card.dataset.mark = mark;
    this.#card.classList.toggle("is-reading", body.length > 0);
    this.#card.classList.toggle("is-sheet", body.length > 0 && mark !== "group");
    part(this.#card, "h1").textContent = title;
    part(this.#card, ".card-text").textContent = text;
    part(this.#card, ".card-body").replaceChildren(...body);
    part(this.#card, ".card-foot").replaceChildren(...foot);
    show("card");
    const scroller = part(this.#card, ".card-scroll");
    this.#card.scrollTop = scroller.scrollTop = 0;
    scroller.tabIndex = scroller.scrollHeight > scroller.clientHeight ? 0 : -1; // so that keys can scroll it
    part(this.#card, "h1").focus();
  }
}

/** @param {string} screen */
function show(screen) {
  document.body.dataset.screen = screen;
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} className @param {(Node | string)[]} content
 */
function make(tag, className, ...content) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...content);
  return element;
}

/** A button that is pressed once: what follows may take a moment. @param {string} kind @param {string} label @param {() => void} onPress */
function button(kind, label, onPress) {
  const made = make("button", kind, label);
  made.type = "button";
  made.addEventListener("click", () => {
    made.disabled = true;
    onPress();
  });
  return made;
}

/** @param {Span[]} spans */
function paragraph(spans) {
  return make("p", "", ...spans.map(written));
}

/** @param {Span} span */
function written({ text, style, href }) {
  if (style === "strong") return make("strong", "", text);
  if (style === "emphasis") return make("em", "", text);
  if (style !== "link" || !href || !isFollowable(href)) return text;
  return Object.assign(make("a", "", text), { href, target: "_blank", rel: "noopener noreferrer" });
}

/** @param {string} address */
function isFollowable(address) {
  return /^(https?|mailto):/i.test(address);
}

/** @param {string} code */
function codeBox(code) {
  const shown = make("code", "", code);
  const copy = make("button", "plain", "Copy");
  copy.type = "button";
  copy.addEventListener("click", async () => {
    copy.textContent = (await copied(shown)) ? "Copied" : "Copy";
  });
  copy.setAttribute("aria-live", "polite");
  return [make("p", "card-line", "Your completion code"), make("div", "code-box", shown, copy)];
}

/** On plain http there is no clipboard for pages, but there is the old way. @param {HTMLElement} element */
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(element);
    return document.execCommand("copy");
  }
}

/** Somebody who looks elsewhere is not taken on before they have seen their code. @param {() => void} act */
function whenSeen(act) {
  if (!document.hidden) act();
  else document.addEventListener("visibilitychange", act, { once: true });
}

const screens = new Screens();
/** @type {HTMLTemplateElement} */ const pageData = part(document, "#page-data");
/** @type {import("./entry.js").PageData} */ const data = JSON.parse(pageData.content.textContent ?? "");
/** @type {Room | undefined} */ let room;
const entry = new Entry({
  data,
  memory: new Memory(),
  screens,
  openRoom: (sessionId) => {
    room ??= new Room({
      root: part(document, "#room"),
      sessionId,
      withdrawal: data.withdrawal,
      onOpen: () => show("room"),
      onEnd: (outcome, reason) => entry.ended(outcome, reason),
    });
    room.open();
  },
});
entry.begin();
