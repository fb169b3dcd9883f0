// @ts-check
// What every view is made of: elements, forms and their fields, dialogs, and how values are written for people.

/** @typedef {import("./interface.js").Detail} Detail */

const SVG = "http://www.w3.org/2000/svg";
const LONG_LIST = 8;
const COLORS = 10; // as many as colors.css has

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} className @param {(Node | string | null | undefined | false)[]} content
 */
export function make(tag, className, ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(.../** @type {(Node | string)[]} */ (content.filter((each) => each || each === "")));
  return element;
}

/** @param {string} tag @param {Record<string, string | number>} attributes @param {(Node | string)[]} content */
export function draw(tag, attributes, ...content) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...content);
  return element;
}

/** What is there for certain, since the template has it. @template {Element} T @param {ParentNode} root @param {string} selector */
export function part(root, selector) {
  return /** @type {T} */ (root.querySelector(selector));
}

/**
 * A button that rests while what it began goes on, so that nothing is sent twice.
 * @param {string} kind @param {string} label @param {() => unknown} onPress
 */
export function button(kind, label, onPress) {
  const made = make("button", kind, label);
  made.type = "button";
  made.addEventListener("click", () => whileResting(made, onPress));
  return made;
}

/** Of a form; the form's own listener says what is done. @param {string} label */
export function submitButton(label) {
  const made = make("button", "primary", label);
  made.type = "submit";
  return made;
}

/** @param {HTMLButtonElement} made @param {() => unknown} act */
export async function whileResting(made, act) {
  made.disabled = true;
  made.setAttribute("aria-busy", "true");
  try {
    await act();
  } finally {
    made.disabled = false;
    made.removeAttribute("aria-busy");
  }
}

/** @param {string} label @param {string} href @param {string} [className] @returns {HTMLAnchorElement} */
export function link(label, href, className = "") {
  return Object.assign(make("a", className, label), { href });
}

/** @param {string} summary @param {string} name of what it is, by which it stays open when it is drawn anew @param {Node[]} content */
export function fold(summary, name, ...content) {
  const made = make("details", "fold", make("summary", "", summary), make("div", "fold-body", ...content));
  made.dataset.fold = name;
  return made;
}

/** @param {string} text @param {"problem" | "quiet" | "pause"} kind @param {Node[]} actions */
export function notice(text, kind = "quiet", ...actions) {
  const made = make("div", `notice is-${kind}`, make("p", "", text), ...actions);
  made.setAttribute("role", kind === "problem" ? "alert" : "status");
  return made;
}

/** @param {string} title @param {string} text @param {Node[]} actions */
export function emptiness(title, text, ...actions) {
  return make("div", "empty", make("h2", "", title), make("p", "", text), ...actions);
}

/** A bar from 0 to 1 with its number. @param {string} label @param {number | null} share @param {string} [reason] why there is none */
export function shareBar(label, share, reason = "") {
  if (share === null) return make("span", "share", make("span", "share-label", label), make("span", "", "—"), reason && make("span", "reason", reason));
  const bar = make("span", "share-bar");
  bar.style.setProperty("--share", String(share));
  return make("span", "share", make("span", "share-label", label), bar, make("span", "share-number", share.toFixed(2)));
}

/** Terms and what they are; of a null, why it is one. @param {[string, any, string?][]} rows name, value, note */
export function facts(...rows) {
  const list = make("dl", "facts");
  for (const [name, value, note] of rows) {
    const shown = value instanceof Node ? value : value === null || value === undefined || value === "" ? "—" : String(value);
    list.append(make("div", "", make("dt", "", name), make("dd", "", shown, note && make("span", "note", note))));
  }
  return list;
}

/** A list of texts, a long one with its end folded, or nothing. @param {string} title @param {(string | Node)[]} items @param {string} kind */
export function listed(title, items, kind) {
  if (items.length === 0) return null;
  const list = (/** @type {(string | Node)[]} */ some) => make("ul", "", ...some.map((each) => make("li", "", each)));
  const shown = items.length > LONG_LIST ? LONG_LIST - 2 : items.length;
  const rest = items.slice(shown);
  return make("div", `listed is-${kind}`, make("h4", "", title), list(items.slice(0, shown)), rest.length > 0 && fold(`${rest.length} more`, `more-${title}`, list(rest)));
}

/**
 * A wide table scrolls inside its own box, with the keys, too.
 * @param {string} caption @param {string[]} heads @param {(string | Node)[][]} rows @param {string} [className]
 */
export function table(caption, heads, rows, className = "") {
  const head = make("tr", "", ...heads.map((each) => Object.assign(make("th", "", each), { scope: "col" })));
  const body = rows.map((cells) => make("tr", "", ...cells.map((each) => make("td", "", each))));
  const made = make("table", className, make("caption", "for-screen-readers", caption), make("thead", "", head), make("tbody", "", ...body));
  return scrolling(caption, made);
}

