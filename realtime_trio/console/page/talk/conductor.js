// What a client does in a conversation, without doing it: events go in, actions come out.
//
// Theory of operation.  The service sends speech faster than it is spoken, so when somebody
// interrupts, it has said more than was heard.  Then three things follow, in this order: playing
// stops, which tells how many samples were heard; the item that was playing is truncated there, and
// what waited behind it to nothing; and the response is cancelled, unless the service does that
// itself.  What still arrives of an interrupted response is not played.
//
// One response writes to the conversation at a time.  A request that comes while there is one waits
// for its end; if a voice has ended it, the service answers that voice, and the request is void.

import { RATE, pcmBytes } from "../audio/pcm.js";
import { base64Of } from "../wire/base64.js";
import { turnDetection } from "./turn_detection.js";

/** @typedef {import("../wire/record.js").WireEvent} WireEvent */
/** @typedef {import("../audio/speaker.js").Heard} Heard */
/** @typedef {import("./turn_detection.js").TurnMode} TurnMode */

/**
 * @typedef {{do: "send", event: WireEvent}
 *   | {do: "play", item: string, samples: Int16Array}
 *   | {do: "interrupt", cancel: boolean}
 *   | {do: "call", name: string, callId: string, arguments: string}} Action
 */

/** @typedef {{response: string, samples: number, isOver: boolean}} Spoken  An item that is spoken. */

/**
 * @typedef {object} Opening  What the session is opened with.
 * @property {TurnMode} mode
 * @property {string} voice
 * @property {string} instructions
 * @property {boolean} greets
 * @property {object[]} tools
 */

const SHORTEST_COMMIT = RATE / 10; // the service refuses to commit less
const OWN = "evt_conductor_"; // what the ids begin with of events that may be refused; those written by hand have others
const FASTER = new Set(["response_cancel_not_active", "conversation_already_has_active_response"]);

/**
 * Whether this only means that something else was faster than what the conductor sent by itself: it
 * goes on as if it had been asked for later, and nobody needs to be told.
 * @param {any} error
 */
export function isRace(error) {
  return String(error?.event_id).startsWith(OWN) && FASTER.has(error.code);
}

export class Conductor {
  /** @param {Opening} opening */
  constructor(opening) {
    this._opening = opening;
    this.mode = opening.mode;
    this._isGreeted = !opening.greets;
    /** The response that writes to the conversation. @type {string | null} */
    this._active = null;
    /** The request for a response that has not begun. @type {string | null} */
    this._asked = null;
    this._sent = 0;
    this._wants = false; // whether one is to be asked for as soon as possible
    /** @type {Map<string, Spoken>} */
    this._spoken = new Map();
    /** Responses of which nothing more is played. @type {Set<string>} */
    this._silenced = new Set();
    /** Tool calls whose output is not there. @type {Set<string>} */
    this._calls = new Set();
    this._appended = 0; // samples since the last commit
    this._isTalking = false;
    this._lastItem = 0;
  }

  /** Whether the microphone is to be sent. */
  get listens() {
    return this.mode !== "manual" || this._isTalking;
  }

  // --- what the service says ----------------------------------------------------------------------

  /**
   * @param {WireEvent} event
   * @param {Int16Array | null} samples  the audio in it
   * @returns {Action[]}
   */
  hear(event, samples) {
    switch (event.type) {
      case "session.created":
        return [this._configure()];
      case "session.updated":
        return this._greet();
      case "input_audio_buffer.speech_started":
        // The service cancels by itself what a voice interrupts.
        return [{ do: "interrupt", cancel: false }];
      case "response.created":
        if (event.response?.conversation_id !== null) this._active = String(event.response?.id);
        this._asked = null;
        return [];
      case "response.output_audio.delta":
        return samples === null ? [] : this._play(event, samples);
      case "response.output_item.done":
        return this._finish(event.item);
      case "conversation.item.done":
        return this._afterHostedCall(event.item);
      case "response.done":
        return this._end(event.response);
      case "error":
        return this._refuse(event.error);
      default:
        return [];
    }
  }

  /** @returns {Action} */
  _configure() {
    const { voice, instructions, tools } = this._opening;
    return {
      do: "send",
      event: {
        type: "session.update",
        session: {
          type: "realtime",
          ...(instructions === "" ? {} : { instructions }),
          audio: {
            input: {
              format: { type: "audio/pcm", rate: RATE },
              transcription: { model: "gpt-4o-mini-transcribe" },
              turn_detection: turnDetection(this.mode),
            },
            output: { format: { type: "audio/pcm", rate: RATE }, ...(voice === "" ? {} : { voice }) },
          },
          tools,
        },
      },
    };
  }

  /** @returns {Action[]} */
  _greet() {
    if (this._isGreeted) return [];
    this._isGreeted = true;
    return this.say("Hello!");
  }

  /**
   * @param {WireEvent} event
   * @param {Int16Array} samples
   * @returns {Action[]}
   */
  _play(event, samples) {
    const response = String(event.response_id);
    const item = String(event.item_id);
    if (this._silenced.has(response)) return [];
    const spoken = this._spoken.get(item) ?? { response, samples: 0, isOver: false };
    spoken.samples += samples.length;
    this._spoken.set(item, spoken);
    return [{ do: "play", item, samples }];
  }

  /**
   * @param {any} item
   * @returns {Action[]}
   */
  _finish(item) {
    const spoken = this._spoken.get(String(item?.id));
    if (spoken !== undefined) spoken.isOver = true;
    if (item?.type !== "function_call" || item.status !== "completed") return [];
    this._calls.add(String(item.call_id));
    return [{ do: "call", name: String(item.name), callId: String(item.call_id), arguments: String(item.arguments ?? "") }];
  }

