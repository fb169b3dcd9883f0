// @ts-check
// All sessions, and the form that one begins with.

import { ask, detailsOf, problemOf } from "./interface.js";
import {
  button, choice, counted, emptiness, field, fold, input, link, make, momentText, notice, numberIn, refill, Rows, select, statusPill,
  submitButton, tellProblems, textarea, whileResting,
} from "./elements.js";

/**
 * @typedef {import("./interface.js").Agent} Agent
 * @typedef {import("./interface.js").Listed} Listed
 */

const PAGE_SIZE = 20;

export const EXECUTIONS = [
  ["sequential", "One after another", "By priority, and everybody hears all who spoke before. The slowest, and the closest to a meeting."],
  ["parallel", "All at once", "Nobody hears the others before the next round. As fast as the slowest answer."],
  ["waves", "In waves", "Roles of similar priority answer at once; the next wave hears the ones before."],
];
const EXAMPLE = {
  scenario:
    "We launch a project-management app for small teams in eight weeks. The product is feature complete but for " +
    "billing, three pilot customers are waiting, and a larger competitor has announced something similar for the same month.",
  name: "Product launch",
  rounds: "6",
  context: [
    ["budget", "120000"],
    ["hourly_rate", "90"],
    ["launch_in_weeks", "8"],
    ["pilot_customers", "3"],
  ],
};

/** All sessions, the newest first. */
export class SessionList {
  title = "Sessions";
  element = make("div", "page");
  #rows = make("div", "sessions");
  #foot = make("div", "paging");
  #status = select([["", "Any status"], ["active", "Active"], ["paused", "Paused"], ["completed", "Completed"], ["failed", "Failed"]]);
  #branches = input("checkbox");
  #offset = 0;

