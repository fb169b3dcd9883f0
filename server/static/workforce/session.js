// @ts-check
// One session: what is known of it and what is asked of it; what its roles remember; how it was set up.

import { ask, detailsOf, pause, Pending, problemOf } from "./interface.js";
import {
  button, Cast, confirmed, emptiness, facts, field, input, jsonText, listed, make, momentText, notice, refill, select, submitButton, table,
  tellProblems, textarea, valueIn, whileResting, words,
} from "./elements.js";
import { EXECUTIONS } from "./sessions.js";

/**
 * @typedef {import("./interface.js").Answer} Answer
 * @typedef {import("./interface.js").State} State
 * @typedef {import("./interface.js").Round} Round
 * @typedef {import("./interface.js").MemoryEntry} MemoryEntry
 * @typedef {{element: HTMLElement, update: () => unknown, show?: (rest: string[]) => unknown, hide?: () => void}} Panel
 *   `update`: the session has changed; `show`: it is looked at, with what the address says after the tab's name
 */

const POLL_MS = 600;
const PAGE = 8; // rounds that are held at first, and at each look further back

/** What the server has said of a session, and what can be asked of it. Panels read it and are told of changes. */
export class Session {
  id;
  /** @type {State} */ state;
  /** @type {Round[]} the newest that are completed, in their order */ rounds = [];
  cast = new Cast([]);
  isPlaying = false;
  #pending;
  #isWatched = false;
  #onChange;

  /** @param {string} id @param {() => void} onChange */
  constructor(id, onChange) {
    this.id = id;
    this.#onChange = onChange;
    this.#pending = new Pending(`workforce-round:${id}`);
    this.state = /** @type {any} */ (null);
  }

  /** @returns {Promise<Answer>} the first that is not fine, or the state */
  async load() {
    const state = await ask("GET", `/simulate/${this.id}`);
    if (!state.isFine) return state;
    const turns = await this.#hold(Math.max(0, state.body.current_turn - PAGE), 2 * PAGE);
    if (!turns.isFine) return turns;
    this.#take(state.body);
    // A round that this tab has asked for, and did not see the end of: asked again, it is the same round.
    if (this.#pending.request && this.state.round?.status === "in_progress") void this.#play();
    else void this.#watch();
    return state;
  }

  /** How many rounds lie before those that are held. */
  get earlier() {
    return this.rounds.length ? this.rounds[0].turn_number - 1 : 0;
  }

  /** Hold some that lie before. */
  async loadEarlier() {
    const offset = Math.max(0, this.earlier - PAGE);
    await this.#hold(offset, this.earlier - offset);
    this.#onChange();
  }

  /** @param {number} offset @param {number} limit */
  async #hold(offset, limit) {
    const answer = await ask("GET", `/simulate/${this.id}/turns?offset=${offset}&limit=${limit}`);
    if (answer.isFine) answer.body.turns.forEach((/** @type {Round} */ each) => this.#add(each));
    return answer;
  }

  /** The round that is in progress or has failed; one that was asked for just now counts. @returns {Round | null} */
  get open() {
    const { round, current_turn, agent_states } = this.state;
    const asked = this.#pending.request?.body;
    if (!this.isPlaying || round?.status === "in_progress") return round;
    const focused = asked?.focus_agents ?? [];
    const awaited = agent_states.filter((each) => each.is_active && (!focused.length || focused.includes(each.agent_role)));
    const shell = { agent_responses: [], total_tokens: 0, coordinator_summary: null, duration_ms: null, basis: {}, formulas: {} };
    return /** @type {any} */ ({
      ...shell,
      turn_number: current_turn + 1,
      user_input: asked?.user_input ?? null,
      ...round,
      status: "in_progress",
      awaited: round?.awaited ?? [...awaited.map((each) => each.agent_role), "coordinator"],
    });
  }

  /** Play a round. @param {object} body @returns {Promise<Answer>} */
  next(body) {
    this.#pending.begin({ session_id: this.id, ...body });
    return this.#play();
  }

  /** Go on with the round that failed: the same request under the same key. @returns {Promise<Answer>} */
  again() {
    if (!this.#pending.request) this.#pending.begin({ session_id: this.id, user_input: this.state.round?.user_input ?? null });
    return this.#play();
  }

  async #play() {
    const { key, body } = /** @type {{key: string, body: any}} */ (this.#pending.request);
    this.isPlaying = true;
    this.#onChange();
    this.#watch();
    const answer = await ask("POST", "/simulate/next", { body, key });
    this.isPlaying = false;
    if (answer.isFine) this.#add(answer.body);
    if (answer.isFine || [409, 422].includes(answer.status)) this.#pending.forget();
    await this.refresh();
    return answer;
  }

  /** @param {"pause" | "resume"} what @returns {Promise<Answer>} */
  async change(what) {
    const answer = await ask("POST", `/simulate/${this.id}/${what}`);
    await this.refresh();
    return answer;
  }

  async refresh() {
    const answer = await ask("GET", `/simulate/${this.id}`);
    if (!answer.isFine) return this.#onChange();
    if (answer.body.current_turn > this.#newest) await this.#hold(this.#newest, 2 * PAGE);
    this.#take(answer.body);
    this.#watch();
  }

  /** The number of the newest round that is held. */
  get #newest() {
    return this.rounds.at(-1)?.turn_number ?? 0;
  }

  /** @param {Round} round */
  #add(round) {
    if (round.status !== "completed" || this.rounds.some((each) => each.turn_number === round.turn_number)) return;
    this.rounds = [...this.rounds, round].sort((a, b) => a.turn_number - b.turn_number);
  }

  /** @param {State} state */
  #take(state) {
    this.state = state;
    this.cast = new Cast(state.agent_states.map(({ agent_role, name }) => ({ role: agent_role, name })));
    this.#onChange();
  }

