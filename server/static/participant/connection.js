// @ts-check
// What goes to the server and comes back: requests; the socket, which says hello, hands on frames, and comes back by
// itself for as long as the session lasts; and the outbox, from which a message goes only when the server has it.

const SUBPROTOCOL = "chatroom.v1";
const ANSWER_MS = 20_000; // what takes longer has been lost
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15_000;
const SILENCE_MS = 12_000; // the server speaks at least every 5 s
const DOUBT_MS = 6_000; // enough to doubt a socket, if something else has happened
const WATCH_MS = 1_000;
const ECHO_MS = 10_000; // a message is answered at once
const SHORTEST_WAIT_S = 0.2;
const USUAL_WAIT_S = 2;
const OUTBOX_KEY = "chatroom-outbox";
const FINAL_CODES = new Map([
  [1000, "over"],
  [4401, "refused"],
  [4404, "unknown"],
  [4409, "elsewhere"],
  [4410, "over"],
]);
/** With these codes the server says: not now. */
const TEMPORARY = new Set(["rate_limited", "not_stored"]);

/**
 * What a request came to; status 0: nobody answered.
 * @typedef {{status: number, body: {[key: string]: any}, retryAfter: number}} Answer
 */

/** @param {string} path @param {object} body @returns {Promise<Answer>} */
export async function ask(path, body) {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout?.(ANSWER_MS),
    });
    const retryAfter = Number(response.headers.get("Retry-After")) || 0;
    return { status: response.status, body: await response.json(), retryAfter };
  } catch {
    return { status: 0, body: {}, retryAfter: 0 }; // or it was not our server who answered
  }
}

/** How long to wait after so many attempts; never all pages at the same moment. @param {number} attempts */
export function retryDelay(attempts) {
  return Math.random() * Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempts);
}

/** 32 hexadecimal characters. (randomUUID is not there on plain http from another machine.) */
export function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @typedef {{type: string, [key: string]: any}} Frame
 * @typedef {object} Listener
 * @property {(frame: Frame) => void} onFrame
 * @property {(isConnected: boolean) => void} onChange
 * @property {(outcome: string) => void} onEnd
 */

export class Connection {
  /** @type {WebSocket | null} */ #socket = null;
  #address;
  #listener;
  #position = 0;
  #attempts = 0; // since everything was there
  #isWanted = false;
  #heardAt = 0; // by the clock on the wall, which goes on while a laptop sleeps
  /** @type {number | undefined} */ #retryTimer;

  /** @param {string} sessionId @param {Listener} listener */
  constructor(sessionId, listener) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.#address = `${scheme}://${location.host}/ws/${sessionId}`;
    this.#listener = listener;
    addEventListener("online", () => this.#wake());
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake());
    setInterval(() => this.#isSilentFor(SILENCE_MS) && this.renew(), WATCH_MS);
  }

  /** Connect; also again, after the session was opened elsewhere. */
  open() {
    this.#isWanted = true;
    this.#connect();
  }

  /** Without a connection, nothing happens. @param {Frame} frame */
  send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  /** Replace a socket that does not do its duty: at once, unless that was no help a moment ago. */
  renew() {
    this.#comeBack(this.#attempts === 0);
  }

  #connect() {
    clearTimeout(this.#retryTimer);
    this.#heardAt = Date.now();
    const socket = new WebSocket(this.#address, SUBPROTOCOL);
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ type: "hello", after: this.#position }));
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = (event) => this.#closed(event.code);
  }

  /** @param {Frame} frame */
  #receive(frame) {
    this.#heardAt = Date.now();
    // After a power cut a server that does not wait for its disk knows less than it has shown.
    if (frame.type === "welcome" && frame.position < this.#position) return location.reload();
    if (positionBefore(frame) > this.#position) return this.renew();
    if (isCounted(frame)) {
      if (frame.position <= this.#position && !frame.client_message_id) return;
      this.#position = Math.max(this.#position, frame.position);
    }
    if (frame.type === "welcome") this.#listener.onChange(true);
    if (frame.type === "backlog_end") this.#attempts = 0;
    this.#listener.onFrame(frame);
    if (frame.type === "session_end") this.#over("over");
  }

  /** @param {number} code */
  #closed(code) {
    const outcome = FINAL_CODES.get(code);
    if (outcome) this.#over(outcome);
    else this.#comeBack(false);
  }

  /** @param {boolean} isAtOnce */
  #comeBack(isAtOnce) {
    if (!this.#letGo()) return;
    this.#listener.onChange(false);
    this.#retryTimer = setTimeout(() => this.#connect(), isAtOnce ? 0 : retryDelay(this.#attempts));
    this.#attempts += 1;
  }

  /** @param {string} outcome */
  #over(outcome) {
    this.#isWanted = false;
    this.#letGo();
    this.#listener.onEnd(outcome);
  }

  // A phone that changed network, a laptop that slept: their sockets are dead and do not know it.
  #wake() {
    if (!this.#isWanted) return;
    if (!this.#socket) this.#connect();
    else if (this.#isSilentFor(DOUBT_MS)) this.#comeBack(true);
  }

  /** @param {number} milliseconds */
  #isSilentFor(milliseconds) {
    return !!this.#socket && Date.now() - this.#heardAt > milliseconds;
  }

  /** Hear no more of the socket; whether there was one. */
  #letGo() {
    const socket = this.#socket;
    if (!socket) return false;
    socket.onopen = socket.onclose = socket.onmessage = null;
    socket.close();
    this.#socket = null;
    return true;
  }
}

/** Whether a frame has a place in the transcript. @param {Frame} frame */
function isCounted({ type }) {
  return type === "message" || type === "reaction";
}

/** Up to which position everything has come before this frame, if nothing was lost. @param {Frame} frame @returns {number} */
function positionBefore(frame) {
  if (isCounted(frame)) return frame.position - 1;
  return frame.type === "heartbeat" || frame.type === "backlog_end" ? frame.position : 0;
}

/**
 * What was written and is not known to be in the log. Storage keeps it over a reload and a closed tab, and shares it
 * with other tabs of this session; where storage is blocked, it lasts as long as the page.
 *
 * One message is on its way at a time: what is refused for now must not be overtaken.
 *
 * @typedef {{id: string, content: string, replyTo: string | null, date: number, failed: boolean}} Item
 */
export class Outbox {
  #session;
  #connection;
  /** @type {Item[]} */ #kept = [];
  #isOpen = false;
  /** @type {number | undefined} */ #timer; // runs while one is on its way, or has to wait

