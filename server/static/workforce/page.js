// @ts-check
// The researcher's page of the simulator: which view an address means, and a session under its tabs.

import { problemOf } from "./interface.js";
import { button, link, make, part, statusPill } from "./elements.js";
import { FunctionPointsPanel, TimelinePanel } from "./figures.js";
import { MemoryPanel, Session, SettingsPanel } from "./session.js";
import { SessionList, StartForm } from "./sessions.js";
import { Table } from "./table.js";
import { WhatIfPanel } from "./what-if.js";

/**
 * @typedef {import("./interface.js").Answer} Answer
 * @typedef {import("./session.js").Panel} Panel
 * @typedef {{element: HTMLElement, title: string, show: (rest: string[]) => unknown, hide?: () => void}} View
 *   `show`: it is looked at, with what the address says after the view's own name
 */

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const TABS = [
  ["", "Table"],
  ["timeline", "Timeline"],
  ["function-points", "Function points"],
  ["memory", "Memory"],
  ["what-if", "What if"],
  ["session", "Session"],
];

/** A session under its tabs. @implements {View} */
class SessionView {
  title = "Session";
  element = make("div", "page is-wide");
  id;
  #session;
  #head = make("div", "session-head");
  #tabs = make("nav", "tabs");
  #body = make("div", "panel");
  /** @type {Map<string, Panel>} */ #panels = new Map();
  #tab = "";
  #isLoaded = false;
  #onGone;
  #drawnHead = "";

  /** @param {{id: string, onGone: () => void}} parts */
  constructor({ id, onGone }) {
    this.id = id;
    this.#onGone = onGone;
    this.#session = new Session(id, () => this.#changed());
    this.#tabs.setAttribute("aria-label", "Session");
    this.element.append(make("p", "loading", "Loading the session…"));
  }

