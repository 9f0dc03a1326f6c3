// The conversation as the events tell it: items in their order, with their words and their audio.

import { RATE } from "../audio/pcm.js";
import { Track } from "./track.js";

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */
/** @typedef {import("../wire/record.js").WireEvent} WireEvent */

/**
 * @typedef {object} Item
 * @property {string} id
 * @property {string} type  `message`, `function_call`, ...
 * @property {string} role  `user`, `assistant` or `system`; empty if it is not a message
 * @property {string} status
 * @property {number} at  seconds at which it came
 * @property {string[]} texts  what was written or said, by content index
 * @property {string[]} images  data URLs
 * @property {Int16Array[]} audio
 * @property {number} samples  how many samples of audio there are
 * @property {number} received  how many there were before anything was cut off
 * @property {boolean} isSpoken  whether its words are those of a voice
 * @property {boolean} isAwaiting  whether its transcript has not come yet
 * @property {string | null} problem  why there is no transcript, or what went wrong
 * @property {number | null} truncatedAt  seconds of its audio that were heard
 * @property {string} name  of the tool that is called
 * @property {string} label  of the MCP server
 * @property {string} callId
 * @property {string} arguments
 * @property {string | null} output
 * @property {boolean | null} approved  what was said to a request for approval
 * @property {string[]} tools  the names that an MCP server has listed
 * @property {number} version  grows with every change
 */

const MOST_SAMPLES = 3600 * RATE; // of audio in all items together: an hour
const MOST_ITEMS = 2000;

export class Conversation {
  constructor() {
    /** In their order. @type {Item[]} */
    this.items = [];
    /** @type {Map<string, Item>} */
    this._byId = new Map();
    /** What was appended, by the service's count. */
    this._input = new Track();
    /** Where in it the audio that is not committed begins. */
    this._uncommitted = 0;
    /** Where speech began and ended, by the item it becomes. @type {Map<string, {from: number, to: number | null}>} */
    this._spoken = new Map();
    /** What the client said an item is, until the service says so. @type {Map<string, any>} */
    this._announced = new Map();
    /** Words that came before their item. @type {Map<string, WireEvent>} */
    this._early = new Map();
    this._hasTranscription = false;
    this._samples = 0;
    this.version = 0;
  }

  /**
   * @param {string} id
   * @returns {Item | undefined}
   */
  get(id) {
    return this._byId.get(id);
  }

  /**
   * @param {WireRecord} record
   * @param {Int16Array | null} samples
   */
  apply(record, samples) {
    const { event } = record;
    if (record.side === "client") this._applyClient(event, samples);
    else if (record.side === "server") this._applyServer(event, samples, record.at);
  }

  /**
   * @param {WireEvent} event
   * @param {Int16Array | null} samples
   */
  _applyClient(event, samples) {
    switch (event.type) {
      case "input_audio_buffer.append":
        if (samples !== null) this._input.add(samples, 0);
        break;
      case "conversation.item.create":
        if (typeof event.item?.id === "string") this._announced.set(event.item.id, event.item);
        if (event.item?.type === "mcp_approval_response") this._decide(event.item);
        break;
    }
  }

  /**
   * @param {WireEvent} event
   * @param {Int16Array | null} samples
   * @param {number} at
   */
  _applyServer(event, samples, at) {
    switch (event.type) {
      case "session.created":
      case "session.updated":
        this._hasTranscription = Boolean(event.session?.audio?.input?.transcription ?? event.session?.input_audio_transcription);
        break;
      case "input_audio_buffer.speech_started":
        this._spoken.set(String(event.item_id), { from: (Number(event.audio_start_ms) * RATE) / 1000, to: null });
        break;
      case "input_audio_buffer.speech_stopped":
        this._stopSpeech(event);
        break;
      case "input_audio_buffer.committed":
        this._commit(String(event.item_id));
        break;
      case "input_audio_buffer.cleared":
        this._uncommitted = this._input.samples;
        break;
      case "conversation.item.added":
      case "conversation.item.created":
      case "conversation.item.done":
      case "conversation.item.retrieved":
        this._put(event.item, at, event.previous_item_id);
        break;
      case "response.output_item.added":
      case "response.output_item.done":
        this._put(event.item, at);
        break;
      case "response.output_text.delta":
      case "response.text.delta":
        this._say(event, String(event.delta ?? ""), false);
        break;
      case "response.output_audio_transcript.delta":
      case "response.audio_transcript.delta":
        this._say(event, String(event.delta ?? ""), true);
        break;
      case "response.output_audio.delta":
      case "response.audio.delta":
        if (samples !== null) this._sound(String(event.item_id), samples);
        break;
      case "conversation.item.truncated":
        this._truncate(event);
        break;
      case "conversation.item.deleted":
        this._remove(String(event.item_id));
        break;
      case "conversation.item.input_audio_transcription.delta":
      case "conversation.item.input_audio_transcription.completed":
      case "conversation.item.input_audio_transcription.failed":
        this._transcribe(event);
        break;
      default:
        this._applyCall(event);
    }
  }

