// @ts-check
// What is computed from the answers: the timeline as a Gantt chart, and the function points.

import { counted, dayText, draw, emptiness, facts, fold, make, numberText, scrolling, shortDayText, table, words } from "./elements.js";

/**
 * @typedef {import("./elements.js").Cast} Cast
 * @typedef {import("./interface.js").FunctionPoints} FunctionPoints
 * @typedef {import("./interface.js").Round} Round
 * @typedef {import("./interface.js").ScheduledTask} ScheduledTask
 * @typedef {import("./interface.js").Timeline} Timeline
 * @typedef {import("./session.js").Panel} Panel
 * @typedef {import("./session.js").Session} Session
 */

const DAY_MS = 86_400_000;
const ROW = 52; // pixels, as in figures.css
const HEAD = 46;
const BAR = 22;
const LEAST_DAY = 8;
const MOST_DAY = 40;
const MOST_WIDTH = 12_000;
const ROOM_AFTER = 48; // for what stands behind the last bar

/** @param {string} date */
const dayOf = (date) => Math.floor(Date.parse(`${date}T00:00:00Z`) / DAY_MS);
/** @param {number} day */
const dateOf = (day) => new Date(day * DAY_MS).toISOString();
/** 0 is Monday. @param {number} day */
const weekdayOf = (day) => (((day + 3) % 7) + 7) % 7;

/** Working days after a day. @param {number} day @param {number} count */
function workingDaysAfter(day, count) {
  let found = day;
  for (let left = Math.min(count, 1_000); left > 0; ) {
    found += 1;
    if (weekdayOf(found) < 5) left -= 1;
  }
  return found;
}