  /** @param {string[]} rest */
  async show([tab = "", ...rest]) {
    if (!this.#isLoaded) {
      const answer = await this.#session.load();
      if (!answer.isFine) return this.#fail(answer, [tab, ...rest]);
      this.#isLoaded = true;
      this.element.replaceChildren(this.#head, this.#tabs, this.#body);
    } else if (!this.#session.isPlaying) {
      void this.#session.refresh();
    }
    if (tab !== this.#tab) {
      this.#panels.get(this.#tab)?.hide?.();
      scrollTo(0, 0);
    }
    this.#tab = TABS.some(([name]) => name === tab) ? tab : "";
    this.#drawTabs();
    const panel = this.#panel(this.#tab);
    if (panel.element.parentNode !== this.#body) this.#body.replaceChildren(panel.element);
    this.#changed();
    await panel.show?.(rest);
  }

  hide() {
    this.#panels.get(this.#tab)?.hide?.();
  }

  /** @param {Answer} answer @param {string[]} rest */
  #fail(answer, rest) {
    const heading = make("h1", "", answer.status === 404 ? "There is no such session" : "The session could not be opened");
    heading.tabIndex = -1;
    const again = answer.status === 404 ? link("All sessions", "#", "plain") : button("plain", "Try again", () => this.show(rest));
    this.element.replaceChildren(make("div", "empty", heading, make("p", "", problemOf(answer)), again));
  }

  #changed() {
    if (!this.#isLoaded) return;
    this.#drawHead();
    this.#panel(this.#tab).update();
  }

  #drawHead() {
    const { name, scenario, status, current_turn, max_turns, fork, model } = this.#session.state;
    const drawn = JSON.stringify([name, scenario, status, current_turn, fork]);
    if (drawn === this.#drawnHead) return;
    this.#drawnHead = drawn;
    this.title = name || scenario.slice(0, 60);
    const heading = make("h1", "", name || shortened(scenario));
    heading.tabIndex = -1;
    const origin = fork && make("p", "quiet", `${fork.kind === "base" ? "Base branch" : "Changed branch"} of a what-if, run ${fork.run}. `, link("Back to it", `#${fork.parent}/what-if/${fork.what_if}`));
    this.#head.replaceChildren(
      make("div", "session-line", heading, statusPill(status), make("span", "quiet", `${current_turn} of ${max_turns} rounds`), ...(isScripted(model) ? [scripted()] : [])),
      ...(origin ? [origin] : []),
      make("p", "scenario", scenario),
    );
    const text = /** @type {HTMLElement} */ (part(this.#head, ".scenario"));
    text.classList.add("is-cut");
    if (text.scrollHeight > text.clientHeight) this.#head.append(unfolding(text));
    else text.classList.remove("is-cut");
  }

  #drawTabs() {
    const links = TABS.map(([name, label]) => {
      const made = link(label, `#${this.id}${name && `/${name}`}`);
      if (name === this.#tab) made.setAttribute("aria-current", "page");
      return made;
    });
    this.#tabs.replaceChildren(...links);
    const current = /** @type {HTMLElement} */ (part(this.#tabs, "[aria-current]"));
    this.#tabs.scrollLeft = current.offsetLeft - this.#tabs.clientWidth / 2 + current.clientWidth / 2;
  }

  /** @param {string} tab */
  #panel(tab) {
    const panel = this.#panels.get(tab) ?? this.#make(tab);
    this.#panels.set(tab, panel);
    return panel;
  }

  /** @param {string} tab @returns {Panel} */
  #make(tab) {
    switch (tab) {
      case "timeline":
        return new TimelinePanel(this.#session);
      case "function-points":
        return new FunctionPointsPanel(this.#session);
      case "memory":
        return new MemoryPanel(this.#session);
      case "what-if":
        return new WhatIfPanel(this.#session);
      case "session":
        return new SettingsPanel(this.#session, this.#onGone);
    }
    return new Table(this.#session);
  }
}

/** @param {string} model */
const isScripted = (model) => model.startsWith("scripted:");

function scripted() {
  const made = make("span", "pill", "Scripted answers");
  made.title = "No model speaks here: the lines were written beforehand, and what a script says of a change is no finding. LLM_PROVIDER and LLM_MODEL set a model up.";
  return made;
}

/** @param {string} text */
const shortened = (text) => (text.length > 80 ? `${text.slice(0, 79).trimEnd()}…` : text);

/** @param {HTMLElement} text */
function unfolding(text) {
  const more = make("button", "link", "Show the whole scenario");
  more.type = "button";
  more.setAttribute("aria-expanded", "false");
  more.addEventListener("click", () => {
    const isCut = text.classList.toggle("is-cut");
    more.textContent = isCut ? "Show the whole scenario" : "Show less";
    more.setAttribute("aria-expanded", String(!isCut));
  });
  return more;
}

/** Leads from addresses to views. Views live on while others are shown: what was typed is still there. */
class Pages {
  #root = part(document, "#view");
  #list = new SessionList();
  #form = new StartForm({ onStarted: (id) => this.#started(id) });
  /** @type {SessionView | null} */ #session = null;
  /** @type {View | null} */ #shown = null;
  #place = "";

  begin() {
    addEventListener("hashchange", () => this.#follow());
    part(document, "#skip").addEventListener("click", (event) => {
      event.preventDefault();
      /** @type {HTMLElement} */ (this.#root).focus();
    });
    this.#follow();
  }

  /** @param {string} id */
  #started(id) {
    this.#form = new StartForm({ onStarted: (next) => this.#started(next) });
    location.hash = id;
  }

  async #follow() {
    const [first, ...rest] = decodeURI(location.hash.slice(1)).split("/");
    const view = this.#viewOf(first);
    const place = `${first}/${rest[0] ?? ""}`;
    const isMove = this.#place !== "" && this.#place !== place;
    this.#place = place;
    if (view !== this.#shown) {
      this.#shown?.hide?.();
      this.#root.replaceChildren(view.element);
      this.#shown = view;
      scrollTo(0, 0);
    }
    await view.show(rest);
    if (view !== this.#shown) return;
    document.title = `${view.title} · Workforce`;
    if (isMove && !view.element.contains(document.activeElement)) /** @type {HTMLElement | null} */ (view.element.querySelector("h1"))?.focus();
  }

  /** @param {string} first @returns {View} */
  #viewOf(first) {
    if (first === "new") return this.#form;
    if (!ID.test(first)) return this.#list;
    const id = first.toLowerCase();
    if (this.#session?.id !== id) this.#session = new SessionView({ id, onGone: () => (location.hash = "") });
    return this.#session;
  }
}

new Pages().begin();