  /** @param {string} session @param {Connection} connection */
  constructor(session, connection) {
    this.#session = session;
    this.#connection = connection;
    if (!this.#stored()) Outbox.forget();
  }

  /** Nobody will ask for what is in storage, whosever it is. */
  static forget() {
    inStorage((storage) => storage.removeItem(OUTBOX_KEY));
  }

  /** @returns {Item[]} oldest first */
  get items() {
    return this.#stored() ?? this.#kept;
  }

  /** @param {string} content @param {string | null} replyTo */
  add(content, replyTo) {
    const item = { id: randomId(), content, replyTo, date: Date.now(), failed: false };
    this.#keep([...this.items, item]);
    this.#sendNext();
    return item;
  }

  /** There is a connection, and all is there that came before. */
  open() {
    this.#isOpen = true;
    this.#goOn();
  }

  pause() {
    this.#isOpen = false;
    this.#goOn();
  }

  /** The server has it. @param {string} id */
  confirm(id) {
    if (this.#take(id)) this.#goOn();
  }

  /** The server will not have it; say whether that is for good. @param {string} id @param {Frame} error */
  refuse(id, { code, retry_after: seconds = USUAL_WAIT_S }) {
    if (!this.items.some((item) => item.id === id)) return false;
    if (TEMPORARY.has(code)) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#goOn(), Math.max(seconds, SHORTEST_WAIT_S) * 1_000);
      return false;
    }
    this.#keep(this.items.map((item) => (item.id === id ? { ...item, failed: true } : item)));
    this.#goOn();
    return true;
  }

  /** Try one again that was refused, as a new message. @param {string} id */
  retry(id) {
    const refused = this.#take(id);
    return refused && this.add(refused.content, refused.replyTo);
  }

  /** The session is over. */
  empty() {
    this.pause();
    this.#keep([]);
  }

  /** @param {string} id */
  #take(id) {
    const items = this.items;
    const taken = items.find((item) => item.id === id);
    if (taken) this.#keep(items.filter((item) => item !== taken));
    return taken;
  }

  #goOn() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sendNext();
  }

  #sendNext() {
    if (!this.#isOpen || this.#timer !== undefined) return;
    const next = this.items.find((item) => !item.failed);
    if (!next) return;
    const { id, content, replyTo } = next;
    this.#connection.send({ type: "user_message", content, client_message_id: id, ...(replyTo ? { reply_to: replyTo } : {}) });
    this.#timer = setTimeout(() => this.#connection.renew(), ECHO_MS);
  }

  /** @returns {Item[] | null} null if there is nothing of this session */
  #stored() {
    const { session, items } = inStorage((storage) => JSON.parse(storage.getItem(OUTBOX_KEY) ?? "{}")) ?? {};
    return session === this.#session ? items : null;
  }

  /** @param {Item[]} items */
  #keep(items) {
    const isOurs = !!this.#stored();
    this.#kept = items;
    const text = JSON.stringify({ session: this.#session, items });
    const isStored = items.length > 0 && inStorage((storage) => (storage.setItem(OUTBOX_KEY, text), true));
    if (isOurs && !isStored) Outbox.forget(); // where storage is full, what it had is old now
  }
}

/** Null where storage is blocked or full. @template T @param {(storage: Storage) => T} act */
function inStorage(act) {
  try {
    return act(localStorage);
  } catch {
    return null;
  }
}