  /**
   * The service runs the tools of MCP servers, but does not go on by itself.
   * @param {any} item
   * @returns {Action[]}
   */
  _afterHostedCall(item) {
    const isOver = item?.type === "mcp_call" && (typeof item.output === "string" || Boolean(item.error));
    return isOver ? this._request() : [];
  }

  /**
   * @param {any} response
   * @returns {Action[]}
   */
  _end(response) {
    const id = String(response?.id);
    if (this._active !== null && this._active !== id) return [];
    this._active = null;
    if (response?.status_details?.reason === "turn_detected") this._wants = false;
    return this._wants ? this._request() : [];
  }

  /** @returns {Action[]} */
  _request() {
    if (this._active !== null || this._asked !== null || this._calls.size > 0) {
      this._wants = true;
      return [];
    }
    this._wants = false;
    this._asked = this._nextId("response");
    return [{ do: "send", event: { event_id: this._asked, type: "response.create" } }];
  }

  /** @param {string} what */
  _nextId(what) {
    this._sent += 1;
    return `${OWN}${what}_${this._sent}`;
  }

  /**
   * @param {any} error
   * @returns {Action[]}
   */
  _refuse(error) {
    if (this._asked === null || error?.event_id !== this._asked) return [];
    this._asked = null;
    // Somebody was faster, usually the service itself: after that one it is our turn.
    this._wants = error.code === "conversation_already_has_active_response";
    return [];
  }

  // --- what happens on this side ------------------------------------------------------------------

  /**
   * Playing was stopped by an interruption, and this was heard.
   * @param {Heard} heard
   * @param {boolean} cancel  whether this side has to end the response
   * @returns {Action[]}
   */
  interrupted(heard, cancel) {
    /** @type {Action[]} */
    const actions = [];
    // In the order in which they play; where nothing has begun to, all of them were waiting.
    let isBehind = heard.part === null;
    for (const [item, spoken] of this._spoken) {
      if (isBehind) {
        actions.push(truncate(item, 0));
      } else if (item === heard.part) {
        isBehind = true;
        const isHeard = spoken.isOver && heard.played >= spoken.samples;
        if (!isHeard) actions.push(truncate(item, Math.min(heard.played, spoken.samples)));
      }
    }
    this._spoken.clear();
    if (cancel && this._active !== null) actions.push({ do: "send", event: { event_id: this._nextId("cancel"), type: "response.cancel" } });
    return actions;
  }

  /** Play nothing more of what is being said. Call it before anything is waited for. */
  silence() {
    for (const { response } of this._spoken.values()) this._silenced.add(response);
    if (this._active !== null) this._silenced.add(this._active);
  }

  /**
   * @param {Int16Array} samples
   * @returns {Action[]}
   */
  listen(samples) {
    if (!this.listens) return [];
    this._appended += samples.length;
    return [{ do: "send", event: { type: "input_audio_buffer.append", audio: base64Of(pcmBytes(samples)) } }];
  }

  /** The button to talk was pressed. @returns {Action[]} */
  startTalking() {
    if (this.mode !== "manual" || this._isTalking) return [];
    this._isTalking = true;
    this._appended = 0;
    return [{ do: "interrupt", cancel: true }];
  }

  /** The button to talk was let go. @returns {Action[]} */
  stopTalking() {
    if (!this._isTalking) return [];
    this._isTalking = false;
    if (this._appended === 0) return [];
    if (this._appended < SHORTEST_COMMIT) return [{ do: "send", event: { type: "input_audio_buffer.clear" } }];
    return [{ do: "send", event: { type: "input_audio_buffer.commit" } }, ...this._request()];
  }

  /**
   * @param {string} text
   * @param {string | null} [image]  a data URL
   * @returns {Action[]}
   */
  say(text, image = null) {
    /** @type {object[]} */
    const content = [];
    if (image !== null) content.push({ type: "input_image", image_url: image });
    if (text !== "") content.push({ type: "input_text", text });
    const item = { id: this._newItem(), type: "message", role: "user", content };
    return [{ do: "send", event: { type: "conversation.item.create", item } }, ...this._request()];
  }

  /**
   * @param {string} callId
   * @param {string} output
   * @returns {Action[]}
   */
  answerCall(callId, output) {
    this._calls.delete(callId);
    const item = { id: this._newItem(), type: "function_call_output", call_id: callId, output };
    return [{ do: "send", event: { type: "conversation.item.create", item } }, ...this._request()];
  }

  /**
   * @param {string} request  id of the item that asks
   * @param {boolean} approve
   * @returns {Action[]}
   */
  decide(request, approve) {
    const item = { id: this._newItem(), type: "mcp_approval_response", approval_request_id: request, approve };
    /** @type {Action[]} */
    const actions = [{ do: "send", event: { type: "conversation.item.create", item } }];
    return approve ? actions : [...actions, ...this._request()];
  }

  /**
   * @param {TurnMode} mode
   * @returns {Action[]}
   */
  switchTo(mode) {
    if (mode === this.mode) return [];
    const ending = this.stopTalking();
    this.mode = mode;
    this._appended = 0;
    const input = { turn_detection: turnDetection(mode) };
    return [...ending, { do: "send", event: { type: "session.update", session: { type: "realtime", audio: { input } } } }];
  }

  _newItem() {
    this._lastItem += 1;
    return `item_page_${this._lastItem}`;
  }
}

/**
 * @param {string} item
 * @param {number} samples
 * @returns {Action}
 */
function truncate(item, samples) {
  const audio_end_ms = Math.floor((samples * 1000) / RATE);
  return { do: "send", event: { type: "conversation.item.truncate", item_id: item, content_index: 0, audio_end_ms } };
}
