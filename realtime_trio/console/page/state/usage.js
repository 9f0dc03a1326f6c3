// What the session has used, by modality and cache, and what that costs: as `session.usage` and
// `session.cost` of the program say it.

import { Bill, UNREPORTED, UNTOLD } from "./bill.js";

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */
/** @typedef {import("../wire/record.js").WireEvent} WireEvent */
/** @typedef {import("./bill.js").Counts} Counts */
/** @typedef {import("./bill.js").ModelPrices} ModelPrices */
/** @typedef {import("./bill.js").Prices} Prices */

export const MODALITIES = /** @type {const} */ (["text", "audio", "image"]);
const FINISHED = ["completed", "incomplete"];

export class UsageMeter {
  /** What the model that answers has used; what came from the cache is apart. */
  responses = new Bill();
  /** What the model has used that writes down what the user says. */
  transcriptions = new Bill();
  /** The model that answers, as the service says it. */
  model = "";
  version = 0;
  _transcriber = "";

  /**
   * @param {Prices | null} [prices]  null if nothing is known
   * @param {string} [asked]  the model that was asked for: the service may name its version of a day
   */
  constructor(prices = null, asked = "") {
    this.prices = prices;
    this._asked = asked;
    this._priceOf = (/** @type {string} */ model) => this._find(model) ?? (this._isAsked(model) ? this._find(asked) : undefined);
  }

  /**
   * Dollars; null if something that was used has no price.
   * @param {...string} columns  of the price list, of the responses alone; all there is if none is named
   */
  cost(...columns) {
    const ofResponses = this.responses.cost(this._priceOf, ...columns);
    const ofTranscriptions = columns.length > 0 ? 0 : this.transcriptionCost;
    return ofResponses === null || ofTranscriptions === null ? null : ofResponses + ofTranscriptions;
  }

  /** Dollars of the transcriptions alone; null if they have no price. */
  get transcriptionCost() {
    return this.transcriptions.cost(this._priceOf);
  }

  /** What has no price, in words. */
  get unpriced() {
    return [...new Set([...this.responses.unpriced(this._priceOf), ...this.transcriptions.unpriced(this._priceOf)])];
  }

  /**
   * @param {string} model
   * @returns {ModelPrices | undefined}
   */
  _find(model) {
    return this.prices !== null && Object.hasOwn(this.prices, model) ? this.prices[model] : undefined;
  }

  /** @param {string} model */
  _isAsked(model) {
    return this._asked !== "" && model === this.model && model.startsWith(this._asked);
  }

  /** @param {WireRecord} record */
  apply({ event }) {
    switch (event.type) {
      case "session.created":
      case "session.updated":
        this._configure(event.session);
        break;
      case "response.done":
        this._countResponse(event.response);
        break;
      case "conversation.item.input_audio_transcription.completed":
        this._countTranscription(event);
        break;
    }
  }

  /** @param {any} session */
  _configure(session) {
    if (typeof session?.model === "string") this.model = session.model;
    const heard = session?.audio?.input;
    if (heard) this._transcriber = String(heard.transcription?.model ?? "");
    else if (session && "input_audio_transcription" in session) this._transcriber = String(session.input_audio_transcription?.model ?? "");
  }

  /** @param {any} response */
  _countResponse(response) {
    const id = String(response?.id ?? "");
    if (response?.usage) {
      this.responses.put(id, this.model, countsOfResponse(response.usage));
    } else if (FINISHED.includes(response?.status) && !this.responses.has(id)) {
      // One that was cancelled before it began to speak need not be billed.
      this.responses.put("", this.model, { [UNREPORTED]: 1 });
    } else {
      return;
    }
    this.version += 1;
  }

  /** @param {WireEvent} event */
  _countTranscription(event) {
    if (!event.usage) return;
    this.transcriptions.put(`${event.item_id} ${event.content_index}`, this._transcriber, countsOfTranscription(event.usage));
    this.version += 1;
  }
}

/**
 * @param {any} usage
 * @returns {Counts}
 */
function countsOfResponse(usage) {
  const read = usage.input_token_details ?? {};
  const written = usage.output_token_details ?? {};
  const cachedTokens = cachedOf(read);
  /** @type {Counts} */
  const counts = {};
  let toldInput = 0;
  let toldCached = 0;
  let toldOutput = 0;
  for (const kind of MODALITIES) {
    const cached = number(cachedTokens[`${kind}_tokens`]);
    const input = number(read[`${kind}_tokens`]);
    const output = number(written[`${kind}_tokens`]);
    counts[`${kind}_input`] = input - cached;
    counts[`${kind}_cached`] = cached;
    counts[`${kind}_output`] = output;
    toldInput += input;
    toldCached += cached;
    toldOutput += output;
  }
  const untoldCached = toldCached === 0 ? number(read.cached_tokens) : 0;
  counts[UNTOLD] = Math.max(0, number(usage.input_tokens) - toldInput) + Math.max(0, number(usage.output_tokens) - toldOutput) + untoldCached;
  return counts;
}

/**
 * The cached tokens by modality: as the service says, or where there is only one.
 * @param {any} read
 * @returns {Record<string, unknown>}
 */
function cachedOf(read) {
  if (read.cached_tokens_details) return read.cached_tokens_details;
  const names = MODALITIES.map((kind) => `${kind}_tokens`).filter((name) => number(read[name]) > 0);
  return names.length === 1 ? { [names[0]]: read.cached_tokens } : {};
}

/**
 * @param {any} usage
 * @returns {Counts}
 */
function countsOfTranscription(usage) {
  if (usage.type === "duration") return { minute: number(usage.seconds) / 60 };
  const text = number(usage.input_token_details?.text_tokens);
  const audio = number(usage.input_token_details?.audio_tokens);
  return {
    text_input: text,
    audio_input: audio,
    text_output: number(usage.output_tokens),
    [UNTOLD]: Math.max(0, number(usage.input_tokens) - text - audio),
  };
}

/** @param {unknown} value */
function number(value) {
  return Number(value) || 0;
}
