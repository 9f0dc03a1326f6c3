// One conversation that one has in the page, from connecting to its end: the line, the microphone, the
// speaker and the tools, and the conductor that says what they do.
//
// Theory of operation.  Connecting takes its time, and hands are fast: somebody may hang up while the
// speaker is made, while the line is made, or while the browser asks about the microphone.  So a call
// is made once and ends once.  Whatever is still on its way then finds `isOver`, and does nothing.  A
// page that calls again makes another call, with a line, a microphone and a speaker of its own.

import { Microphone } from "../audio/microphone.js";
import { Speaker } from "../audio/speaker.js";
import { LiveSource } from "../sources/live.js";
import { Conductor, isRace } from "./conductor.js";
import { TOOL_DEFINITIONS } from "./tools.js";

/** @typedef {import("../state/desk.js").Desk} Desk */
/** @typedef {import("../wire/record.js").Mark} Mark */
/** @typedef {import("../wire/record.js").WireEvent} WireEvent */
/** @typedef {import("./conductor.js").Action} Action */
/** @typedef {import("./tools.js").Tools} Tools */
/** @typedef {import("./turn_detection.js").TurnMode} TurnMode */
/** @typedef {import("../views/header_view.js").Standing} Standing */

/** @typedef {"asked" | "open" | "none"} Hearing  How it stands with the microphone. */

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

/**
 * @typedef {object} CallListener
 * @property {(standing: Standing) => void} onStanding
 * @property {(problem: string) => void} onProblem  something went wrong, and the call goes on
 */

export class Call {
  /**
   * @param {Desk} desk
   * @param {Tools} tools
   * @param {Wishes} wishes
   * @param {CallListener} listener
   */
  constructor(desk, tools, wishes, listener) {
    this._desk = desk;
    this._tools = tools;
    this._wishes = wishes;
    this._listener = listener;
    this._conductor = new Conductor({ ...wishes, tools: TOOL_DEFINITIONS });
    this._source = new LiveSource({
      onMessage: (message) => this._message(message),
      onOpen: () => this._tell(),
      onEnd: (ended) => this._ended(ended),
    });
    this._speaker = new Speaker({ onBegan: (item, latency) => this._began(item, latency) });
    /** @type {Microphone | null} */
    this._microphone = null;
    /** @type {Hearing} */
    this.hearing = "asked";
    this._deafness = ""; // why there is no microphone
    /** Looks for a microphone when one is plugged in. */
    this._onDevices = () => void this._listen();
    this.isOver = false;
    this._isMuted = false;
    /** Which connection of this page it is, as its program counts. */
    this._connection = 0;
    /** Places of the messages of each side, by their number. @type {Record<"client" | "server", number[]>} */
    this._places = { client: [], server: [] };
    /** Interruptions come one after the other. @type {Promise<void>} */
    this._interruption = Promise.resolve();
  }

  get isOpen() {
    return !this.isOver && this._source.isOpen;
  }

  /** Pieces of audio that were not sent, because the line is too slow for them. */
  get leftOut() {
    return this._source.leftOut;
  }

  /** Seconds since the call was made. */
  get now() {
    return this._source.now;
  }

  /** Must follow a click or a key, without which browsers play nothing. */
  async open() {
    this._desk.clear(this._wishes.model);
    this._tools.clear();
    this._tell();
    // The speaker first, or the greeting would be said to nobody.
    try {
      await this._speaker.open();
    } catch (error) {
      this._end({ phase: "failed", words: `The browser plays no audio: ${error instanceof Error ? error.message : error}` });
    }
    if (this.isOver) return;
    const { path, model, token } = this._wishes;
    this._source.connect(path, model, token);
    navigator.mediaDevices?.addEventListener("devicechange", this._onDevices);
    await this._listen();
  }

