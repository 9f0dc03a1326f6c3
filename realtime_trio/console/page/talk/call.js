// A conversation that one has in the page: the line, the microphone, the speaker and the tools, and the
// conductor that says what they do.

import { Microphone } from "../audio/microphone.js";
import { Speaker } from "../audio/speaker.js";
import { LiveSource } from "../sources/live.js";
import { Conductor } from "./conductor.js";
import { TOOL_DEFINITIONS } from "./tools.js";

/** @typedef {import("../state/desk.js").Desk} Desk */
/** @typedef {import("../wire/record.js").Mark} Mark */
/** @typedef {import("../wire/record.js").WireEvent} WireEvent */
/** @typedef {import("./conductor.js").Action} Action */
/** @typedef {import("./tools.js").Tools} Tools */
/** @typedef {import("./turn_detection.js").TurnMode} TurnMode */
/** @typedef {import("../views/header_view.js").Standing} Standing */

/**
 * @typedef {object} Wishes
 * @property {string} path  of the WebSocket
 * @property {string} token
 * @property {string} model
 * @property {string} voice
 * @property {TurnMode} mode
 * @property {string} instructions
 * @property {boolean} greets
 */

export class Call {
  /**
   * @param {Desk} desk
   * @param {Tools} tools
   * @param {(standing: Standing) => void} onStanding
   */
  constructor(desk, tools, onStanding) {
    this._desk = desk;
    this._tools = tools;
    this._onStanding = onStanding;
    /** @type {Conductor | null} */
    this._conductor = null;
    this._source = new LiveSource({
      onMessage: (message) => this._message(message),
      onOpen: () => onStanding({ phase: "open", words: "Connected" }),
      onEnd: (ended) => this._ended(ended),
    });
    this._speaker = new Speaker({ onBegan: (item, latency) => this._began(item, latency) });
    this._microphone = new Microphone((samples) => this._heard(samples));
    this._isMuted = false;
    /** Which connection of this page it is, as its program counts. */
    this._connection = 0;
    /** Places of the messages of each side, by their number. @type {Record<"client" | "server", number[]>} */
    this._places = { client: [], server: [] };
    /** Interruptions come one after the other. @type {Promise<void>} */
    this._interruption = Promise.resolve();
  }

  get isOpen() {
    return this._source.isOpen;
  }

  /** Pieces of audio that were not sent, because the line is too slow for them. */
  get leftOut() {
    return this._source.leftOut;
  }

  get now() {
    return this._source.now;
  }

  /**
   * Must follow a click or a key, without which browsers play nothing.
   * @param {Wishes} wishes
   */
  async connect({ path, token, model, voice, mode, instructions, greets }) {
    this._onStanding({ phase: "connecting", words: "Connecting" });
    this._desk.clear(model);
    this._tools.clear();
    this._places = { client: [], server: [] };
    this._conductor = new Conductor({ mode, voice, instructions, greets, tools: TOOL_DEFINITIONS });
    // The speaker first, or the greeting would be said to nobody.
    await this._speaker.open();
    this._source.connect(path, model, token);
    try {
      await this._microphone.open();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (this.isOpen) this._onStanding({ phase: "open", words: `Connected, without a microphone: ${why}` });
    }
  }

  disconnect() {
    this._source.close();
  }

  /** @param {import("../sources/live.js").Ended} ended */
  _ended({ code, reason, isAsked }) {
    const wasOpen = this._conductor !== null && this._desk.ring.size > 0;
    this._conductor = null;
    void this._speaker.close();
    void this._microphone.close();
    if (isAsked) this._onStanding({ phase: "ended", words: "Disconnected" });
    else if (wasOpen) this._onStanding({ phase: "failed", words: `The session has ended: ${code}${reason === "" ? "" : ` ${reason}`}` });
    else this._onStanding({ phase: "failed", words: `Could not connect (${code}${reason === "" ? "" : ` ${reason}`})` });
  }

  // --- what comes ---------------------------------------------------------------------------------

  /** @param {import("../state/desk.js").Message} message */
  _message(message) {
    const { record, samples } = this._desk.take(message);
    if (record.side === "page") return;
    this._places[record.side].push(record.seq);
    if (record.side === "server" && record.text === null) this._do(this._conductor?.hear(record.event, samples));
  }

  /** @param {Int16Array} samples */
  _heard(samples) {
    if (!this._isMuted || this._conductor?.mode === "manual") this._do(this._conductor?.listen(samples));
  }

  /**
   * @param {string} item
   * @param {number} latency  seconds
   */
  _began(item, latency) {
    this._desk.take({ side: "page", at: this.now + latency, event: { type: "playback.began", item_id: item } });
  }

  /** @param {number} number */
  connectionIs(number) {
    this._connection = number;
  }

  /** @param {{connection: number, side: "client" | "server", number: number, marks: Mark[]}} told */
  mark({ connection, side, number, marks }) {
    const seq = this._places[side][number];
    if (connection === this._connection && seq !== undefined) this._desk.mark(seq, marks);
  }

  // --- what is done -------------------------------------------------------------------------------

  /** @param {Action[] | undefined} actions */
  _do(actions) {
    for (const action of actions ?? []) {
      switch (action.do) {
        case "send":
          this._source.send(action.event);
          break;
        case "play":
          this._speaker.play(action.item, action.samples);
          break;
        case "interrupt":
          this._interrupt(action.cancel);
          break;
        case "call":
          this._do(this._conductor?.answerCall(action.callId, this._tools.call(action.name, action.arguments)));
          break;
      }
    }
  }

  /** @param {boolean} cancel */
  _interrupt(cancel) {
    const conductor = this._conductor;
    if (conductor === null) return;
    conductor.silence();
    const stopped = this._speaker.stop();
    this._interruption = this._interruption.then(async () => this._do(conductor.interrupted(await stopped, cancel)));
  }

  /** @param {boolean} isMuted */
  mute(isMuted) {
    this._isMuted = isMuted;
  }

  startTalking() {
    this._do(this._conductor?.startTalking());
  }

  stopTalking() {
    this._do(this._conductor?.stopTalking());
  }

  /** @param {TurnMode} mode */
  switchTo(mode) {
    this._do(this._conductor?.switchTo(mode));
  }

  /**
   * Say something in writing; what is being said is interrupted by it.
   * @param {string} text
   * @param {string | null} image
   */
  say(text, image) {
    this._interrupt(true);
    this._interruption = this._interruption.then(() => this._do(this._conductor?.say(text, image)));
  }

  /**
   * @param {string} request
   * @param {boolean} approve
   */
  decide(request, approve) {
    this._do(this._conductor?.decide(request, approve));
  }

  /**
   * Send an event as it is.
   * @param {WireEvent} event
   * @returns {boolean}
   */
  send(event) {
    return this._source.send(event);
  }
}