/** @param {string} label @param {Node} content */
export function scrolling(label, content) {
  const box = make("div", "scrolling", content);
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", label);
  return box;
}

/** Ask before what cannot be undone. @param {{title: string, text: string, action: string}} question @returns {Promise<boolean>} */
export function confirmed({ title, text, action }) {
  const heading = make("h2", "", title);
  heading.id = "question";
  const yes = Object.assign(make("button", "plain danger", action), { value: "yes" });
  const no = Object.assign(make("button", "plain", "Keep it"), { value: "no", autofocus: true });
  const form = make("form", "", heading, make("p", "", text), make("div", "buttons", no, yes));
  form.method = "dialog";
  const dialog = make("dialog", "", form);
  dialog.setAttribute("aria-labelledby", "question");
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}

// Forms

/** @typedef {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} Control */

let lastId = 0;

/**
 * A control with its label, a word of help, and the place where its problem is told.
 * @param {string} label @param {Control} control
 * @param {{hint?: string, path?: string, limit?: number, isQuiet?: boolean}} [options] `path`: what an error calls it;
 *   `limit`: characters; `isQuiet`: the label is for screen readers
 */
export function field(label, control, { hint = "", path = "", limit = 0, isQuiet = false } = {}) {
  control.id = `field-${++lastId}`;
  const caption = Object.assign(make("label", isQuiet ? "for-screen-readers" : "", label), { htmlFor: control.id });
  const help = make("span", "hint", hint);
  const counter = make("span", "counter");
  const problem = make("p", "problem");
  help.id = `${control.id}-hint`;
  problem.id = `${control.id}-problem`;
  control.setAttribute("aria-describedby", hint ? `${help.id} ${problem.id}` : problem.id);
  const made = make("div", "field", make("div", "field-head", caption, limit > 0 && counter), control, hint && help, problem);
  made.dataset.path = path;
  const changed = () => {
    if (limit) count(counter, control.value, limit);
    solve(made);
  };
  control.addEventListener("input", changed);
  control.addEventListener("refill", changed);
  changed();
  return made;
}

/** @param {HTMLElement} counter @param {string} text @param {number} limit */
function count(counter, text, limit) {
  const length = Array.from(text).length; // as the server counts
  counter.textContent = `${length.toLocaleString("en-GB")} / ${limit.toLocaleString("en-GB")}`;
  counter.classList.toggle("is-over", length > limit);
}

/** Put in what nobody typed. @param {Control} control @param {string} value */
export function refill(control, value) {
  control.value = value;
  control.dispatchEvent(new Event("refill"));
}

/** @param {HTMLElement} made */
function solve(made) {
  const problem = made.querySelector(":scope > .problem");
  if (problem?.textContent) problem.textContent = "";
  made.querySelector("[aria-invalid]")?.removeAttribute("aria-invalid");
}

/**
 * Tell each problem at its field (the one with the longest path that fits), and go to the first; return the others.
 * @param {HTMLElement} form @param {Detail[]} details
 */
export function tellProblems(form, details) {
  const fields = [.../** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-path]"))].filter((each) => each.dataset.path);
  fields.forEach(solve);
  const others = details.filter((detail) => {
    const path = (/** @type {HTMLElement} */ each) => each.dataset.path ?? "";
    const [place] = fields
      .filter((each) => detail.field === path(each) || detail.field.startsWith(`${path(each)}.`))
      .sort((a, b) => path(b).length - path(a).length);
    if (!place) return true;
    part(place, ":scope > .problem").textContent = detail.message;
    place.querySelector("input, textarea, select")?.setAttribute("aria-invalid", "true");
    place.closest("details")?.setAttribute("open", "");
    return false;
  });
  /** @type {HTMLElement | null} */ (form.querySelector("[aria-invalid]"))?.focus();
  return others;
}

/** @param {string} type @param {Partial<HTMLInputElement>} [properties] @returns {HTMLInputElement} */
export function input(type, { value = "", ...properties } = {}) {
  /** @type {object} */ const given = properties;
  const made = Object.assign(make("input", ""), { type, autocomplete: /** @type {AutoFill} */ ("off") }, given);
  made.value = value; // last of all, or it would be cut to limits that do not hold yet
  return made;
}

/** A box that grows with its text. @param {Partial<HTMLTextAreaElement>} [properties] @returns {HTMLTextAreaElement} */
export function textarea(properties = {}) {
  /** @type {object} */ const given = properties;
  const made = Object.assign(make("textarea", ""), { rows: 3, dir: "auto" }, given);
  made.style.setProperty("--rows", String(made.rows)); // it is no lower than that, and grows with its text
  return made;
}