  /** @param {WireEvent} event */
  _applyCall(event) {
    switch (event.type) {
      case "response.function_call_arguments.delta":
      case "response.mcp_call_arguments.delta":
        this._change(event.item_id, (item) => (item.arguments += String(event.delta ?? "")));
        break;
      case "response.function_call_arguments.done":
      case "response.mcp_call_arguments.done":
        this._change(event.item_id, (item) => (item.arguments = String(event.arguments ?? "")));
        break;
      case "response.mcp_call.in_progress":
        this._change(event.item_id, (item) => (item.status = "in_progress"));
        break;
      case "response.mcp_call.completed":
        this._change(event.item_id, (item) => (item.status = "completed"));
        break;
      case "response.mcp_call.failed":
        this._change(event.item_id, (item) => (item.status = "failed"));
        break;
    }
  }

  // --- what the user said ---------------------------------------------------------------------

  /** @param {WireEvent} event */
  _stopSpeech(event) {
    const speech = this._spoken.get(String(event.item_id));
    if (speech !== undefined) speech.to = (Number(event.audio_end_ms) * RATE) / 1000;
  }

  /** @param {string} id */
  _commit(id) {
    // Detected speech says where it is in the stream; what the client commits itself is everything
    // since the last time.
    const speech = this._spoken.get(id) ?? { from: this._uncommitted, to: null };
    const to = speech.to ?? this._input.samples;
    this._uncommitted = to;
    this._spoken.set(id, { from: speech.from, to });
    const item = this._byId.get(id);
    if (item !== undefined) this._giveSpeech(item);
  }

  /** @param {Item} item */
  _giveSpeech(item) {
    const speech = this._spoken.get(item.id);
    if (speech === undefined || item.samples > 0) return;
    for (const piece of this._input.slice(speech.from, speech.to ?? this._input.samples)) this._keep(item, piece);
    this._spoken.delete(item.id);
  }

  /** @param {WireEvent} event */
  _transcribe(event) {
    const id = String(event.item_id);
    if (!this._byId.has(id)) {
      // Transcription runs beside the conversation, and may be ahead of it.
      if (!event.type.endsWith(".delta")) this._early.set(id, event);
      return;
    }
    this._change(id, (item) => {
      const index = Number(event.content_index ?? 0);
      item.isSpoken = true;
      if (event.type.endsWith(".delta")) {
        item.texts[index] = (item.isAwaiting ? "" : (item.texts[index] ?? "")) + String(event.delta ?? "");
        item.isAwaiting = false;
      } else if (event.type.endsWith(".completed")) {
        item.texts[index] = String(event.transcript ?? "");
        item.isAwaiting = false;
      } else {
        item.isAwaiting = false;
        item.problem = String(event.error?.message ?? "the audio could not be transcribed");
      }
    });
  }

  // --- what the model says ----------------------------------------------------------------------

  /**
   * @param {WireEvent} event
   * @param {string} words
   * @param {boolean} isSpoken
   */
  _say(event, words, isSpoken) {
    this._change(event.item_id, (item) => {
      const index = Number(event.content_index ?? 0);
      item.texts[index] = (item.texts[index] ?? "") + words;
      item.isSpoken ||= isSpoken;
    });
  }

  /**
   * @param {string} id
   * @param {Int16Array} samples
   */
  _sound(id, samples) {
    this._change(id, (item) => {
      item.isSpoken = true;
      item.received += samples.length;
      if (item.truncatedAt === null) this._keep(item, samples);
    });
  }

  /** @param {WireEvent} event */
  _truncate(event) {
    this._change(event.item_id, (item) => {
      const heard = Math.floor((Number(event.audio_end_ms) * RATE) / 1000);
      item.truncatedAt = Number(event.audio_end_ms) / 1000;
      /** @type {Int16Array[]} */
      const kept = [];
      let left = heard;
      for (const piece of item.audio) {
        if (left > 0) kept.push(piece.subarray(0, left));
        left -= piece.length;
      }
      this._samples -= item.samples;
      item.audio = kept;
      item.samples = kept.reduce((sum, piece) => sum + piece.length, 0);
      this._samples += item.samples;
    });
  }

  // --- items ------------------------------------------------------------------------------------