  /** Look again and again while a round is played, whoever asked for it. */
  async #watch() {
    if (this.#isWatched) return;
    this.#isWatched = true;
    while (this.isPlaying || this.state.round?.status === "in_progress") {
      await pause(POLL_MS);
      const answer = await ask("GET", `/simulate/${this.id}`);
      if (answer.status === 404) break;
      if (!answer.isFine) continue;
      if (answer.body.current_turn <= this.#newest) this.#take(answer.body);
      else if (!this.isPlaying) await this.refresh();
    }
    this.#isWatched = false;
  }
}

/** What the roles remember. @implements {Panel} */
export class MemoryPanel {
  element = make("div", "columns");
  #session;
  #entries = make("div", "memories");
  #told = make("div", "told");
  /** @type {HTMLFormElement | null} */ #form = null;
  #rounds = -1;

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
  }

  show() {
    return this.#load();
  }

  update() {
    if (!this.#form) this.element.replaceChildren(this.#entries, (this.#form = this.#makeForm()));
    if (this.#rounds !== -1 && this.#rounds !== this.#session.state.current_turn) void this.#load();
  }

  /** @returns {Promise<void>} */
  async #load() {
    this.#rounds = this.#session.state.current_turn;
    const answer = await ask("GET", `/memory/${this.#session.id}`);
    if (!answer.isFine) return this.#entries.replaceChildren(notice(problemOf(answer), "problem", button("plain", "Try again", () => this.#load())));
    const { total_memories, summary, memories_by_agent } = answer.body;
    const { cast } = this.#session;
    const groups = /** @type {[string, MemoryEntry[]][]} */ (Object.entries(memories_by_agent)).filter(([, entries]) => entries.length);
    const opened = new Set([.../** @type {NodeListOf<HTMLElement>} */ (this.#entries.querySelectorAll("details[open]"))].map((each) => each.dataset.fold));
    if (!this.#entries.querySelector("details")) opened.add(groups[0]?.[0]);
    const forget = button("plain small danger", "Forget all", () => this.#forget(total_memories));
    if (total_memories === 0) return this.#entries.replaceChildren(emptiness("Nothing is remembered yet", "Each role keeps what it said in a round. You can also give a role something to remember."));
    return this.#entries.replaceChildren(
      make("div", "panel-head", make("p", "quiet", summary), forget),
      ...groups.map(([role, entries]) => memoriesOf(role, entries, cast, opened.has(role))),
    );
  }

  /** @param {number} total */
  async #forget(total) {
    const question = { title: "Forget everything?", text: `All ${total} memories of this session are deleted. The rounds stay as they are.`, action: "Forget all" };
    if (!(await confirmed(question))) return;
    const answer = await ask("DELETE", `/memory/${this.#session.id}`);
    if (!answer.isFine) this.#told.replaceChildren(notice(problemOf(answer), "problem"));
    await this.#load();
  }

  #makeForm() {
    const role = select(this.#session.cast.roles.map((each) => [each, this.#session.cast.nameOf(each)]));
    const type = select([["short_term", "Short term"], ["long_term", "Long term"], ["episodic", "Episodic"], ["semantic", "Semantic"]]);
    const key = input("text");
    const content = textarea({ rows: 4 });
    const importance = input("number", { value: "0.5", min: "0", max: "1", step: "0.1" });
    const hours = input("number", { min: "1", max: "720" });
    const submit = submitButton("Add to memory");
    const form = make(
      "form",
      "side-form",
      make("h2", "", "Give a role a memory"),
      field("Role", role, { path: "agent_role" }),
      field("Kind", type, { path: "memory_type" }),
      field("Key", key, { path: "key", limit: 255, hint: "A short name for it." }),
      field("Content", content, { path: "content", hint: "Plain text, or a JSON object." }),
      make("div", "pair", field("Importance", importance, { path: "importance", hint: "0 to 1." }), field("Hours kept", hours, { path: "ttl_hours", hint: "Empty: for good." })),
      this.#told,
      submit,
    );
    form.noValidate = true;
    const send = async () => {
      const value = valueIn(content.value);
      const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
      const body = {
        agent_role: role.value,
        memory_type: type.value,
        key: key.value,
        content: isObject ? value : { text: content.value },
        importance: importance.value === "" ? null : Number(importance.value),
        ttl_hours: hours.value === "" ? null : Number(hours.value),
      };
      const answer = await ask("POST", `/memory/${this.#session.id}`, { body });
      if (!answer.isFine) {
        tellProblems(form, detailsOf(answer));
        return this.#told.replaceChildren(notice(problemOf(answer), "problem"));
      }
      this.#told.replaceChildren(notice("It is remembered."));
      [key, content, hours].forEach((each) => refill(each, ""));
      return this.#load();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!submit.disabled) whileResting(submit, send);
    });
    return form;
  }
}

/** What one role remembers, the newest first. @param {string} role @param {MemoryEntry[]} entries @param {Cast} cast @param {boolean} isOpen */
function memoriesOf(role, entries, cast, isOpen) {
  const newestFirst = [...entries].sort((a, b) => b.created_at.localeCompare(a.created_at));
  const title = make("summary", "", cast.avatar(role, "is-small"), make("span", "memory-role", cast.nameOf(role)), make("span", "quiet", String(entries.length)));
  const group = make("details", "memory-group", title, ...newestFirst.map(memory));
  group.dataset.fold = role;
  group.open = isOpen;
  return group;
}

/** @param {MemoryEntry} entry */
function memory({ key, memory_type, content, importance, access_count, created_at, expires_at }) {
  const text = typeof content.summary === "string" ? content.summary : typeof content.text === "string" ? content.text : "";
  const others = Object.entries(content).filter(([name]) => !["summary", "text", "turn"].includes(name) || !text);
  const recalled = access_count === 0 ? "not recalled yet" : access_count === 1 ? "recalled once" : `recalled ${access_count} times`;
  return make(
    "article",
    "memory",
    make("div", "memory-head", make("h3", "", key), make("span", "pill", words(memory_type))),
    text && make("p", "", text),
    ...others.map(([name, value]) => (Array.isArray(value) ? listed(words(name), value.map(jsonText), "plain") : make("p", "quiet", `${words(name)}: ${jsonText(value)}`))),
    make("p", "quiet", `Importance ${importance.toFixed(2)} · ${recalled} · since ${momentText(created_at)} · ${expires_at ? `until ${momentText(expires_at)}` : "kept for good"}`),
  );
}

/** How the session was set up, and what can be done with it as a whole. @implements {Panel} */
export class SettingsPanel {
  element = make("div", "settings");
  #session;
  #onGone;
  #told = make("div", "told");
  #drawn = "";

  /** @param {Session} session @param {() => void} onGone */
  constructor(session, onGone) {
    this.#session = session;
    this.#onGone = onGone;
  }

  update() {
    const { state, id, cast } = this.#session;
    const { round, ...lasting } = state;
    if (JSON.stringify(lasting) === this.#drawn) return;
    this.#drawn = JSON.stringify(lasting);
    const { config, context } = state;
    const copy = make("code", "", `${id}.json`);
    this.element.replaceChildren(
      block("What can be done", this.#actions(), this.#told),
      block(
        "Settings",
        facts(
          ["Description", state.description],
          ["Rounds at most", state.max_turns],
          ["Who hears whom", EXECUTIONS.find(([name]) => name === config.execution)?.[1] ?? config.execution],
          ["Temperature", config.temperature],
          ["Memory", config.enable_memory ? "On" : "Off"],
          ["Analytics", config.enable_analytics ? "On" : "Off"],
          ["Seed", config.seed, config.seed === null ? "from the experiment's seed and the session's id" : ""],
          ["Model", state.model],
          ["Created", momentText(state.created_at)],
          ["Log file", copy, "in the server's log folder"],
        ),
      ),
      block("Facts", Object.keys(context).length ? facts(...Object.entries(context).map(([name, value]) => /** @type {[string, any]} */ ([name, jsonText(value)]))) : make("p", "quiet", "None were given.")),
      block(
        "Roles",
        table(
          "Roles",
          ["Role", "Priority", "Last spoke", "Answers", "Focus", "Open tasks"],
          state.agent_states.map((each) => [
            make("span", "who", cast.avatar(each.agent_role, "is-small"), each.is_active ? each.name : `${each.name} (left the table)`),
            String(each.priority),
            each.last_active_turn ? `Round ${each.last_active_turn}` : "—",
            String(each.messages_sent),
            each.current_focus ?? "—",
            each.goals.join("; ") || "—",
          ]),
          "is-roomy",
        ),
      ),
    );
  }

  #actions() {
    const { status } = this.#session.state;
    const act = async (/** @type {"pause" | "resume"} */ what) => this.#tell(await this.#session.change(what));
    return make(
      "div",
      "buttons is-start",
      status === "active" && button("plain", "Pause the session", () => act("pause")),
      status === "paused" && button("primary", "Resume the session", () => act("resume")),
      button("plain danger", "Delete the session", () => this.#delete()),
    );
  }

  async #delete() {
    const question = { title: "Delete this session?", text: "The session and its log are gone for good. Branches that what-ifs have made of it stay.", action: "Delete" };
    if (!(await confirmed(question))) return;
    const answer = await ask("DELETE", `/simulate/${this.#session.id}`);
    if (answer.isFine || answer.status === 404) this.#onGone();
    else this.#tell(answer);
  }

  /** @param {Answer} answer */
  #tell(answer) {
    this.#told.replaceChildren(...(answer.isFine ? [] : [notice(problemOf(answer), "problem")]));
  }
}

/** @param {string} title @param {Node[]} content */
function block(title, ...content) {
  return make("section", "block", make("h2", "", title), ...content);
}
