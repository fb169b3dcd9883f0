// @ts-check
// The table, round by round: who said what, who is awaited, and where the next round is asked for.

import { detailsOf, problemOf } from "./interface.js";
import {
  button, counted, durationText, emptiness, facts, field, fold, listed, make, notice, numberText, part, refill, Rows, shareBar, shortDayText,
  submitButton, tellProblems, textarea, words,
} from "./elements.js";

/**
 * @typedef {import("./elements.js").Cast} Cast
 * @typedef {import("./interface.js").Answer} Answer
 * @typedef {import("./interface.js").Round} Round
 * @typedef {import("./interface.js").TaskShare} TaskShare
 * @typedef {import("./interface.js").Voice} Voice
 * @typedef {import("./session.js").Panel} Panel
 * @typedef {import("./session.js").Session} Session
 */

const MAX_INPUT = 2_000;

/** @implements {Panel} */
export class Table {
  element = make("div", "table-view");
  #session;
  #earlier = make("div", "earlier");
  #places = make("nav", "places");
  #list = make("div", "rounds");
  #aside = make("aside", "seats");
  /** @type {Map<number, RoundSection>} */ #sections = new Map();
  #composer;
  #drawnSeats = "";

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
    this.#composer = new Composer(session, () => this.#toOpen());
    this.#aside.setAttribute("aria-label", "At the table");
    this.#places.setAttribute("aria-label", "Rounds");
    this.element.append(make("div", "table-main", this.#places, this.#earlier, this.#list, this.#composer.element), this.#aside);
  }

  update() {
    const { rounds, open } = this.#session;
    const visible = [...rounds, ...(open ? [open] : [])];
    const numbers = new Set(visible.map((each) => each.turn_number));
    for (const [number, section] of this.#sections) {
      if (numbers.has(number)) continue;
      section.element.remove();
      this.#sections.delete(number);
    }
    visible.forEach((round, place) => this.#place(round, place));
    const { earlier } = this.#session;
    this.#earlier.replaceChildren(...(earlier > 0 ? [button("plain small", `Show earlier rounds (${earlier})`, () => this.#session.loadEarlier())] : []));
    this.#places.replaceChildren(...(visible.length > 1 ? visible.map((each) => this.#placeLink(each.turn_number)) : []));
    this.#list.querySelector(".empty")?.remove();
    if (visible.length === 0) this.#list.append(emptiness("The table is set", "Everybody has read the scenario. Say something to them, or just let them begin."));
    this.#drawSeats(open);
    this.#composer.update();
  }

  /** @param {number} number */
  #placeLink(number) {
    const made = make("button", "place", String(number));
    made.type = "button";
    made.setAttribute("aria-label", `Go to round ${number}`);
    made.addEventListener("click", () => into(this.#sections.get(number)?.element));
    return made;
  }

  /** @param {Round} round @param {number} place */
  #place(round, place) {
    let section = this.#sections.get(round.turn_number);
    if (!section) {
      section = new RoundSection(this.#session.cast, (text) => this.#composer.take(text));
      this.#sections.set(round.turn_number, section);
    }
    if (this.#list.children[place] !== section.element) this.#list.insertBefore(section.element, this.#list.children[place] ?? null);
    section.update(round);
  }

  #toOpen() {
    into(this.#list.lastElementChild);
  }

  /** @param {Round | null} open */
  #drawSeats(open) {
    const { cast, state } = this.#session;
    const speaks = (/** @type {string} */ role) => {
      if (!open) return "";
      if (open.agent_responses.some((each) => each.agent_role === role)) return "has answered";
      if (!open.awaited.includes(role)) return "";
      return open.status === "failed" ? "has not answered" : "is awaited";
    };
    const seats = state.agent_states.map((each) => ({ ...each, doing: speaks(each.agent_role) }));
    const drawn = JSON.stringify(seats);
    if (drawn === this.#drawnSeats) return;
    this.#drawnSeats = drawn;
    const items = seats.map(({ agent_role, name, is_active, doing, current_focus }) =>
      make(
        "li",
        doing === "is awaited" ? "is-awaited" : "",
        cast.avatar(agent_role),
        make("span", "seat", make("span", "seat-name", name), make("span", "seat-more", !is_active ? "left the table" : doing || current_focus || "")),
      ),
    );
    this.#aside.replaceChildren(make("h2", "", "At the table"), make("ul", "", ...items));
  }
}

/** Bring a round into sight. @param {Element | null | undefined} section */
function into(section) {
  section?.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

/** A round, drawn piece by piece as its answers come; what was unfolded stays so. */
class RoundSection {
  element = make("section", "round");
  #cast;
  #onTakeUp;
  #drawn = "";
  #voices = make("div", "voices");
  /** @type {Map<string, {card: HTMLElement, drawn: string}>} */ #cards = new Map();
  #head = make("div", "round-head");
  #foot = make("div", "round-foot");

  /** @param {Cast} cast @param {(text: string) => void} onTakeUp */
  constructor(cast, onTakeUp) {
    this.#cast = cast;
    this.#onTakeUp = onTakeUp;
    this.element.append(this.#head, this.#voices, this.#foot);
  }

  /** @param {Round} round */
  update(round) {
    const drawn = JSON.stringify(round);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#drawHead(round);
    for (const voice of round.agent_responses) this.#drawVoice(voice, round);
    const isRunning = round.status === "in_progress";
    this.#foot.replaceChildren(...(isRunning ? awaited(round, this.#cast) : round.status === "completed" ? this.#summary(round) : []));
    this.element.setAttribute("aria-busy", String(isRunning));
  }

  /** @param {Round} round */
  #drawHead({ turn_number, user_input, duration_ms, total_tokens, status }) {
    const figures = [duration_ms === null ? "" : durationText(duration_ms), total_tokens ? counted(total_tokens, "token") : ""].filter(Boolean).join(" · ");
    const state = status === "in_progress" ? "in progress" : status === "failed" ? "stopped" : figures;
    this.#head.replaceChildren(
      make("div", "round-line", make("h2", "", `Round ${turn_number}`), make("span", "quiet", state)),
      ...(user_input ? [make("div", "said", make("span", "said-by", "You said to the table"), make("p", "", user_input))] : []),
    );
  }

  /** @param {Voice} voice @param {Round} round */
  #drawVoice(voice, round) {
    const drawn = JSON.stringify([voice, round.status === "completed"]);
    const before = this.#cards.get(voice.agent_role);
    if (before?.drawn === drawn) return;
    const card = voiceCard(voice, round, this.#cast);
    for (const each of before?.card.querySelectorAll("details[open]") ?? []) {
      card.querySelector(`[data-fold="${/** @type {HTMLElement} */ (each).dataset.fold}"]`)?.setAttribute("open", "");
    }
    if (before) before.card.replaceWith(card);
    else this.#voices.append(card);
    if (!before && round.status === "in_progress") {
      card.classList.add("is-new");
      announce(`${this.#cast.nameOf(voice.agent_role)} has answered.`);
    }
    this.#cards.set(voice.agent_role, { card, drawn });
  }

  /** @param {Round} round */
  #summary({ coordinator_summary, next_suggested_action, turn_number }) {
    const next = next_suggested_action;
    const suggestion = next && make("div", "suggestion", make("p", "", make("strong", "", "Next: "), next), button("link", "Say this to the table", () => this.#onTakeUp(next)));
    if (this.#cards.size && this.element.getAttribute("aria-busy") === "true") announce(`Round ${turn_number} is complete.`);
    return [make("div", "summary", make("h3", "", "The coordinator sums up"), make("p", "", coordinator_summary ?? "—"), suggestion)];
  }
}

/** @param {Round} round @param {Cast} cast */
function awaited(round, cast) {
  const first = round.awaited.filter((role) => role !== "coordinator");
  const waiting = first.length ? first : round.awaited;
  const items = waiting.map((role) => make("li", "", cast.avatar(role, "is-small"), cast.nameOf(role)));
  return [make("div", "awaited", make("span", "pulse"), make("h3", "", first.length ? "Awaited" : "The coordinator sums up…"), first.length > 0 && make("ul", "", ...items))];
}

/** @param {Voice} voice @param {Round} round @param {Cast} cast */
function voiceCard(voice, round, cast) {
  const { agent_role, response, actions_proposed, directed_to, confidence, risks, opportunities, is_structured } = voice;
  const to = directed_to.length ? make("p", "directed", "to ", ...directed_to.map((role) => cast.chip(role))) : null;
  const isKnown = is_structured || confidence !== null;
  const sides = [listed("Risks", risks, "risk"), listed("Opportunities", opportunities, "chance")].filter((each) => each !== null);
  return make(
    "article",
    `voice ${cast.colorOf(agent_role)}`,
    make(
      "header",
      "",
      cast.avatar(agent_role),
      make("div", "voice-name", make("h3", "", cast.nameOf(agent_role)), to),
      isKnown && shareBar("Confidence", confidence, voice.basis.confidence),
    ),
    make("p", "response", response),
    !is_structured && make("p", "note", "The model gave no structured answer, twice: this is its text as it came."),
    listed("Proposes", actions_proposed, "action"),
    sides.length > 0 && make("div", "sides", ...sides),
    make("footer", "", ...folds(voice, round), make("span", "quiet spent", spent(voice))),
  );
}

/** @param {Voice} voice @param {Round} round */
function folds({ reasoning, task_distribution, metrics, basis, is_structured }, { status, formulas }) {
  return [
    ...(reasoning ? [fold("Reasoning", "reasoning", make("p", "prose", reasoning))] : []),
    ...(task_distribution.length ? [fold(counted(task_distribution.length, "task"), "tasks", make("div", "tasks", ...task_distribution.map(task)))] : []),
    ...(metrics ? [fold("Figures", "figures", figures(metrics, formulas))] : []),
    ...(!metrics && status === "completed" && basis.metrics ? [make("span", "quiet", `No figures: ${basis.metrics}`)] : []),
  ];
}

/** @param {Voice} voice */
function spent({ token_usage, metrics }) {
  const time = metrics?.response_time_ms;
  return [time === null || time === undefined ? "" : durationText(time), token_usage.total ? counted(token_usage.total, "token") : ""].filter(Boolean).join(" · ");
}

/** @param {TaskShare} each */
function task({ task_name, description, completion_chance, estimated_effort_hours, dependencies, priority, schedule }) {
  const known = [
    estimated_effort_hours === null ? "effort not said" : `${numberText(estimated_effort_hours)} h`,
    priority === null ? "" : `priority ${priority} of 10`,
    completion_chance === null ? "" : `${Math.round(completion_chance * 100)} % likely`,
    schedule ? `${shortDayText(schedule.start_date)} – ${shortDayText(schedule.end_date)}` : "",
  ];
  return make(
    "div",
    "task",
    make("h4", "", task_name),
    description && make("p", "", description),
    make("p", "quiet", known.filter(Boolean).join(" · ")),
    dependencies.length > 0 && make("p", "quiet", `after ${dependencies.join(", ")}`),
  );
}

/** @param {Record<string, any>} metrics @param {Record<string, string>} formulas */
function figures(metrics, formulas) {
  const names = Object.keys(metrics).filter((name) => name !== "basis");
  return facts(
    ...names.map((name) => {
      const value = metrics[name];
      const shown = value === null ? null : name === "response_time_ms" ? durationText(value) : numberText(value);
      const label = name === "response_time_ms" ? "Response time" : words(name);
      return /** @type {[string, any, string]} */ ([label, shown, value === null ? metrics.basis[name] : formulas[name]]);
    }),
  );
}

/** @param {string} text */
function announce(text) {
  part(document, "#announcer").textContent = text;
}

/** Where the next round is asked for. What is typed stays until a round has taken it. */
class Composer {
  element = make("div", "composer");
  #session;
  #onPlay;
  #text = textarea({ rows: 1, placeholder: "Say something to the table" });
  #form = make("form", "");
  #submit = submitButton("Next round");
  #focus = make("div", "chips");
  #facts = new Rows("context_override", "fact");
  #options = fold("Who speaks, and facts for this round only", "options");
  #told = make("div", "told");
  #chosen = new Set();
  #isAsking = false;
  #drawn = "";

  /** @param {Session} session @param {() => void} onPlay */
  constructor(session, onPlay) {
    this.#session = session;
    this.#onPlay = onPlay;
    const said = field("Say something to the table", this.#text, { path: "user_input", limit: MAX_INPUT, isQuiet: true });
    part(this.#options, ".fold-body").append(
      make("div", "group", make("h3", "", "Who speaks"), make("p", "hint", "Nobody chosen: everybody does."), this.#focus),
      make("div", "group", make("h3", "", "Facts for this round only"), make("p", "hint", "They stand over the session's own."), this.#facts.element),
    );
    this.#form.noValidate = true;
    this.#form.append(this.#options, make("div", "composer-row", said, this.#submit));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.#submit.disabled) this.#send();
    });
    this.#text.addEventListener("input", () => this.#grow());
    this.#text.addEventListener("refill", () => this.#grow());
    this.#text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    });
    this.element.append(this.#told, this.#form);
  }

  update() {
    const { state, open, cast } = this.#session;
    this.#submit.disabled = this.#isAsking || open?.status === "in_progress";
    const isPlayed = open?.status === "in_progress";
    this.#submit.textContent = isPlayed ? `Round ${open.turn_number} is played…` : open ? "Begin it anew" : "Next round";
    this.#submit.className = open && !isPlayed ? "plain" : "primary"; // what is kept would be left behind
    this.#submit.toggleAttribute("aria-busy", isPlayed);
    const isOver = state.status === "completed" || state.current_turn >= state.max_turns || (state.status === "failed" && !open);
    this.#form.hidden = isOver || state.status === "paused";
    const drawn = JSON.stringify([state.status, isOver, open?.status, open?.awaited, state.agent_states.map((each) => each.is_active), this.#isAsking]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    if (!this.#isAsking) this.#told.replaceChildren(...this.#notices(isOver));
    this.#focus.replaceChildren(...state.agent_states.filter((each) => each.is_active).map((each) => this.#toggle(each.agent_role, cast)));
  }

  /** @param {boolean} isOver @returns {Node[]} */
  #notices(isOver) {
    const { state, open, cast } = this.#session;
    if (state.status === "paused") {
      return [notice("The session is paused. No round is played until it goes on.", "pause", button("primary", "Resume", () => this.#resume()))];
    }
    if (open?.status === "failed" && !isOver) {
      const silent = open.awaited.map((role) => cast.nameOf(role)).join(", ");
      const text = `Round ${open.turn_number} has stopped: ${open.basis.coordinator_summary}. What was answered is kept; still to come: ${silent}.`;
      return [notice(text, "problem", button("primary", "Try again", () => this.#again()))];
    }
    if (isOver) return [notice(state.status === "failed" ? "The session has ended with an error." : "All rounds have been played. A what-if can still be asked of any of them.")];
    return [];
  }

  async #resume() {
    const answer = await this.#session.change("resume");
    if (!answer.isFine) this.#tell(answer);
  }

  /** Put a text in, to be changed and sent. @param {string} text */
  take(text) {
    refill(this.#text, text);
    this.#text.focus();
  }

  async #send() {
    const body = {
      user_input: this.#text.value.trim() || null,
      focus_agents: [...this.#chosen],
      context_override: this.#facts.value,
    };
    const answer = await this.#play(() => this.#session.next(body));
    if (!answer.isFine) return;
    refill(this.#text, "");
    this.#chosen.clear();
    this.#facts.clear();
    this.#drawn = "";
    this.update();
  }

  async #again() {
    const answer = await this.#play(() => this.#session.again());
    if (answer.isFine) refill(this.#text, "");
  }

  /** @param {() => Promise<Answer>} ask */
  async #play(ask) {
    this.#isAsking = true;
    this.#told.replaceChildren();
    const played = ask();
    this.#onPlay();
    const answer = await played;
    this.#isAsking = false;
    this.#drawn = "";
    this.update();
    if (!answer.isFine) this.#tell(answer);
    return answer;
  }

  /** @param {Answer} answer */
  #tell(answer) {
    const details = detailsOf(answer);
    const others = tellProblems(this.#form, details).map((each) => each.message);
    const isFailed = this.#session.open?.status === "failed";
    if (isFailed && answer.status >= 500) return; // the notices tell why
    const again = answer.status === 0 && !isFailed ? [button("primary", "Try again", () => this.#again())] : [];
    this.#told.replaceChildren(notice([problemOf(answer), ...others].join(" "), "problem", ...again));
  }

  #grow() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight + 2}px`;
  }

  /** @param {string} role @param {Cast} cast */
  #toggle(role, cast) {
    const made = make("button", `toggle ${cast.colorOf(role)}`, make("span", "dot"), cast.nameOf(role));
    made.type = "button";
    const show = () => made.setAttribute("aria-pressed", String(this.#chosen.has(role)));
    made.addEventListener("click", () => {
      if (!this.#chosen.delete(role)) this.#chosen.add(role);
      show();
      const count = this.#chosen.size;
      part(this.#options, "summary").textContent = count ? `${counted(count, "role")} will speak` : "Who speaks, and facts for this round only";
    });
    show();
    return made;
  }
}