/** @implements {Panel} */
export class TimelinePanel {
  element = make("div", "figure-view");
  #session;
  #drawn = "";
  #width = 0;
  #observer = new ResizeObserver(([entry]) => this.#resized(entry.contentRect.width));

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
    this.#observer.observe(this.element);
  }

  update() {
    const round = newest(this.#session, "project_timeline");
    const drawn = JSON.stringify([round?.turn_number, this.#width]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const timeline = round?.project_timeline;
    if (!round || !timeline) return this.element.replaceChildren(nothing(this.#session, "project_timeline", "No timeline yet", "It is drawn from the tasks that the roles name, once a round has been played."));
    const { cast } = this.#session;
    const kept = this.element.querySelector(".gantt-box")?.scrollLeft ?? 0;
    this.element.replaceChildren(
      tiles(
        ["Start", dayText(timeline.project_start_date)],
        ["End", dayText(timeline.project_end_date)],
        ["Length", counted(timeline.total_duration_days, "working day")],
        ["Critical path", counted(timeline.critical_path.length, "task")],
      ),
      legend(timeline, cast),
      gantt(timeline, cast, this.#width || 900),
      ...[...Object.values(timeline.basis), round.basis.people ?? ""].filter(Boolean).map((text) => make("p", "note", sentence(text))),
      fold("The same as a table", "table", asTable(timeline, cast), milestones(timeline)),
      formulas(round, ["duration_days", "start_date", "end_date", "total_duration_days", "critical_path", "slack_days", "milestones", "tasks", "dependencies", "assigned_agent"]),
    );
    const box = this.element.querySelector(".gantt-box");
    if (box) box.scrollLeft = kept;
  }

  /** @param {number} width */
  #resized(width) {
    if (width === 0 || Math.abs(width - this.#width) < 4) return;
    this.#width = width;
    this.update();
  }
}

/** The newest round that has it. @param {Session} session @param {"project_timeline" | "function_point_estimation"} name */
function newest({ rounds }, name) {
  const last = rounds.at(-1);
  return last?.[name] ? last : null;
}

/** @param {Session} session @param {"project_timeline" | "function_point_estimation"} name @param {string} title @param {string} text */
function nothing({ rounds, state }, name, title, text) {
  const reason = rounds.at(-1)?.basis[name];
  const why = state.config.enable_analytics ? text : "Analytics are switched off in this session.";
  return emptiness(title, reason ? sentence(reason) : why);
}

/** @param {string} text */
const sentence = (text) => `${text.charAt(0).toLocaleUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

/** @param {[string, string, string?][]} rows name, value, note */
function tiles(...rows) {
  return make("dl", "tiles", ...rows.map(([name, value, note]) => make("div", "", make("dt", "", name), make("dd", "", value, note && make("span", "note", note.replaceAll("_", "_\u200b"))))));
}

/** @param {Round} round @param {string[]} names */
function formulas({ formulas: all }, names) {
  const known = names.filter((name) => all[name]);
  const rows = known.map((name) => /** @type {[string, any]} */ ([words(name), all[name]]));
  return known.length ? fold("How this is computed", "formulas", facts(...rows)) : "";
}

/** @param {Timeline} timeline @param {Cast} cast */
function legend({ tasks }, cast) {
  const roles = [...new Set(tasks.map((task) => task.assigned_agent))];
  const sign = (/** @type {string} */ kind, /** @type {string} */ text) => make("span", "key", make("span", `sign is-${kind}`), text);
  return make("div", "legend", ...roles.map((role) => cast.chip(role)), sign("critical", "Critical path"), sign("slack", "Slack"), sign("milestone", "Milestone"), make("span", "key", "✓ Completed"));
}

/** The chart: names stay in sight while the days scroll. @param {Timeline} timeline @param {Cast} cast @param {number} width */
function gantt(timeline, cast, width) {
  const names = timeline.tasks.map((task) =>
    make(
      "li",
      timeline.critical_path.includes(task.task_id) ? "is-critical" : "",
      make("span", "task-name", task.task_name),
      make("span", "task-more", timeline.critical_path.includes(task.task_id) && make("b", "", "Critical"), cast.nameOf(task.assigned_agent)),
    ),
  );
  const side = width < 640 ? 144 : 240;
  const scale = new Scale(timeline, Math.max(width - side - 2, 240));
  const chart = draw("svg", { class: "gantt", width: scale.width, height: HEAD + ROW * timeline.tasks.length, role: "img" });
  chart.setAttribute("aria-label", `Gantt chart of ${counted(timeline.tasks.length, "task")}. The same is in the table below.`);
  chart.append(arrowHead(), ...days(scale, timeline.tasks.length), ...arrows(timeline, scale), ...bars(timeline, scale, cast), ...diamonds(timeline, scale, cast));
  const list = make("ol", "task-names", ...names);
  list.style.setProperty("--side", `${side}px`);
  const box = scrolling("Timeline", make("div", "gantt-inner", list, chart));
  box.classList.add("gantt-box");
  return box;
}

/** Days to pixels. */
class Scale {
  /** @param {Timeline} timeline @param {number} room */
  constructor(timeline, room) {
    const last = Math.max(...timeline.tasks.map((task) => workingDaysAfter(dayOf(task.end_date), timeline.slack_days[task.task_id] ?? 0)), dayOf(timeline.project_end_date));
    const first = dayOf(timeline.project_start_date);
    this.first = first - weekdayOf(first);
    this.last = last + 1;
    const count = this.last - this.first;
    this.day = Math.min(MOST_DAY, Math.max((room - ROOM_AFTER) / count, LEAST_DAY), MOST_WIDTH / count);
    this.width = Math.max(room, Math.ceil(count * this.day) + ROOM_AFTER);
    this.end = this.first + Math.ceil(this.width / this.day);
  }

  /** Where a day begins. @param {number} day */
  x(day) {
    return (day - this.first) * this.day;
  }

  /** @param {number} row */
  middle(row) {
    return HEAD + ROW * row + ROW / 2;
  }
}

/** @param {Scale} scale @param {number} rows */
function days(scale, rows) {
  const height = HEAD + ROW * rows;
  const parts = [];
  const everyWeeks = Math.max(1, Math.ceil(64 / (scale.day * 7)));
  for (let monday = scale.first, week = 0; monday <= scale.end; monday += 7, week++) {
    if (scale.day >= LEAST_DAY) parts.push(draw("rect", { class: "weekend", x: scale.x(monday + 5), y: HEAD - 14, width: 2 * scale.day, height: height - HEAD + 14 }));
    if (week % everyWeeks) continue;
    parts.push(draw("line", { class: "week", x1: scale.x(monday) + 0.5, x2: scale.x(monday) + 0.5, y1: HEAD - 14, y2: height }));
    parts.push(draw("text", { class: "date", x: scale.x(monday) + 4, y: 20 }, shortDayText(dateOf(monday))));
  }
  if (scale.day >= 18) {
    for (let day = scale.first; day <= scale.end; day++) {
      if (weekdayOf(day) < 5) parts.push(draw("text", { class: "weekday", x: scale.x(day) + scale.day / 2, y: HEAD - 3 }, "MTWTF"[weekdayOf(day)]));
    }
  }
  for (let row = 0; row <= rows; row++) parts.push(draw("line", { class: "row-line", x1: 0, x2: scale.width, y1: HEAD + ROW * row - 0.5, y2: HEAD + ROW * row - 0.5 }));
  return parts;
}

/** @param {Timeline} timeline @param {Scale} scale @param {Cast} cast */
function bars({ tasks, critical_path, slack_days }, scale, cast) {
  return tasks.map((task, row) => {
    const start = scale.x(dayOf(task.start_date));
    const end = scale.x(dayOf(task.end_date) + 1);
    const y = scale.middle(row) - BAR / 2;
    const isCritical = critical_path.includes(task.task_id);
    const slack = slack_days[task.task_id] ?? 0;
    const width = Math.max(end - start - 2, 3);
    const group = draw("g", { class: `bar-of ${cast.colorOf(task.assigned_agent)}${isCritical ? " is-critical" : ""}${task.status === "completed" ? " is-done" : ""}` });
    group.append(draw("title", {}, `${task.task_name}, ${cast.nameOf(task.assigned_agent)}: ${dayText(task.start_date)} to ${dayText(task.end_date)}${isCritical ? ", on the critical path" : `, slack ${counted(slack, "day")}`}`));
    if (slack > 0) {
      const reach = scale.x(workingDaysAfter(dayOf(task.end_date), slack) + 1);
      group.append(draw("line", { class: "slack", x1: end, x2: reach - 3, y1: scale.middle(row), y2: scale.middle(row) }), draw("line", { class: "slack-end", x1: reach - 3, x2: reach - 3, y1: y + 6, y2: y + BAR - 6 }));
    }
    group.append(draw("rect", { class: "task-bar", x: start + 1, y, width, height: BAR, rx: 5 }));
    const label = `${task.status === "completed" ? "✓ " : ""}${task.duration_days} d`;
    if (width > 7 * label.length) group.append(draw("text", { class: "bar-text", x: start + 1 + width / 2, y: scale.middle(row) + 4 }, label));
    return group;
  });
}

/** From the end of what must be done before to the beginning of what waits for it. @param {Timeline} timeline @param {Scale} scale */
function arrows({ tasks, critical_path }, scale) {
  const rows = new Map(tasks.map((task, row) => [task.task_id, row]));
  const parts = [];
  for (const [row, task] of tasks.entries()) {
    for (const id of task.dependencies) {
      const from = rows.get(id);
      if (from === undefined) continue;
      const x1 = scale.x(dayOf(tasks[from].end_date) + 1) - 1;
      const x2 = scale.x(dayOf(task.start_date)) + 1;
      const isDown = row > from;
      const y1 = scale.middle(from) + (isDown ? BAR / 2 : -BAR / 2);
      const y2 = scale.middle(row);
      const bend = Math.max(4, x1 - 7);
      const isCritical = critical_path.includes(id) && critical_path.includes(task.task_id);
      const path =
        x2 - bend > 8
          ? `M${bend} ${y1} V${y2 - (isDown ? 5 : -5)} Q${bend} ${y2} ${bend + 5} ${y2} H${x2 - 1}`
          : `M${bend} ${y1} V${y2 + (isDown ? -BAR / 2 - 2 : BAR / 2 + 2)}`;
      parts.push(draw("path", { class: `arrow${isCritical ? " is-critical" : ""}`, d: path, "marker-end": "url(#arrow-head)" }));
    }
  }
  return parts;
}

function arrowHead() {
  const marker = draw("marker", { id: "arrow-head", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto", markerUnits: "userSpaceOnUse" });
  marker.append(draw("path", { class: "arrow-head", d: "M0 0.5 L7.5 4 L0 7.5 Z" }));
  return draw("defs", {}, marker);
}

/** Each at the row of the task with which it is reached. @param {Timeline} timeline @param {Scale} scale @param {Cast} cast */
function diamonds({ milestones, tasks }, scale, cast) {
  return milestones.map(({ name, date, agent_role }) => {
    const isIts = (/** @type {ScheduledTask} */ task) => task.end_date === date && (agent_role === null || task.assigned_agent === agent_role);
    const row = Math.max(0, tasks.findLastIndex(isIts));
    const x = scale.x(dayOf(date) + 1) + (agent_role === null ? 20 : 5);
    const y = scale.middle(row);
    const size = agent_role === null ? 8 : 6;
    const made = draw("path", { class: `milestone ${agent_role === null ? "is-end" : cast.colorOf(agent_role)}`, d: `M${x} ${y - size} L${x + size} ${y} L${x} ${y + size} L${x - size} ${y} Z` });
    made.append(draw("title", {}, `${name}: ${dayText(date)}`));
    return made;
  });
}

/** @param {Timeline} timeline @param {Cast} cast */
function asTable({ tasks, critical_path, slack_days }, cast) {
  const names = new Map(tasks.map((task) => [task.task_id, task.task_name]));
  const rows = tasks.map((task) => [
    task.task_name,
    cast.nameOf(task.assigned_agent),
    dayText(task.start_date),
    dayText(task.end_date),
    `${numberText(task.effort_hours)} h`,
    words(task.status),
    task.dependencies.map((id) => names.get(id) ?? id).join(", ") || "—",
    critical_path.includes(task.task_id) ? "critical" : counted(slack_days[task.task_id] ?? 0, "day"),
  ]);
  return table("Tasks of the timeline", ["Task", "Role", "Start", "End", "Effort", "Status", "After", "Slack"], rows, "is-roomy");
}

/** @param {Timeline} timeline */
function milestones({ milestones: all }) {
  return table("Milestones", ["Milestone", "Day"], all.map(({ name, date }) => [name, dayText(date)]));
}

/** @implements {Panel} */
export class FunctionPointsPanel {
  element = make("div", "figure-view");
  #session;
  #drawn = -1;

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
  }

  update() {
    const last = this.#session.rounds.at(-1)?.turn_number ?? 0;
    if (last === this.#drawn) return;
    this.#drawn = last;
    const round = newest(this.#session, "function_point_estimation");
    const estimate = round?.function_point_estimation;
    if (!round || !estimate) return this.element.replaceChildren(nothing(this.#session, "function_point_estimation", "No function points yet", "They are counted from the functions of the software that the roles name."));
    this.element.replaceChildren(
      sums(estimate),
      table(
        "Function points",
        ["Function", "Type", "Complexity", "Points"],
        [...estimate.function_points.map((each) => [
          make("span", "function", make("strong", "", each.function_name), each.description && make("span", "quiet", each.description)),
          typed(each.function_type),
          words(each.complexity),
          make("span", "number", String(each.fp_count)),
        ]), [make("strong", "", "Sum"), "", "", make("span", "number", String(estimate.unadjusted_fp))]],
      ),
      formulas(round, ["fp_count", "function_points", "unadjusted_fp", "value_adjustment_factor", "adjusted_fp", "total_function_points", "estimated_hours", "estimated_days", "hourly_rate", "estimated_cost"]),
    );
  }
}

/** @type {Record<string, string>} */
const TYPES = { EI: "External input", EO: "External output", EQ: "External inquiry", ILF: "Internal logical file", EIF: "External interface file" };

/** @param {string} type */
const typed = (type) => make("span", "function", make("span", "", type), make("span", "quiet", TYPES[type] ?? ""));

/** @param {FunctionPoints} estimate */
function sums(estimate) {
  const { basis } = estimate;
  const shown = (/** @type {number | null} */ value) => (value === null ? "—" : numberText(value));
  /** @type {[string, keyof FunctionPoints][]} */
  const rows = [
    ["Function points", "total_function_points"],
    ["Unadjusted", "unadjusted_fp"],
    ["Adjustment factor", "value_adjustment_factor"],
    ["Hours", "estimated_hours"],
    ["Days", "estimated_days"],
    ["Cost", "estimated_cost"],
  ];
  return tiles(...rows.map(([label, name]) => /** @type {[string, string, string]} */ ([label, shown(/** @type {number | null} */ (estimate[name])), (basis[name] ?? "").replace(/\b(un)?adjusted_fp\b/g, "$1adjusted points")])));
}
