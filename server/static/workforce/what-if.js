// @ts-check
// What if: what is changed, how far it has come, and the branches side by side.

import { ask, detailsOf, pause, Pending, problemOf } from "./interface.js";
import {
  button, counted, facts, field, fold, input, jsonText, link, listed, make, momentText, notice, numberIn, select, shareBar, submitButton, tellProblems,
  textarea, valueIn, whileResting, words,
} from "./elements.js";

/**
 * @typedef {import("./elements.js").Cast} Cast
 * @typedef {import("./interface.js").Branch} Branch
 * @typedef {import("./interface.js").Modification} Modification
 * @typedef {import("./interface.js").Outcome} Outcome
 * @typedef {import("./interface.js").Round} Round
 * @typedef {import("./interface.js").WhatIf} WhatIf
 * @typedef {import("./interface.js").WhatIfListed} WhatIfListed
 * @typedef {import("./session.js").Panel} Panel
 * @typedef {import("./session.js").Session} Session
 */

const POLL_MS = 600;

/** @implements {Panel} */
export class WhatIfPanel {
  element = make("div", "what-if");
  #session;
  #form;
  #listing = make("section", "block");
  #result = make("div", "result");
  #progress = make("div", "progress");
  #start = make("div", "columns");
  #isWatched = false;
  #isShown = false;
  #shownId = "";
  #drawn = "";

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
    this.#form = new WhatIfForm(session, { onBegin: () => this.#begun(), onDone: (id) => this.#done(id) });
    this.#progress.tabIndex = -1;
    this.#start.append(make("div", "", this.#progress, this.#form.element), this.#listing);
  }

  update() {
    this.#form.update();
  }

  /** @param {string[]} rest */
  async show([id = ""]) {
    this.#isShown = true;
    if (id) return this.#open(id);
    this.element.replaceChildren(this.#start);
    return this.#watch();
  }

  hide() {
    this.#isShown = false;
  }

  /** What is played stands where it was asked for. */
  #begun() {
    this.#drawn = "";
    this.#draw([]);
    this.#progress.focus();
    this.#start.scrollIntoView({ block: "nearest" });
    return this.#watch();
  }

  /** @param {string} id */
  #done(id) {
    const place = `#${this.#session.id}/what-if`;
    if (this.#isShown && location.hash === place) location.hash = `${place}/${id}`;
  }

  /** Look how the branches come along, for as long as one is played. */
  async #watch() {
    if (this.#isWatched) return;
    this.#isWatched = true;
    do {
      const answer = await ask("GET", `/simulate/${this.#session.id}/what-ifs`);
      if (answer.isFine) this.#draw(answer.body.what_ifs);
      else this.#listing.replaceChildren(notice(problemOf(answer), "problem"));
      const isRunning = this.#form.isAsking || (answer.isFine && answer.body.what_ifs.some((/** @type {WhatIfListed} */ each) => !each.is_complete && this.#grows(each)));
      if (!isRunning) break;
      await pause(POLL_MS);
    } while (this.#isShown || this.#form.isAsking);
    this.#isWatched = false;
  }

  /** @type {Map<string, {played: number, at: number}>} */ #seen = new Map();

  /** Whether a what-if that somebody else asked for has come further lately. @param {WhatIfListed} each */
  #grows(each) {
    const played = playedIn(each);
    const before = this.#seen.get(each.id);
    if (!before || before.played < played) this.#seen.set(each.id, { played, at: Date.now() });
    return Date.now() - (this.#seen.get(each.id)?.at ?? 0) < 180_000;
  }

  /** @param {WhatIfListed[]} all */
  #draw(all) {
    const drawn = JSON.stringify([all, this.#form.isAsking]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#form.element.hidden = this.#form.isAsking;
    const running = all.filter((each) => !each.is_complete);
    const done = all.filter((each) => each.is_complete);
    const isBegun = this.#form.isAsking && running.length === 0;
    this.#progress.replaceChildren(...running.slice(0, this.#form.isAsking ? 1 : 3).map((each) => progressOf(each)), ...(isBegun ? [make("section", "running", make("h2", "", "The branches are played"), make("p", "quiet", "They are being prepared…"))] : []));
    this.#listing.replaceChildren(
      make("h2", "", "Earlier what-ifs"),
      ...(done.length ? done.map((each) => earlier(each, this.#session.id)) : [make("p", "quiet", "None yet. Each is kept here with its branches, and can be opened again.")]),
    );
  }

  /** @param {string} id */
  async #open(id) {
    if (this.#shownId === id) return this.element.replaceChildren(this.#result);
    this.element.replaceChildren(make("p", "loading", "Loading the comparison…"));
    const path = `/simulate/${this.#session.id}/what-ifs/${encodeURIComponent(id)}`;
    const answer = await ask("GET", path);
    if (!answer.isFine) {
      const text = answer.status === 404 ? "This what-if is not complete, or there is none with this id." : problemOf(answer);
      return this.element.replaceChildren(notice(text, "problem", link("All what-ifs", `#${this.#session.id}/what-if`, "plain")));
    }
    /** @type {WhatIf} */ const whatIf = answer.body;
    const bases = await roundsOf(whatIf.branches.find((each) => each.kind === "base" && each.run === 1), whatIf.base_turn);
    this.#result.replaceChildren(...result(whatIf, bases, this.#session.cast, this.#session.id));
    this.#shownId = id;
    return this.element.replaceChildren(this.#result);
  }
}

/** @param {Branch | undefined} branch @param {number} base @returns {Promise<Round[]>} none if it was deleted */
async function roundsOf(branch, base) {
  if (!branch) return [];
  const answer = await ask("GET", `/simulate/${branch.session_id}/turns?offset=${base}`);
  return answer.isFine ? answer.body.turns : [];
}

// What is changed

const KINDS = /** @type {[string, string][]} */ ([
  ["context", "A fact"],
  ["agent", "A role"],
  ["scenario", "The scenario"],
]);
const AGENT_CHANGES = /** @type {[string, string][]} */ ([
  ["instruction", "is told"],
  ["priority", "gets the priority"],
  ["trait", "is more or less"],
  ["active", "leaves the table"],
]);

class WhatIfForm {
  element = make("form", "sheet");
  isAsking = false;
  #session;
  #pending;
  #onBegin;
  #onDone;
  #base = select([]);
  #name = input("text");
  #rounds = input("number", { value: "3", min: "1", max: "10" });
  #runs = input("number", { value: "1", min: "1", max: "20" });
  #said = textarea({ rows: 2 });
  #list = make("div", "modifications");
  #told = make("div", "told");
  #submit = submitButton("Play both branches");
  #drawn = -1;

  /** @param {Session} session @param {{onBegin: () => void, onDone: (id: string) => void}} parts */
  constructor(session, { onBegin, onDone }) {
    this.#session = session;
    this.#pending = new Pending(`workforce-what-if:${session.id}`);
    this.#onBegin = onBegin;
    this.#onDone = onDone;
    this.element.noValidate = true;
    const add = button("plain small", "Add a change", () => this.#add());
    const changes = make("div", "field", this.#list, make("p", "problem"), add);
    changes.dataset.path = "modifications";
    this.element.append(
      make("section", "sheet-part", make("h2", "", "What if…"), make("p", "hint", "Both branches leave the session at the same round and are really played: one as it is, one with your changes. The session itself is not touched."), changes),
      make(
        "section",
        "sheet-part",
        make("div", "pair", field("Leaves the session", this.#base, { path: "base_turn" }), field("Name", this.#name, { path: "name", hint: "Optional." })),
        make("div", "pair", field("Rounds on each branch", this.#rounds, { path: "num_turns_to_simulate", hint: "1 to 10." }), field("Runs", this.#runs, { path: "runs", hint: "1 to 20. Several show how much is chance." })),
        field("Said to the table in the first round of both", this.#said, { path: "user_input", limit: 2_000, hint: "Optional." }),
      ),
      this.#told,
      make("div", "sheet-foot", this.#submit),
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.#submit.disabled) whileResting(this.#submit, () => this.#begin());
    });
    if (this.#pending.request) this.#offerAgain("A what-if was begun and not seen to its end.");
    this.#add();
  }

  update() {
    const last = this.#session.state.current_turn;
    if (last === this.#drawn) return;
    const chosen = this.#drawn === last ? this.#base.value : String(last);
    this.#drawn = last;
    const options = [...Array(last + 1).keys()].reverse().map((turn) => Object.assign(make("option", "", turn === 0 ? "before the first round" : `after round ${turn}${turn === last ? " (now)" : ""}`), { value: String(turn) }));
    this.#base.replaceChildren(...options);
    this.#base.value = chosen;
  }

  #add() {
    this.#list.append(new ModificationEditor(this.#session, () => this.#number()).element);
    this.#number();
  }

  /** Each change is called by its place. */
  #number() {
    [...this.#list.children].forEach((each, place) => editors.get(each)?.number(place));
  }

  #begin() {
    const changes = [...this.#list.children].map((each) => /** @type {ModificationEditor} */ (editors.get(each)).value);
    this.#pending.begin({
      session_id: this.#session.id,
      base_turn: Number(this.#base.value),
      name: this.#name.value.trim() || null,
      modifications: changes,
      num_turns_to_simulate: numberIn(this.#rounds),
      runs: numberIn(this.#runs),
      user_input: this.#said.value.trim() || null,
    });
    return this.#send();
  }

  async #send() {
    const { key, body } = /** @type {{key: string, body: any}} */ (this.#pending.request);
    this.isAsking = true;
    this.#submit.disabled = true;
    this.#told.replaceChildren();
    this.#onBegin();
    const answer = await ask("POST", "/simulate/what-if", { body, key });
    this.isAsking = false;
    this.element.hidden = false;
    this.#submit.disabled = false;
    if (answer.isFine || (answer.status >= 400 && answer.status < 500)) this.#pending.forget();
    if (answer.isFine) return this.#onDone(answer.body.id);
    const others = tellProblems(this.element, detailsOf(answer)).map((each) => each.message);
    const text = [problemOf(answer), ...others].join(" ");
    if (this.#pending.request) this.#offerAgain(`${text} What was played is kept.`);
    else this.#told.replaceChildren(notice(text, "problem"));
  }

  /** @param {string} text */
  #offerAgain(text) {
    const again = button("primary", "Try again", () => this.#send());
    const forget = button("plain", "Forget it", () => {
      this.#pending.forget();
      this.#told.replaceChildren();
    });
    this.#told.replaceChildren(notice(text, "problem", make("div", "buttons", forget, again)));
  }
}

/** @type {WeakMap<Element, ModificationEditor>} */ const editors = new WeakMap();

/** One change, said as a sentence is: what, which, how. */
class ModificationEditor {
  element = make("fieldset", "modification");
  #session;
  #kind = select(KINDS);
  #fields = make("div", "modification-fields");
  #legend = make("legend", "for-screen-readers");
  /** @type {() => {target: string, change: Record<string, any>}} */ #read = () => ({ target: "", change: {} });
  #place = 0;

  /** @param {Session} session @param {() => void} onRemove */
  constructor(session, onRemove) {
    this.#session = session;
    this.#kind.setAttribute("aria-label", "What changes");
    this.#kind.addEventListener("change", () => this.#draw());
    const remove = button("icon", "×", () => {
      this.element.remove();
      onRemove();
    });
    remove.setAttribute("aria-label", "Remove this change");
    this.element.append(this.#legend, make("div", "modification-head", this.#kind, remove), this.#fields, make("p", "problem"));
    editors.set(this.element, this);
    this.#draw();
  }

  /** @param {number} place */
  number(place) {
    this.#place = place;
    this.#legend.textContent = `Change ${place + 1}`;
    this.element.dataset.path = `modifications.${place}`;
    for (const each of /** @type {NodeListOf<HTMLElement>} */ (this.#fields.querySelectorAll("[data-ending]"))) {
      each.dataset.path = `modifications.${place}.${each.dataset.ending}`;
    }
  }

  get value() {
    return { type: this.#kind.value, ...this.#read() };
  }

  #draw() {
    if (this.#kind.value === "context") this.#drawContext();
    else if (this.#kind.value === "agent") this.#drawAgent();
    else this.#drawScenario();
    this.number(this.#place);
  }

  /** @param {string} label @param {import("./elements.js").Control} control @param {string} ending @param {string} [hint] */
  #field(label, control, ending, hint = "") {
    const made = field(label, control, { hint });
    made.dataset.ending = ending;
    return made;
  }

  #drawContext() {
    const names = input("text", { spellcheck: false });
    const values = input("text");
    const known = Object.keys(this.#session.state.context);
    const suggestions = make("datalist", "", ...known.map((name) => Object.assign(make("option", ""), { value: name })));
    suggestions.id = `facts-${Math.random().toString(36).slice(2)}`;
    names.setAttribute("list", suggestions.id);
    if (known.includes("budget")) names.value = "budget";
    this.#fields.replaceChildren(make("div", "pair", this.#field("Fact", names, "target"), this.#field("is now", values, "change")), suggestions);
    this.#read = () => ({ target: names.value.trim(), change: { value: valueIn(values.value) } });
  }

  #drawAgent() {
    const { cast } = this.#session;
    const role = select(cast.roles.map((each) => [each, cast.nameOf(each)]));
    const how = select(AGENT_CHANGES);
    const detail = make("div", "");
    /** @type {() => Record<string, any>} */ let change = () => ({});
    const draw = () => {
      if (how.value === "instruction") {
        const text = textarea({ rows: 2 });
        detail.replaceChildren(this.#field("Instruction", text, "change.instruction", "Besides its own prompt."));
        change = () => ({ instruction: text.value });
      } else if (how.value === "priority") {
        const number = input("number", { value: "50", min: "0", max: "1000" });
        detail.replaceChildren(this.#field("Priority", number, "change.priority", "Who has a higher one speaks earlier."));
        change = () => ({ priority: numberIn(number) });
      } else if (how.value === "trait") {
        const name = select(["assertive", "analytical", "collaborative", "creative", "detail_oriented"].map((each) => [each, words(each)]));
        const share = input("number", { value: "0.5", min: "0", max: "1", step: "0.1" });
        detail.replaceChildren(make("div", "pair", this.#field("Trait", name, "change"), this.#field("0 to 1", share, "change.personality_traits")));
        void this.#traits(role.value, name);
        change = () => ({ personality_traits: { [name.value]: numberIn(share) } });
      } else {
        detail.replaceChildren();
        change = () => ({ active: false });
      }
      this.number(this.#place);
    };
    how.addEventListener("change", draw);
    this.#fields.replaceChildren(make("div", "pair", this.#field("Role", role, "target"), this.#field("What becomes of it", how, "type")), detail);
    this.#read = () => ({ target: role.value, change: change() });
    draw();
  }

  /** Offer the traits that the role has. @param {string} role @param {HTMLSelectElement} control */
  async #traits(role, control) {
    const answer = await ask("GET", `/agents/${role}`);
    const names = answer.isFine ? Object.keys(answer.body.personality_traits) : [];
    if (names.length) control.replaceChildren(...names.map((each) => Object.assign(make("option", "", words(each)), { value: each })));
  }

  #drawScenario() {
    const how = select([["append", "Add to it"], ["text", "Replace it"]]);
    const text = textarea({ rows: 3 });
    this.#fields.replaceChildren(this.#field("How", how, "target"), this.#field("Text", text, "change"));
    this.#read = () => ({ target: "scenario", change: { [how.value]: text.value } });
  }
}

// How far it has come

/** @param {WhatIfListed} each */
const playedIn = (each) => each.branches.reduce((sum, branch) => sum + (branch.turns_played ?? 0), 0);

/** @param {WhatIfListed} each */
function progressOf(each) {
  const { branches, num_turns_to_simulate: rounds, runs, name } = each;
  const bar = Object.assign(make("progress", ""), { max: 2 * runs * rounds, value: playedIn(each) });
  bar.setAttribute("aria-label", "Rounds played");
  const dots = (/** @type {Branch} */ { kind, run, turns_played = 0 }) =>
    make("li", "", make("span", "", `${runs > 1 ? `Run ${run}, ` : ""}${kind === "base" ? "as it is" : "changed"}`), make("span", "dots", ...Array.from({ length: rounds }, (_, round) => make("i", round < turns_played ? "is-played" : ""))), make("span", "quiet", `${turns_played} of ${rounds}`));
  return make("section", "running", make("h2", "", name || "The branches are played"), make("p", "quiet", `${playedIn(each)} of ${counted(2 * runs * rounds, "round")}`), bar, make("ul", "branch-list", ...branches.map(dots)));
}

/** @param {WhatIfListed} each @param {string} sessionId */
function earlier({ id, name, base_turn, modifications, num_turns_to_simulate, runs, created_at }, sessionId) {
  const made = make(
    "a",
    "earlier-item",
    make("span", "session-name", name || changesText(modifications)),
    make("span", "quiet", `${leavesText(base_turn)} · ${counted(num_turns_to_simulate, "round")} · ${counted(runs, "run")} · ${momentText(created_at)}`),
  );
  made.href = `#${sessionId}/what-if/${id}`;
  return made;
}

/** @param {number} turn */
const leavesText = (turn) => (turn === 0 ? "Before the first round" : `After round ${turn}`);

/** @param {Modification[]} modifications */
const changesText = (modifications) => (modifications.length ? modifications.map((each) => changeText(each)).join("; ") : "Control: nothing changed");

/** @param {Modification} modification @param {Cast} [cast] */
function changeText({ type, target, change }, cast) {
  if (type === "context") return `${target} is ${jsonText(change.value)}`;
  if (type === "scenario") return "append" in change ? `The scenario goes on: ${change.append}` : `Another scenario: ${change.text}`;
  const name = cast?.nameOf(target) ?? words(target);
  const said = [
    "active" in change ? (change.active ? "is at the table" : "leaves the table") : "",
    "priority" in change ? `has priority ${change.priority}` : "",
    change.instruction ? `is told: ${change.instruction}` : "",
    ...Object.entries(change.personality_traits ?? {}).map(([trait, value]) => `${words(trait).toLocaleLowerCase()} is ${value}`),
  ];
  return `${name} ${said.filter(Boolean).join(", ")}`;
}

// What came of it

/** @param {WhatIf} whatIf @param {Round[]} bases @param {Cast} cast @param {string} sessionId */
function result(whatIf, bases, cast, sessionId) {
  const { name, description, base_turn, modifications, num_turns_to_simulate, runs, predicted_outcomes, agent_analyses, overall_confidence, recommendation, basis, formulas } = whatIf;
  const rows = Object.entries(formulas).map(([key, text]) => /** @type {[string, any]} */ ([words(key.replaceAll(".", ": ")), text]));
  return [
    make("p", "back", link("All what-ifs", `#${sessionId}/what-if`)),
    make(
      "section",
      "verdict",
      make("h2", "", name || "What if"),
      description && make("p", "quiet", description),
      make("p", "quiet", `${leavesText(base_turn)} · ${counted(num_turns_to_simulate, "round")} on each branch · ${counted(runs, "run")}`),
      modifications.length ? make("ul", "changes", ...modifications.map((each) => make("li", "", changeText(each, cast)))) : make("p", "", "A control: nothing was changed, so what differs is chance."),
      make("p", "recommendation", recommendation),
      shareBar("Confidence, changed branch", overall_confidence, basis.overall_confidence),
    ),
    ...predicted_outcomes.map((each) => outcome(each, bases.find((round) => round.turn_number === each.turn), runs, cast)),
    make("section", "block", make("h2", "", "Role by role"), make("div", "analyses", ...agent_analyses.map((each) => analysis(each, cast)))),
    make("section", "block", make("h2", "", "The branches"), make("p", "quiet", "Sessions like any other: read them, or play them on."), branchLinks(whatIf)),
    ...(rows.length ? [fold("How this is computed", "formulas", facts(...rows))] : []),
  ];
}

/** @param {Outcome} each @param {Round | undefined} base @param {number} runs @param {Cast} cast */
function outcome(each, base, runs, cast) {
  const { turn, summary, key_changes, risk_factors, opportunities, probability, changed, actions_added, actions_dropped, confidence, basis } = each;
  const share = probability === null ? `Share of runs: — (${basis.probability ?? "none"})` : `Differs in ${Math.round(probability * 100)} % of the runs`;
  const difference = confidence.difference;
  const how = difference === null ? "" : `${difference > 0 ? "+" : difference < 0 ? "−" : "±"}${Math.abs(difference).toFixed(2)}${confidence.spread === null ? "" : `, spread ${confidence.spread.toFixed(2)}`}`;
  const action = (/** @type {import("./interface.js").ProposedAction} */ { agent_role, action: text, runs: count }) => make("span", "", make("span", "", text), make("span", "quiet", ` ${cast.nameOf(agent_role)}${runs > 1 ? `, in ${count} of ${runs} runs` : ""}`));
  const ofRun = runs > 1 ? " (run 1)" : "";
  const actions = [listed("Actions added", actions_added.map(action), "added"), listed("Actions dropped", actions_dropped.map(action), "dropped")].filter((one) => one !== null);
  const sides = [listed("Risks in the changed branch", risk_factors, "risk"), listed("Opportunities in the changed branch", opportunities, "chance")].filter((one) => one !== null);
  return make(
    "section",
    "outcome",
    make("div", "round-line", make("h2", "", `Round ${turn}`), make("span", `pill ${changed ? "is-changed" : ""}`, changed ? "Differs" : "No difference"), make("span", "quiet", share)),
    make(
      "div",
      "side-by-side",
      make("div", "side", make("h3", "", `As it is${ofRun}`), make("p", "", base?.coordinator_summary ?? "— (the base branch has been deleted)"), shareBar("Confidence", confidence.base, confidence.basis.base)),
      make("div", "side is-modified", make("h3", "", `Changed${ofRun}`), make("p", "", summary), make("div", "share-line", shareBar("Confidence", confidence.modified, confidence.basis.modified), how && make("span", "difference", how))),
    ),
    key_changes.length > 0 && fold(counted(key_changes.length, "difference"), `changes-${turn}`, ...[listed("What differs", key_changes, "plain")].filter((one) => one !== null)),
    actions.length > 0 && make("div", "sides", ...actions),
    sides.length > 0 && fold("Risks and opportunities", `risks-${turn}`, make("div", "sides", ...sides)),
  );
}

/** @param {WhatIf["agent_analyses"][number]} each @param {Cast} cast */
function analysis({ agent_role, impact_assessment, recommended_actions, concerns, confidence, basis }, cast) {
  const more = [listed("Recommends", recommended_actions, "action"), listed("Concerns", concerns, "risk")].filter((one) => one !== null);
  return make(
    "article",
    `analysis ${cast.colorOf(agent_role)}`,
    make("header", "", cast.avatar(agent_role, "is-small"), make("h3", "", cast.nameOf(agent_role)), shareBar("Confidence", confidence, basis.confidence)),
    make("p", "", impact_assessment),
    more.length > 0 && fold("Actions and concerns", `analysis-${agent_role}`, ...more),
  );
}

/** @param {WhatIf} whatIf */
function branchLinks({ branches, runs }) {
  const label = (/** @type {Branch} */ { kind, run }) => `${kind === "base" ? "As it is" : "Changed"}${runs > 1 ? `, run ${run}` : ""}`;
  return make("ul", "branch-links", ...branches.map((each) => make("li", "", link(label(each), `#${each.session_id}`))));
}
