// The session on one time axis: both voices, who spoke when, responses, tools and what went wrong.

import { RATE } from "../audio/pcm.js";
import { Track } from "./track.js";

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */

/**
 * @typedef {object} Span
 * @property {string} id
 * @property {number} start  seconds
 * @property {number | null} end  null while it lasts
 * @property {string} label
 * @property {string} state  how it stands, or how it ended
 */

/**
 * @typedef {object} Point
 * @property {"interruption" | "error" | "commit"} kind
 * @property {number} at  seconds
 * @property {string} label
 */

const LONGEST_LABEL = 200; // characters
const LARGEST_GAP = 0.25; // seconds: audio that comes later than this did not follow on from itself

export class Timeline {
  constructor() {
    /** What the microphone heard. */
    this.you = new Track();
    /** What the model said, as far as it was played. */
    this.model = new Track();
    /** @type {Span[]} */
    this.speech = [];
    /** @type {Span[]} */
    this.responses = [];
    /** @type {Span[]} */
    this.tools = [];
    /** @type {Point[]} */
    this.points = [];
    /** Seconds that the session has lasted. */
    this.end = 0;
    /** When the audio of an item began to sound. @type {Map<string, number>} */
    this._began = new Map();
    /** Where the tools' spans are, by call and by item. @type {Map<string, Span>} */
    this._calls = new Map();
  }

  /**
   * @param {WireRecord} record
   * @param {Int16Array | null} samples
   */
  apply(record, samples) {
    const { event, at } = record;
    this.end = Math.max(this.end, at);
    switch (event.type) {
      case "input_audio_buffer.append":
      case "session.input_audio_buffer.append":
        if (samples !== null) this._hear(samples, at);
        break;
      case "response.output_audio.delta":
      case "response.audio.delta":
      case "session.output_audio.delta":
        if (samples !== null) this._speak(samples, at, String(event.item_id ?? ""));
        break;
      case "session.updated":
        this._endSpeech(at); // nobody listens for its end where turns are no longer detected
        break;
      case "input_audio_buffer.speech_started":
        this._startSpeech(event, at);
        break;
      case "input_audio_buffer.speech_stopped":
        this._stopSpeech(event, at);
        break;
      case "playback.began":
        this._play(String(event.item_id), at);
        break;
      case "input_audio_buffer.committed":
        this.points.push({ kind: "commit", at, label: "committed" });
        break;
      case "conversation.item.truncate":
        if (record.side === "client") this._truncate(event, at);
        break;
      case "conversation.item.create":
        if (event.item?.type === "function_call_output") this._endCall(String(event.item.call_id), at, "completed");
        break;
      case "response.created":
        this.responses.push({ id: String(event.response?.id), start: at, end: null, label: "response", state: "in_progress" });
        break;
      case "response.done":
        this._endResponse(event.response, at);
        break;
      case "response.output_item.done":
        if (event.item?.type === "function_call" && event.item.status !== "incomplete") {
          this._startCall(String(event.item.call_id), String(event.item.name), at);
        }
        break;
      case "response.mcp_call.in_progress":
        this._startCall(String(event.item_id), "mcp", at);
        break;
      case "response.mcp_call.completed":
        this._endCall(String(event.item_id), at, "completed");
        break;
      case "response.mcp_call.failed":
        this._endCall(String(event.item_id), at, "failed");
        break;
      case "error":
        this.points.push({ kind: "error", at, label: String(event.error?.message ?? "error") });
        break;
    }
  }

  /**
   * @param {Int16Array} samples
   * @param {number} at
   */
  _hear(samples, at) {
    // It was sent when its last sample had been heard.  What follows on from itself is drawn
    // without the small gaps that timers and networks make.
    const start = at - samples.length / RATE;
    this.you.add(samples, start - this.you.end < LARGEST_GAP ? this.you.end : start);
    this.end = Math.max(this.end, this.you.end);
  }

  /**
   * @param {Int16Array} samples
   * @param {number} at
   * @param {string} item
   */
  _speak(samples, at, item) {
    this.model.add(samples, at, item);
    if (!this._began.has(item)) this._began.set(item, this.model.pieces.at(-1)?.start ?? at);
    this.end = Math.max(this.end, this.model.end);
  }

  /**
   * Audio is drawn from when it came, until it is known when it was played.
   * @param {string} item
   * @param {number} at
   */
  _play(item, at) {
    const first = this.model.pieces.findIndex((piece) => piece.item === item);
    if (first === -1) return;
    const pieces = this.model.pieces.slice(first);
    this.model.cut(pieces[0].start);
    for (const piece of pieces) this._began.delete(piece.item ?? "");
    for (const piece of pieces) this._speak(piece.samples, at, piece.item ?? "");
  }

  /**
   * @param {import("../wire/record.js").WireEvent} event
   * @param {number} at
   */
  _startSpeech(event, at) {
    const sample = (Number(event.audio_start_ms) * RATE) / 1000;
    const start = this.you.samples > 0 ? this.you.timeOf(sample) : at;
    this.speech.push({ id: String(event.item_id), start: Math.min(start, at), end: null, label: "speech", state: "in_progress" });
  }

  /**
   * @param {import("../wire/record.js").WireEvent} event
   * @param {number} at
   */
  _stopSpeech(event, at) {
    const sample = (Number(event.audio_end_ms) * RATE) / 1000;
    this._endSpeech(this.you.samples > 0 ? this.you.timeOf(sample) : at);
  }

  /** @param {number} end */
  _endSpeech(end) {
    const open = this.speech.findLast((span) => span.end === null);
    if (open === undefined) return;
    open.end = Math.max(open.start, end);
    open.state = "completed";
  }

  /**
   * @param {import("../wire/record.js").WireEvent} event
   * @param {number} at
   */
  _truncate(event, at) {
    const item = String(event.item_id);
    const began = this._began.get(item);
    const seconds = Number(event.audio_end_ms) / 1000;
    this.points.push({ kind: "interruption", at, label: `interrupted after ${seconds.toFixed(2)} s` });
    if (began !== undefined) this.model.cut(began + seconds);
    this.end = Math.max(at, this.you.end, this.model.end);
  }

  /**
   * @param {any} response
   * @param {number} at
   */
  _endResponse(response, at) {
    const span = this.responses.findLast((candidate) => candidate.id === String(response?.id));
    if (span === undefined) return;
    span.end = at;
    span.state = String(response?.status ?? "completed");
    span.label = wordsOf(response) || span.label;
  }

  /**
   * @param {string} id
   * @param {string} name
   * @param {number} at
   */
  _startCall(id, name, at) {
    /** @type {Span} */
    const span = { id, start: at, end: null, label: name, state: "in_progress" };
    this._calls.set(id, span);
    this.tools.push(span);
  }

  /**
   * @param {string} id
   * @param {number} at
   * @param {string} state
   */
  _endCall(id, at, state) {
    const span = this._calls.get(id);
    if (span === undefined || span.end !== null) return;
    span.end = at;
    span.state = state;
  }
}

/**
 * What a response says and calls.
 * @param {any} response
 */
function wordsOf(response) {
  const output = Array.isArray(response?.output) ? response.output : [];
  return output
    .flatMap((/** @type {any} */ item) => (item?.type === "message" ? (item.content ?? []).map((/** @type {any} */ part) => part?.transcript ?? part?.text) : [item?.name]))
    .filter(Boolean)
    .join(" ")
    .slice(0, LONGEST_LABEL);
}
