// @ts-check
// What is asked of the server, and the shapes that come back. They are described in full at /docs.

const READ_MS = 20_000; // a round may take minutes, but what is only read comes at once or not at all

/**
 * What a request came to; status 0: nobody answered.
 * @typedef {{status: number, isFine: boolean, body: any}} Answer
 * @typedef {{field: string, message: string}} Detail
 * @typedef {Record<string, string>} Basis why a value is null, by its name
 *
 * @typedef {{role: string, name: string, description: string, priority: number, capabilities: string[],
 *   personality_traits: Record<string, number>, is_active: boolean}} Agent
 * @typedef {{task_name: string, description: string, completion_chance: number | null,
 *   estimated_effort_hours: number | null, dependencies: string[], priority: number | null,
 *   schedule: {start_date: string, end_date: string} | null, basis: Basis}} TaskShare
 * @typedef {{agent_role: string, response: string, reasoning: string, actions_proposed: string[], directed_to: string[],
 *   confidence: number | null, risks: string[], opportunities: string[], is_structured: boolean,
 *   token_usage: {prompt: number, completion: number, total: number}, metrics: ({[name: string]: any, basis: Basis}) | null,
 *   task_distribution: TaskShare[], basis: Basis}} Voice
 * @typedef {{task_id: string, task_name: string, start_date: string, end_date: string, duration_days: number,
 *   assigned_agent: string, status: string, dependencies: string[], effort_hours: number,
 *   completion_percentage: number | null}} ScheduledTask
 * @typedef {{project_start_date: string, project_end_date: string, total_duration_days: number,
 *   milestones: {name: string, date: string, agent_role: string | null}[], tasks: ScheduledTask[],
 *   critical_path: string[], slack_days: Record<string, number>, basis: Basis}} Timeline
 * @typedef {{total_function_points: number, unadjusted_fp: number, value_adjustment_factor: number | null,
 *   adjusted_fp: number | null, function_points: {function_name: string, function_type: string, complexity: string,
 *   fp_count: number, description: string}[], estimated_hours: number, estimated_days: number,
 *   estimated_cost: number | null, hourly_rate: number | null, basis: Basis}} FunctionPoints
 * @typedef {{session_id: string, turn_number: number, status: "completed" | "in_progress" | "failed",
 *   user_input: string | null, coordinator_summary: string | null, agent_responses: Voice[], awaited: string[],
 *   duration_ms: number | null, total_tokens: number, next_suggested_action: string | null,
 *   project_timeline: Timeline | null, function_point_estimation: FunctionPoints | null, basis: Basis,
 *   formulas: Record<string, string>}} Round
 * @typedef {{agent_role: string, name: string, priority: number, is_active: boolean, current_focus: string | null,
 *   goals: string[], messages_sent: number, last_active_turn: number | null}} AgentState
 * @typedef {{max_turns: number, agents: string[] | null, temperature: number, enable_memory: boolean,
 *   enable_analytics: boolean, execution: string, seed: number | null}} Config
 * @typedef {{session_id: string, name: string | null, description: string | null, scenario: string, status: string,
 *   current_turn: number, max_turns: number, config: Config, context: Record<string, any>, agent_states: AgentState[],
 *   model: string, fork: {parent: string, base_turn: number, kind: string, run: number, what_if: string} | null,
 *   round: Round | null, created_at: string}} State
 * @typedef {{session_id: string, name: string | null, scenario: string, status: string, current_turn: number,
 *   max_turns: number, created_at: string, parent: string | null}} Listed
 *
 * @typedef {{type: string, target: string, change: Record<string, any>, description?: string | null}} Modification
 * @typedef {{kind: "base" | "modified", run: number, session_id: string, turns_played?: number}} Branch
 * @typedef {{agent_role: string, action: string, runs: number}} ProposedAction
 * @typedef {{turn: number, summary: string, key_changes: string[], risk_factors: string[], opportunities: string[],
 *   probability: number | null, changed: boolean, actions_added: ProposedAction[], actions_dropped: ProposedAction[],
 *   confidence: {base: number | null, modified: number | null, difference: number | null, spread: number | null,
 *   basis: Basis}, basis: Basis}} Outcome
 * @typedef {{id: string, session_id: string, base_turn: number, name: string | null, description: string | null,
 *   modifications: Modification[], num_turns_to_simulate: number, runs: number, predicted_outcomes: Outcome[],
 *   agent_analyses: {agent_role: string, impact_assessment: string, recommended_actions: string[], concerns: string[],
 *   confidence: number | null, basis: Basis}[], overall_confidence: number | null, recommendation: string,
 *   branches: Branch[], basis: Basis, formulas: Record<string, string>, created_at: string}} WhatIf
 * @typedef {{id: string, name: string | null, base_turn: number, modifications: Modification[],
 *   num_turns_to_simulate: number, runs: number, is_complete: boolean, branches: Branch[],
 *   created_at: string}} WhatIfListed
 * @typedef {{id: string, agent_role: string, memory_type: string, key: string, content: Record<string, any>,
 *   importance: number, access_count: number, created_at: string, expires_at: string | null}} MemoryEntry
 */

/**
 * @param {"GET" | "POST" | "DELETE"} method @param {string} path
 * @param {{body?: object, key?: string}} [options] `key`: a request that is sent again under it is the same request
 * @returns {Promise<Answer>}
 */
export async function ask(method, path, { body, key } = {}) {
  try {
    const response = await fetch(path, {
      method,
      headers: {
        ...(body ? { "Content-Type": "application/json" } : {}),
        ...(key ? { "Idempotency-Key": key } : {}),
      },
      body: body ? JSON.stringify(body) : undefined,
      signal: method === "GET" ? AbortSignal.timeout?.(READ_MS) : undefined,
    });
    const text = await response.text();
    return { status: response.status, isFine: response.ok, body: text ? JSON.parse(text) : {} };
  } catch {
    return { status: 0, isFine: false, body: {} }; // or it was not our server who answered
  }
}

/** Say for people what went wrong. @param {Answer} answer */
export function problemOf({ status, body }) {
  if (status === 0) return "The server did not answer. Nothing that you typed is lost: please try again.";
  if (body.error === "validation_error") return "Some of it cannot be taken as it is: please look at the marked fields.";
  return body.message ?? `The server answered with ${status}.`;
}

/** @param {Answer} answer @returns {Detail[]} */
export function detailsOf({ body }) {
  return Array.isArray(body.details) ? body.details : [];
}

/** (randomUUID is not there on plain http from another machine.) */
export function randomId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {number} milliseconds */
export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * A request that must not be done twice: kept over a reload until it is known what it came to, so that it can be sent
 * again under the key that it has.
 */
export class Pending {
  #name;
  /** @type {{key: string, body: any} | null} */ #request = null;

  /** @param {string} name of its place in this tab's memory */
  constructor(name) {
    this.#name = name;
    try {
      this.#request = JSON.parse(sessionStorage.getItem(name) ?? "null");
    } catch {
      // storage is blocked: it is forgotten with the page
    }
  }

  get request() {
    return this.#request;
  }

  /** @param {object} body */
  begin(body) {
    return this.#keep({ key: randomId(), body });
  }

  forget() {
    this.#keep(null);
  }

  /** @template {{key: string, body: any} | null} T @param {T} request @returns {T} */
  #keep(request) {
    this.#request = request;
    try {
      if (request) sessionStorage.setItem(this.#name, JSON.stringify(request));
      else sessionStorage.removeItem(this.#name);
    } catch {
      // as above
    }
    return request;
  }
}
