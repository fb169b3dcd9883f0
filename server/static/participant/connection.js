// @ts-check
// What goes to the server and comes back: requests, and the socket, which says hello, hands on frames, and comes back by
// itself for as long as the session lasts.

const SUBPROTOCOL = "chatroom.v1";
const ANSWER_MS = 20_000; // what takes longer has been lost
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15_000;
const SILENCE_MS = 40_000; // the server speaks at least every 15 s
const ECHO_MS = 10_000; // and answers what is sent to it at once
const FINAL_CODES = new Map([
  [1000, "over"],
  [4401, "refused"],
  [4404, "unknown"],
  [4409, "elsewhere"],
  [4410, "over"],
]);

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
  #attempts = 0;
  #isOver = false;
  /** @type {number | undefined} */ #retryTimer;
  /** @type {number | undefined} */ #silenceTimer;
  #isAwaited = false; // something was sent, and nothing has come since

  /** @param {string} sessionId @param {Listener} listener */
  constructor(sessionId, listener) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.#address = `${scheme}://${location.host}/ws/${sessionId}`;
    this.#listener = listener;
    addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.#retryNow());
  }

  open() {
    const socket = new WebSocket(this.#address, SUBPROTOCOL);
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ type: "hello", after: this.#position }));
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = (event) => this.#closed(event.code);
    this.#expectSound();
  }

  /** Send a frame that is answered; without a connection, nothing happens. @param {Frame} frame */
  send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify(frame));
    if (!this.#isAwaited) this.#expectSound(ECHO_MS);
    this.#isAwaited = true;
  }

  /** @param {Frame} frame */
  #receive(frame) {
    this.#expectSound();
    if (frame.type === "welcome") {
      this.#attempts = 0;
      this.#listener.onChange(true);
    }
    if (frame.type === "message" || frame.type === "reaction") {
      if (frame.position <= this.#position && !frame.client_message_id) return;
      this.#position = Math.max(this.#position, frame.position);
    }
    this.#listener.onFrame(frame);
    if (frame.type === "session_end") this.#over("over");
  }

  /** @param {number} code */
  #closed(code) {
    clearTimeout(this.#silenceTimer);
    this.#socket = null;
    const outcome = FINAL_CODES.get(code);
    if (outcome) {
      this.#over(outcome);
      return;
    }
    this.#listener.onChange(false);
    this.#retryTimer = setTimeout(() => this.open(), retryDelay(this.#attempts++));
  }

  /** @param {string} outcome */
  #over(outcome) {
    this.#isOver = true;
    clearTimeout(this.#silenceTimer);
    this.#letGo();
    this.#listener.onEnd(outcome);
  }

  #retryNow() {
    if (this.#socket || this.#isOver || this.#retryTimer === undefined) return;
    clearTimeout(this.#retryTimer);
    this.open();
  }

  // A phone that changed network keeps a socket that is dead and does not know it.
  #expectSound(within = SILENCE_MS) {
    this.#isAwaited = false;
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => {
      if (this.#letGo()) this.#closed(1006);
    }, within);
  }

  /** Hear no more of the socket; whether there was one. */
  #letGo() {
    const socket = this.#socket;
    if (!socket) return false;
    socket.onclose = socket.onmessage = null;
    socket.close();
    this.#socket = null;
    return true;
  }
}
