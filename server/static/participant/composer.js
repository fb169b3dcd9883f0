// @ts-check
// Where the participant writes: grows with the text, sends on Enter, never in the middle of an IME composition.

import { writeQuote } from "./message.js";

/** @typedef {import("./message.js").Message} Message */

const MAX_CHARACTERS = 4_000; // the server takes no more
const PHONE = matchMedia("(pointer: coarse) and (hover: none)");

export class Composer {
  /** @type {Message | null} */ #quoted = null;
  /** @type {string[]} */ #members = [];
  #form;
  #text;
  #send;
  #quoteBox;
  #problem;
  #onSend;

  /** @param {{form: HTMLFormElement, onSend: (content: string, replyTo: string | null) => void}} parts */
  constructor({ form, onSend }) {
    this.#form = form;
    this.#onSend = onSend;
    this.#text = /** @type {HTMLTextAreaElement} */ (form.querySelector("textarea"));
    this.#send = /** @type {HTMLButtonElement} */ (form.querySelector(".send"));
    this.#quoteBox = /** @type {HTMLElement} */ (form.querySelector(".composer-quote"));
    this.#problem = /** @type {HTMLElement} */ (form.querySelector(".composer-problem"));
    form.addEventListener("submit", (event) => this.#submitted(event));
    this.#text.addEventListener("input", () => this.#changed());
    this.#text.addEventListener("keydown", (event) => this.#keyed(event));
    // On a phone the button must not take the keyboard away.
    this.#send.addEventListener("pointerdown", (event) => event.preventDefault());
    this.#quoteBox.querySelector("button")?.addEventListener("click", () => this.quote(null));
  }

  /** @param {string[]} members */
  setMembers(members) {
    this.#members = members;
  }

  focus() {
    if (!PHONE.matches) this.#text.focus();
  }

  /** Answer `message`, or nothing in particular. @param {Message | null} message */
  quote(message) {
    this.#quoted = message;
    this.#quoteBox.hidden = message === null;
    if (message) writeQuote(/** @type {HTMLElement} */ (this.#quoteBox.querySelector(".quote-box")), message, this.#members);
    this.#text.focus();
  }

  /** @param {KeyboardEvent} event */
  #keyed(event) {
    if (event.key === "Escape" && this.#quoted) this.quote(null);
    // keyCode 229 is what Safari says of the Enter that ends a composition.
    const isComposing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || isComposing) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  #changed() {
    const content = cleaned(this.#text.value);
    const excess = Array.from(content).length - MAX_CHARACTERS;
    this.#problem.hidden = excess <= 0;
    this.#problem.textContent = excess > 0 ? `This message is ${excess.toLocaleString()} characters too long.` : "";
    this.#send.disabled = excess > 0 || content === "";
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }

  /** @param {SubmitEvent} event */
  #submitted(event) {
    event.preventDefault();
    const content = cleaned(this.#text.value);
    if (this.#send.disabled) return;
    this.#text.value = "";
    this.#changed();
    const replyTo = this.#quoted?.id ?? null;
    if (this.#quoted) this.quote(null);
    this.#onSend(content, replyTo);
  }
}

/** What nobody types and the server would refuse: control characters, halves of characters. @param {string} text */
function cleaned(text) {
  return text.replace(/(?![\n\t])[\p{Cc}\p{Cs}]/gu, "").trim();
}
