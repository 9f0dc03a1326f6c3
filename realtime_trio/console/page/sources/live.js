// One session of the page's own: a Realtime client on a WebSocket that makes the records itself.

import { isEvent } from "../wire/record.js";
import { socketUrl, subprotocols } from "./setup.js";

/** @typedef {import("../wire/record.js").WireEvent} WireEvent */
/** @typedef {import("../state/desk.js").Message} Message */

/**
 * @typedef {object} Ended
 * @property {number} code  1005 if the other side gave none, 1006 if there was no close at all
 * @property {string} reason
 */

/** How far the socket may fall behind before audio is left out: 4 s of it, in base64. */
const MOST_BUFFERED = 256 * 1024;

export class LiveSource {
  /**
   * @param {object} told
   * @param {(message: Message) => void} told.onMessage
   * @param {() => void} told.onOpen
   * @param {(ended: Ended) => void} told.onEnd
   */
  constructor({ onMessage, onOpen, onEnd }) {
    this._onMessage = onMessage;
    this._onOpen = onOpen;
    this._onEnd = onEnd;
    /** @type {WebSocket | null} */
    this._socket = null;
    this._start = performance.now();
    this._lastId = 0;
    /** Pieces of audio that were left out, because the line is too slow for them. */
    this.leftOut = 0;
  }

  get isOpen() {
    return this._socket !== null && this._socket.readyState === WebSocket.OPEN;
  }

  /** Seconds since this was made, the time of all records. */
  get now() {
    return (performance.now() - this._start) / 1000;
  }

  /**
   * Connect, once.
   * @param {string} path
   * @param {string} model  empty for that of the path
   * @param {string} token
   */
  connect(path, model, token) {
    const url = socketUrl(path);
    if (model !== "") url.searchParams.set("model", model);
    this._socket = new WebSocket(url, subprotocols(token));
    this._socket.onopen = () => this._onOpen();
    this._socket.onmessage = (message) => this._receive(message.data);
    this._socket.onclose = ({ code, reason }) => this._onEnd({ code, reason });
  }

  /** @param {unknown} data */
  _receive(data) {
    const text = typeof data === "string" ? data : "(binary)";
    /** @type {unknown} */
    let event;
    try {
      event = JSON.parse(text);
    } catch {
      event = undefined;
    }
    this._onMessage({
      side: "server",
      at: this.now,
      wall: Date.now() / 1000,
      event,
      text: isEvent(event) ? null : text,
    });
  }

  /**
   * Send an event; one without an id gets one, so that errors can name it.
   * @param {WireEvent} event
   * @returns {boolean} whether it was sent
   */
  send(event) {
    if (!this.isOpen || this._socket === null) return false;
    if (event.type === "input_audio_buffer.append" && this._socket.bufferedAmount > MOST_BUFFERED) {
      this.leftOut += 1;
      return false;
    }
    this._lastId += 1;
    const sent = event.event_id === undefined ? { event_id: `evt_page_${this._lastId}`, ...event } : event;
    // Noted first: the answer could not be understood without the question.
    this._onMessage({ side: "client", at: this.now, wall: Date.now() / 1000, event: sent });
    this._socket.send(JSON.stringify(sent));
    return true;
  }

  close() {
    const socket = this._socket;
    const close = () => socket?.close(1000, "the user has hung up");
    // Browsers complain about one that is closed before it was open.
    if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = close;
    else close();
  }
}