/** @param {[string, string][]} options value, label @param {string} [value] */
export function select(options, value) {
  const made = make("select", "", ...options.map(([each, label]) => Object.assign(make("option", "", label), { value: each })));
  if (value !== undefined) made.value = value;
  return made;
}

/** @param {string} label @param {HTMLInputElement} control @param {string} [help] */
export function choice(label, control, help = "") {
  return make("label", "choice", control, make("span", "choice-text", make("span", "choice-name", label), help && make("span", "hint", help)));
}

/** What a number is written into; null where it is empty. What is no number stays text, and the server says so. @param {HTMLInputElement} control */
export function numberIn(control) {
  const text = control.value.trim();
  const number = Number(text);
  if (text === "") return null;
  return Number.isNaN(number) ? text : number;
}

/** What JSON is taken as such, the rest as text: so 12 is a number, and yes is a word. @param {string} text */
export function valueIn(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Rows of names and values. */
export class Rows {
  #list = make("div", "rows");
  element;

  /** @param {string} path of the object @param {string} label of what a row is */
  constructor(path, label) {
    const problem = make("p", "problem");
    const add = button("link", `Add a ${label}`, () => this.add());
    this.element = make("div", "field", this.#list, problem, add);
    this.element.dataset.path = path;
  }

  /** @param {string} [name] @param {string} [value] */
  add(name = "", value = "") {
    const names = input("text", { value: name, placeholder: "Name", spellcheck: false });
    const values = input("text", { value, placeholder: "Value" });
    names.setAttribute("aria-label", "Name");
    values.setAttribute("aria-label", "Value");
    const row = make("div", "row", names, values);
    const remove = button("icon", "×", () => row.remove());
    remove.setAttribute("aria-label", "Remove this row");
    row.append(remove);
    this.#list.append(row);
    if (!name) names.focus();
  }

  clear() {
    this.#list.replaceChildren();
  }

  /** @returns {Record<string, any>} */
  get value() {
    const rows = [...this.#list.children].map((row) => [...row.querySelectorAll("input")].map((each) => each.value));
    return Object.fromEntries(rows.filter(([name, value]) => name || value).map(([name, value]) => [name.trim(), valueIn(value)]));
  }
}

// Who is who

/** The roles of a session: their names, their colours, their signs. */
export class Cast {
  #names = new Map([["coordinator", "Coordinator"]]);
  /** @type {string[]} */ #roles;

  /** @param {{role: string, name: string}[]} roles in their order */
  constructor(roles) {
    this.#roles = roles.map((each) => each.role);
    for (const { role, name } of roles) this.#names.set(role, name);
  }

  get roles() {
    return this.#roles;
  }

  /** @param {string} role */
  nameOf(role) {
    return this.#names.get(role) ?? role;
  }

  /** @param {string} role */
  colorOf(role) {
    const place = this.#roles.indexOf(role);
    return place < 0 ? "color-own" : `color-${place % COLORS}`;
  }

  /** @param {string} role @param {string} [size] */
  avatar(role, size = "") {
    const made = make("span", `avatar ${size} ${this.colorOf(role)}`, initials(role, this.nameOf(role)));
    made.setAttribute("aria-hidden", "true");
    return made;
  }

  /** @param {string} role */
  chip(role) {
    return make("span", `chip ${this.colorOf(role)}`, make("span", "dot"), this.nameOf(role));
  }
}

/** @param {string} role @param {string} name */
function initials(role, name) {
  if (role.length <= 3) return role.toLocaleUpperCase();
  const words = name.split(/\s+/).filter(Boolean);
  return words.slice(0, 2).map((word) => Array.from(word)[0]).join("").toLocaleUpperCase();
}

// Values in words

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const SHORT_DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const MOMENT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** @param {string} date */
export const dayText = (date) => DAY.format(new Date(date));
/** @param {string} date */
export const shortDayText = (date) => SHORT_DAY.format(new Date(date));
/** @param {string} moment */
export const momentText = (moment) => MOMENT.format(new Date(moment));

/** @param {number} value */
export const numberText = (value) => value.toLocaleString("en-GB", { maximumFractionDigits: 2 });

/** @param {number} count @param {string} noun */
export const counted = (count, noun) => `${numberText(count)} ${noun}${count === 1 ? "" : "s"}`;

/** @param {number} milliseconds */
export function durationText(milliseconds) {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1_000;
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** "response_time_ms" in words. @param {string} name */
export function words(name) {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toLocaleUpperCase() + text.slice(1);
}

/** @param {any} value */
export function jsonText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** @param {string} status of a session */
export function statusPill(status) {
  return make("span", `pill is-${status}`, words(status));
}