  /** Open a microphone, unless there is one. */
  async _listen() {
    if (this._microphone !== null || this.isOver) return;
    const microphone = new Microphone({ onSamples: (samples) => this._heard(samples), onLost: () => this._lost() });
    this._microphone = microphone;
    this.hearing = "asked";
    this._tell();
    try {
      await microphone.open();
      this.hearing = "open";
    } catch (error) {
      this._microphone = null;
      this.hearing = "none";
      this._deafness = error instanceof Error ? error.message : String(error);
    }
    this._tell();
  }

  /** The device is gone; there may be another one. */
  _lost() {
    this._microphone = null;
    void this._listen();
  }

  hangUp() {
    if (this.isOver) return;
    this._source.close();
    this._end({ phase: "ended", words: "Disconnected" });
  }

  /** @param {import("../sources/live.js").Ended} ended */
  _ended({ code, reason }) {
    const why = `${code}${reason === "" ? "" : ` ${reason}`}`;
    const wasOpen = this._places.server.length > 0;
    this._end({ phase: "failed", words: wasOpen ? `The session has ended: ${why}` : `Could not connect: ${why}` });
  }

  /** @param {Standing} standing */
  _end(standing) {
    if (this.isOver) return;
    this.isOver = true;
    navigator.mediaDevices?.removeEventListener("devicechange", this._onDevices);
    void this._speaker.close();
    void this._microphone?.close();
    this._listener.onStanding(standing);
  }

  _tell() {
    if (this.isOver) return;
    if (!this.isOpen) this._listener.onStanding({ phase: "connecting", words: "Connecting" });
    else if (this.hearing === "none") this._listener.onStanding({ phase: "open", words: `Connected, without a microphone: ${this._deafness}` });
    else this._listener.onStanding({ phase: "open", words: "Connected" });
  }

  // --- what comes ---------------------------------------------------------------------------------

  /** @param {import("../state/desk.js").Message} message */
  _message(message) {
    if (this.isOver) return;
    const { record, samples } = this._desk.take(message);
    if (record.side === "page") return;
    this._places[record.side].push(record.seq);
    if (record.side !== "server" || record.text !== null) return;
    if (record.event.type === "error" && !isRace(record.event.error)) this._listener.onProblem(String(record.event.error?.message ?? "The service reports an error."));
    this._do(this._conductor.hear(record.event, samples));
  }

  /** @param {Int16Array} samples */
  _heard(samples) {
    if (!this._isMuted || this._conductor.mode === "manual") this._do(this._conductor.listen(samples));
  }

  /**
   * @param {string} item
   * @param {number} latency  seconds
   */
  _began(item, latency) {
    if (!this.isOver) this._desk.take({ side: "page", at: this.now + latency, event: { type: "playback.began", item_id: item } });
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

  /** @param {Action[]} actions */
  _do(actions) {
    if (this.isOver) return;
    for (const action of actions) {
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
          this._do(this._conductor.answerCall(action.callId, this._tools.call(action.name, action.arguments)));
          break;
      }
    }
  }

  /** @param {boolean} cancel */
  _interrupt(cancel) {
    this._conductor.silence();
    const stopped = this._speaker.stop();
    this._interruption = this._interruption.then(async () => this._do(this._conductor.interrupted(await stopped, cancel)));
  }

  /** @param {boolean} isMuted */
  mute(isMuted) {
    this._isMuted = isMuted;
  }

  startTalking() {
    this._do(this._conductor.startTalking());
  }

  stopTalking() {
    this._do(this._conductor.stopTalking());
  }

  /** @param {TurnMode} mode */
  switchTo(mode) {
    this._do(this._conductor.switchTo(mode));
  }

  /**
   * Say something in writing; what is being said is interrupted by it.
   * @param {string} text
   * @param {string | null} image
   */
  say(text, image) {
    this._interrupt(true);
    this._interruption = this._interruption.then(() => this._do(this._conductor.say(text, image)));
  }

  /**
   * @param {string} request
   * @param {boolean} approve
   */
  decide(request, approve) {
    this._do(this._conductor.decide(request, approve));
  }

  /**
   * Send an event as it is.
   * @param {WireEvent} event
   * @returns {boolean}
   */
  send(event) {
    return !this.isOver && this._source.send(event);
  }
}
