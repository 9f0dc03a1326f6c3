// The line to the program that serves the page: what it sees of the session, and what it does for us.

import { socketUrl, subprotocols } from "./setup.js";

/** @typedef {import("../wire/record.js").WireEvent} WireEvent */
/** @typedef {import("../wire/record.js").Mark} Mark */

/**
 * @typedef {object} Approval
 * @property {string} call
 * @property {string} name
 * @property {string} arguments
 * @property {string | null} server_label
 */

/**
 * @typedef {object} State
 * @property {boolean} open
 * @property {boolean} may_act
 * @property {"watched" | "unwatched"} order
 * @property {string | null} why
 * @property {Approval[]} approvals
 */

/**
 * @typedef {object} Listener
 * @property {(state: State) => void} onState
 * @property {(record: any) => void} onRecord
 * @property {(told: {connection: number, side: "client" | "server", number: number, marks: Mark[]}) => void} onMarks
 * @property {(number: number) => void} onConnection
 * @property {(count: number) => void} onDropped
 * @property {(end: {code: number | null, reason: string}) => void} onEnd
 */

export class Inspector {
  /** @param {Listener} listener */
  constructor(listener) {
    this._listener = listener;
    /** @type {WebSocket | null} */
    this._socket = null;
    /** @type {Map<number, (answer: any) => void>} */
    this._waiting = new Map();
    this._lastId = 0;
    this._isOver = false;
  }

  /**
   * @param {string} path
   * @param {string} token
   */
  connect(path, token) {
    const socket = new WebSocket(socketUrl(path), subprotocols(token));
    this._socket = socket;
    socket.onmessage = (message) => {
      const told = JSON.parse(message.data);
      for (const each of Array.isArray(told) ? told : [told]) this.hear(each);
    };
    socket.onclose = ({ code, reason }) => {
      this._socket = null;
      for (const answer of this._waiting.values()) answer({ problem: "The console's program has hung up." });
      this._waiting.clear();
      if (!this._isOver) this._listener.onEnd({ code, reason: reason || "the console's program has hung up" });
    };
  }

  /**
   * One message of the program; a report has them all in itself.
   * @param {any} told
   */
  hear(told) {
    switch (told.kind) {
      case "state":
        this._listener.onState(told);
        break;
      case "record":
        this._listener.onRecord(told);
        break;
      case "marks":
        this._listener.onMarks(told);
        break;
      case "connection":
        if (told.open) this._listener.onConnection(told.number);
        break;
      case "dropped":
        this._listener.onDropped(told.count);
        break;
      case "end":
        this._isOver = true;
        this._listener.onEnd(told);
        break;
      default:
        this._waiting.get(told.id)?.(told);
        this._waiting.delete(told.id);
    }
  }

  /**
   * What is asked while the line is being made is sent once it is there.
   * @param {Record<string, unknown>} question
   * @returns {Promise<any>} the answer; its `problem` is null, or a sentence
   */
  ask(question) {
    const socket = this._socket;
    if (socket === null || !this.isOpen) {
      return Promise.resolve({ problem: "There is no line to the console's program." });
    }
    this._lastId += 1;
    const id = this._lastId;
    const text = JSON.stringify({ ...question, id });
    return new Promise((resolve) => {
      this._waiting.set(id, resolve);
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
      else socket.addEventListener("open", () => socket.send(text), { once: true });
    });
  }

  /** Whether the program is there to be asked, or is being called. */
  get isOpen() {
    const state = this._socket?.readyState;
    return state === WebSocket.CONNECTING || state === WebSocket.OPEN;
  }
}
