// @ts-check
// The socket: says hello, hands on frames, and comes back by itself for as long as the session lasts.

const SUBPROTOCOL = "chatroom.v1";
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
    if (frame.type === "session_end") this.#isOver = true;
    this.#listener.onFrame(frame);
  }

  /** @param {number} code */
  #closed(code) {
    clearTimeout(this.#silenceTimer);
    this.#socket = null;
    const outcome = FINAL_CODES.get(code);
    if (outcome || this.#isOver) {
      this.#isOver = true;
      this.#listener.onEnd(outcome ?? "over");
      return;
    }
    this.#listener.onChange(false);
    const ceiling = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#attempts++);
    this.#retryTimer = setTimeout(() => this.open(), Math.random() * ceiling);
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
      const socket = this.#socket;
      if (!socket) return;
      socket.onclose = null;
      socket.close();
      this.#closed(1006);
    }, within);
  }
}