  constructor() {
    this.#status.setAttribute("aria-label", "Status");
    for (const control of [this.#status, this.#branches]) {
      control.addEventListener("change", () => this.#load(0));
    }
    const heading = make("h1", "", "Sessions");
    heading.tabIndex = -1;
    const head = make("div", "page-head", heading, link("New session", "#new", "primary"));
    const filters = make("div", "filters", this.#status, choice("With branches of what-ifs", this.#branches));
    this.element.append(head, filters, this.#rows, this.#foot);
  }

  show() {
    return this.#load(this.#offset);
  }

  /** @param {number} offset */
  async #load(offset) {
    const query = new URLSearchParams({ limit: String(PAGE_SIZE), offset: String(offset), branches: String(this.#branches.checked) });
    if (this.#status.value) query.set("status", this.#status.value);
    const answer = await ask("GET", `/simulations?${query}`);
    if (!answer.isFine) {
      this.#rows.replaceChildren(notice(problemOf(answer), "problem", button("plain", "Try again", () => this.#load(offset))));
      return;
    }
    this.#offset = offset;
    this.#draw(answer.body.simulations, answer.body.total);
  }

  /** @param {Listed[]} sessions @param {number} total */
  #draw(sessions, total) {
    const isFiltered = this.#status.value !== "" || this.#offset > 0;
    const none = isFiltered
      ? emptiness("Nothing here", "No session fits.")
      : emptiness(
          "Nobody has met yet",
          "Describe a scenario, choose who sits at the table, and let them talk it through round by round.",
          link("New session", "#new", "primary"),
        );
    this.#rows.replaceChildren(...(sessions.length ? sessions.map(row) : [none]));
    this.#foot.replaceChildren(...(total > 0 ? this.#paging(sessions.length, total) : []));
  }

  /** @param {number} shown @param {number} total */
  #paging(shown, total) {
    const last = this.#offset + shown;
    const newer = button("plain small", "Newer", () => this.#load(Math.max(0, this.#offset - PAGE_SIZE)));
    const older = button("plain small", "Older", () => this.#load(last));
    const text = make("span", "quiet", shown < total ? `${this.#offset + 1}–${last} of ${total}` : counted(total, "session"));
    return [text, ...(this.#offset > 0 ? [newer] : []), ...(last < total ? [older] : [])];
  }
}

/** @param {Listed} session */
function row({ session_id, name, scenario, status, current_turn, max_turns, created_at, parent }) {
  const title = make("span", "session-name", name || scenario);
  const more = make("span", "session-scenario", name ? scenario : "");
  const made = make(
    "a",
    "session",
    make("span", "session-text", title, name && more),
    make(
      "span",
      "session-facts",
      parent && make("span", "pill", "Branch"),
      statusPill(status),
      make("span", "quiet", `${current_turn} of ${max_turns} rounds`),
      make("time", "quiet", momentText(created_at)),
    ),
  );
  made.href = `#${session_id}`;
  return made;
}

export class StartForm {
  title = "New session";
  element = make("div", "page");
  #form = make("form", "sheet");
  #onStarted;
  #scenario = textarea({ name: "scenario", rows: 5, required: true });
  #name = input("text", { name: "name" });
  #description = textarea({ name: "description", rows: 2 });
  #rounds = input("number", { name: "max_turns", value: "50", min: "1", max: "500" });
  #temperature = input("range", { name: "temperature", value: "0.7", min: "0", max: "2", step: "0.1" });
  #memory = input("checkbox", { name: "enable_memory", checked: true });
  #analytics = input("checkbox", { name: "enable_analytics", checked: true });
  #seed = input("text", { name: "seed", inputMode: "numeric" });
  #context = new Rows("initial_context", "fact");
  #roles = make("div", "roles");
  #told = make("div", "told");
  #submit = submitButton("Start the session");
  #hasRoles = false;

  /** @param {{onStarted: (id: string) => void}} parts */
  constructor({ onStarted }) {
    this.#onStarted = onStarted;
    this.#form.noValidate = true; // the server says what is wrong, at the field
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.#submit.disabled) whileResting(this.#submit, () => this.#start());
    });
    const heading = make("h1", "", "New session");
    heading.tabIndex = -1;
    const example = button("plain", "Try the product launch", () => this.#fill());
    this.element.append(make("div", "page-head", heading, example), this.#form);
    this.#form.append(this.#about(), this.#who(), this.#how(), this.#told, this.#foot());
  }

  async show() {
    if (this.#hasRoles) return;
    const answer = await ask("GET", "/agents/list?active_only=true");
    this.#hasRoles = answer.isFine;
    if (answer.isFine) this.#roles.replaceChildren(...answer.body.agents.map(roleChoice));
    else this.#roles.replaceChildren(notice(problemOf(answer), "problem"));
  }

  #about() {
    const facts = make("div", "group", make("h3", "", "Facts from the first round on"), make("p", "hint", "Every role reads them. Numbers, true, false and JSON are taken as such, everything else as text."), this.#context.element);
    return section(
      "What is it about?",
      field("Scenario", this.#scenario, { path: "scenario", limit: 5000, hint: "What the meeting is about: at least ten characters." }),
      field("Name", this.#name, { path: "name", limit: 255, hint: "Optional. How you find the session again." }),
      field("Description", this.#description, { path: "description", limit: 1000, hint: "Optional. A note to yourself: no role reads it." }),
      facts,
    );
  }

  #who() {
    const problem = make("p", "problem");
    const roles = make("div", "field", this.#roles, problem);
    roles.dataset.path = "config.agents";
    roles.addEventListener("change", () => (problem.textContent = ""));
    return section("Who is at the table?", roles);
  }

  #how() {
    const choices = EXECUTIONS.map(([value, label, help], index) => choice(label, input("radio", { name: "execution", value, checked: index === 0 }), help));
    const order = make("fieldset", "field choices", make("legend", "", "Who hears whom"), ...choices);
    order.dataset.path = "config.execution";
    const shown = make("output", "", this.#temperature.value);
    this.#temperature.addEventListener("input", () => (shown.textContent = Number(this.#temperature.value).toFixed(1)));
    const temperature = field("Temperature", this.#temperature, { path: "config.temperature", hint: "0 is sober, 2 is wild." });
    temperature.querySelector(".field-head")?.append(shown);
    return section(
      "How does it go?",
      order,
      make("div", "pair", field("Rounds at most", this.#rounds, { path: "config.max_turns", hint: "1 to 500." }), temperature),
      fold(
        "More settings",
        "settings",
        choice("Memory", this.#memory, "Roles remember earlier rounds and recall what fits."),
        choice("Analytics", this.#analytics, "Answers bring metrics, a timeline and function points."),
        field("Seed", this.#seed, { path: "config.seed", hint: "Optional whole number. The same seed and the same words make the same session, as far as the model can." }),
      ),
    );
  }

  #foot() {
    return make("div", "sheet-foot", link("Cancel", "#", "plain"), this.#submit);
  }

  #fill() {
    this.#told.replaceChildren();
    refill(this.#scenario, EXAMPLE.scenario);
    refill(this.#name, EXAMPLE.name);
    refill(this.#rounds, EXAMPLE.rounds);
    this.#context.clear();
    for (const [name, value] of EXAMPLE.context) this.#context.add(name, value);
    this.#submit.focus();
  }

  async #start() {
    this.#told.replaceChildren();
    const answer = await ask("POST", "/simulate/start", { body: this.#body });
    if (answer.isFine) return this.#onStarted(answer.body.session_id);
    const others = tellProblems(this.#form, detailsOf(answer));
    this.#told.replaceChildren(notice([problemOf(answer), ...others.map((each) => `${each.field}: ${each.message}`)].join(" "), "problem"));
  }

  get #body() {
    const boxes = [.../** @type {NodeListOf<HTMLInputElement>} */ (this.#roles.querySelectorAll("input"))];
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    const execution = /** @type {HTMLInputElement} */ (this.#form.querySelector("[name=execution]:checked")).value;
    return {
      scenario: this.#scenario.value,
      name: this.#name.value.trim() || null,
      description: this.#description.value.trim() || null,
      config: {
        max_turns: numberIn(this.#rounds),
        agents: chosen,
        temperature: Number(this.#temperature.value),
        enable_memory: this.#memory.checked,
        enable_analytics: this.#analytics.checked,
        execution,
        seed: numberIn(this.#seed),
      },
      initial_context: this.#context.value,
    };
  }
}

/** @param {string} title @param {Node[]} content */
function section(title, ...content) {
  return make("section", "sheet-part", make("h2", "", title), ...content);
}

/** @param {Agent} agent @param {number} place */
function roleChoice({ role, name, description, priority }, place) {
  const made = choice(name, input("checkbox", { name: "agents", value: role, checked: true }), description);
  made.classList.add("role", `color-${place % 10}`);
  made.append(make("span", "priority", `Priority ${priority}`));
  return made;
}
