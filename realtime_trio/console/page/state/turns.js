// How long each turn took, and where: from the end of speech to the first sample that was played.

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */

/**
 * @typedef {object} Turn  Moments are seconds of the session; null has not happened.
 * @property {number} number  from 1
 * @property {"speech" | "text" | "tool" | "request"} by  what it answers
 * @property {number} start  the end of speech, or when it was asked for
 * @property {number | null} committed
 * @property {number | null} created
 * @property {number | null} firstOutput  the first piece of audio, or of text where nothing is spoken
 * @property {number | null} played
 * @property {number | null} done
 * @property {string} response
 * @property {string} status
 */

/** The stages of a turn, each with the moment at which it ends. */
export const STAGES = /** @type {const} */ ([
  ["committed", "committed"],
  ["created", "response created"],
  ["firstOutput", "first audio"],
  ["played", "first sample played"],
]);

const MOST_TURNS = 500;

export class Turns {
  constructor() {
    /** @type {Turn[]} */
    this.turns = [];
    this._count = 0;
    /** The turn that no response belongs to yet. @type {Turn | null} */
    this._open = null;
    /** @type {Map<string, Turn>} */
    this._byResponse = new Map();
    /** @type {Map<string, Turn>} */
    this._byItem = new Map();
  }

  /** @param {WireRecord} record */
  apply({ event, at, side }) {
    switch (event.type) {
      case "input_audio_buffer.speech_stopped":
        this._begin("speech", at);
        break;
      case "input_audio_buffer.commit":
        this._begin("speech", at);
        break;
      case "input_audio_buffer.committed":
        if (this._open?.by === "speech") this._open.committed ??= at;
        break;
      case "conversation.item.create":
        if (side === "client") this._begin(event.item?.type === "function_call_output" ? "tool" : "text", at);
        break;
      case "response.create":
        if (side === "client" && this._open === null) this._begin("request", at);
        break;
      case "response.created":
        this._create(String(event.response?.id), at);
        break;
      case "response.output_item.added":
        this._own(event, String(event.item?.id));
        break;
      case "response.output_audio.delta":
      case "response.audio.delta":
      case "response.output_text.delta":
      case "response.text.delta":
        this._output(event, at);
        break;
      case "playback.began": {
        const turn = this._byItem.get(String(event.item_id));
        if (turn !== undefined) turn.played ??= at;
        break;
      }
      case "response.done":
        this._end(event.response, at);
        break;
    }
  }

  /**
   * @param {Turn["by"]} by
   * @param {number} at
   */
  _begin(by, at) {
    // Speech that is still waited for is older news than what was said since.
    this._open = {
      number: 0,
      by,
      start: at,
      committed: null,
      created: null,
      firstOutput: null,
      played: null,
      done: null,
      response: "",
      status: "in_progress",
    };
  }

  /**
   * @param {string} response
   * @param {number} at
   */
  _create(response, at) {
    if (this._open === null) this._begin("request", at);
    const turn = /** @type {Turn} */ (this._open);
    this._open = null;
    this._count += 1;
    turn.number = this._count;
    turn.created = at;
    turn.response = response;
    this.turns.push(turn);
    this._byResponse.set(response, turn);
    if (this.turns.length > MOST_TURNS) {
      const oldest = this.turns.shift();
      if (oldest !== undefined) this._byResponse.delete(oldest.response);
    }
  }

  /**
   * @param {import("../wire/record.js").WireEvent} event
   * @param {string} item
   */
  _own(event, item) {
    const turn = this._byResponse.get(String(event.response_id));
    if (turn !== undefined) this._byItem.set(item, turn);
  }

  /**
   * @param {import("../wire/record.js").WireEvent} event
   * @param {number} at
   */
  _output(event, at) {
    const turn = this._byResponse.get(String(event.response_id));
    if (turn !== undefined) turn.firstOutput ??= at;
  }

  /**
   * @param {any} response
   * @param {number} at
   */
  _end(response, at) {
    const turn = this._byResponse.get(String(response?.id));
    if (turn === undefined) return;
    turn.done = at;
    turn.status = String(response?.status ?? "completed");
  }
}

/**
 * The stages of a turn that have happened, one after the other.
 * @param {Turn} turn
 * @returns {{name: string, from: number, to: number}[]}
 */
export function stagesOf(turn) {
  let from = turn.start;
  /** @type {{name: string, from: number, to: number}[]} */
  const stages = [];
  for (const [key, name] of STAGES) {
    const to = turn[key];
    if (to === null) continue;
    stages.push({ name, from, to: Math.max(from, to) });
    from = Math.max(from, to);
  }
  return stages;
}