  /**
   * @param {any} told
   * @param {number} at
   * @param {unknown} [after]  id of the item before it; undefined if nothing is said about its place
   */
  _put(told, at, after) {
    if (typeof told?.id !== "string") return;
    if (told.type === "mcp_approval_response") return; // shown with what it answers
    let item = this._byId.get(told.id);
    if (item === undefined) {
      item = emptyItem(told, at);
      this._byId.set(item.id, item);
      this._insert(item, after);
      this._limitItems();
    }
    fill(item, this._announced.get(item.id), false);
    fill(item, told, true);
    this._announced.delete(item.id);
    item.isAwaiting ||= this._hasTranscription && isUnheard(told) && !item.isSpoken;
    this._giveSpeech(item);
    item.version += 1;
    this.version += 1;
    const early = this._early.get(item.id);
    if (early !== undefined) {
      this._early.delete(item.id);
      this._transcribe(early);
    }
    if (item.type === "function_call_output") this._answer(item);
  }

  /**
   * @param {Item} item
   * @param {unknown} after
   */
  _insert(item, after) {
    const before = after === null && this.items.length > 0 ? -1 : this.items.findIndex(({ id }) => id === after);
    if (after === null && this.items.length > 0) this.items.unshift(item);
    else if (before === -1) this.items.push(item);
    else this.items.splice(before + 1, 0, item);
  }

  /** A call shows its output. @param {Item} output */
  _answer(output) {
    const call = this.items.find(({ type, callId }) => type === "function_call" && callId === output.callId);
    if (call !== undefined) this._change(call.id, (item) => (item.output = output.output));
  }

  /** @param {any} response */
  _decide(response) {
    this._change(response.approval_request_id, (item) => (item.approved = Boolean(response.approve)));
  }

  /** @param {string} id */
  _remove(id) {
    const item = this._byId.get(id);
    if (item === undefined) return;
    this._samples -= item.samples;
    this._byId.delete(id);
    this.items.splice(this.items.indexOf(item), 1);
    this.version += 1;
  }

  /**
   * @param {unknown} id
   * @param {(item: Item) => void} change
   */
  _change(id, change) {
    const item = this._byId.get(String(id));
    if (item === undefined) return;
    change(item);
    item.version += 1;
    this.version += 1;
  }

  /**
   * @param {Item} item
   * @param {Int16Array} samples
   */
  _keep(item, samples) {
    item.audio.push(samples);
    item.samples += samples.length;
    this._samples += samples.length;
    for (const old of this.items) {
      if (this._samples <= MOST_SAMPLES) break;
      if (old === item || old.samples === 0) continue;
      this._samples -= old.samples;
      old.audio = [];
      old.samples = 0;
      old.version += 1;
    }
  }

  _limitItems() {
    while (this.items.length > MOST_ITEMS) this._remove(this.items[0].id);
  }
}

/**
 * @param {any} told
 * @param {number} at
 * @returns {Item}
 */
function emptyItem(told, at) {
  return {
    id: told.id,
    type: String(told.type ?? "message"),
    role: String(told.role ?? ""),
    status: "",
    at,
    texts: [],
    images: [],
    audio: [],
    samples: 0,
    received: 0,
    isSpoken: false,
    isAwaiting: false,
    problem: null,
    truncatedAt: null,
    name: "",
    label: "",
    callId: "",
    arguments: "",
    output: null,
    approved: null,
    tools: [],
    version: 0,
  };
}

/**
 * What an item says of itself.
 * @param {Item} item
 * @param {any} told
 * @param {boolean} isFromService
 */
function fill(item, told, isFromService) {
  if (told === undefined) return;
  if (isFromService && typeof told.status === "string") item.status = told.status;
  if (typeof told.name === "string") item.name = told.name;
  if (typeof told.server_label === "string") item.label = told.server_label;
  if (typeof told.call_id === "string") item.callId = told.call_id;
  if (typeof told.arguments === "string" && told.arguments !== "") item.arguments = told.arguments;
  if (typeof told.output === "string") item.output = told.output;
  if (told.error) item.problem = String(told.error.message ?? told.error.type ?? "it failed");
  if (Array.isArray(told.tools)) item.tools = told.tools.map((/** @type {any} */ tool) => String(tool?.name));
  if (!Array.isArray(told.content)) return;
  for (const [index, part] of told.content.entries()) {
    const words = part?.text ?? part?.transcript;
    if (typeof words === "string" && words !== "") item.texts[index] = words;
    if (typeof part?.image_url === "string" && !item.images.includes(part.image_url)) item.images.push(part.image_url);
  }
}

/**
 * Whether it is audio whose words are not known yet.
 * @param {any} told
 */
function isUnheard(told) {
  return (
    told.role === "user" &&
    Array.isArray(told.content) &&
    told.content.some((/** @type {any} */ part) => part?.type === "input_audio" && !part.transcript)
  );
}
