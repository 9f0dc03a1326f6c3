// What the session has used, by modality and cache, and what that costs.

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */

/** @typedef {{text: number, audio: number, image: number}} ByModality */

/**
 * What a model costs, by the names of the program's own price list: dollars for a million tokens.
 * @typedef {Record<string, number>} ModelPrices
 */

/** @typedef {Record<string, ModelPrices>} Prices  by the name of the model */

const MODALITIES = /** @type {const} */ (["text", "audio", "image"]);
const FINISHED = ["completed", "incomplete"];

export class UsageMeter {
  /** @param {Prices | null} [prices]  null if nothing is known */
  constructor(prices = null) {
    this.prices = prices;
    /** Without what came from the cache. */
    this.input = none();
    this.cached = none();
    this.output = none();
    this.responses = 0;
    /** Tokens and seconds of the model that transcribes. */
    this.transcription = { tokens: 0, seconds: 0 };
    this.model = "";
    /** Dollars; null if something that was used has no price. @type {number | null} */
    this.cost = 0;
    this.version = 0;
  }

  get tokens() {
    return MODALITIES.reduce((sum, kind) => sum + this.input[kind] + this.cached[kind] + this.output[kind], 0);
  }

  /** @param {WireRecord} record */
  apply({ event }) {
    switch (event.type) {
      case "session.created":
      case "session.updated":
        if (typeof event.session?.model === "string") this.model = event.session.model;
        break;
      case "response.done":
        if (event.response?.usage) this._count(event.response.usage);
        // One that was cancelled before it began to speak need not be billed.
        else if (FINISHED.includes(event.response?.status)) {
          this._addCost(null);
          this.version += 1;
        }
        break;
      case "conversation.item.input_audio_transcription.completed":
        if (event.usage?.type === "duration") this.transcription.seconds += Number(event.usage.seconds) || 0;
        else this.transcription.tokens += Number(event.usage?.total_tokens) || 0;
        this.version += 1;
        break;
    }
  }

  /** @param {any} usage */
  _count(usage) {
    this.responses += 1;
    this.version += 1;
    const read = usage.input_token_details ?? {};
    const cachedTokens = cachedOf(read);
    let told = 0;
    for (const kind of MODALITIES) {
      const cached = count(cachedTokens[`${kind}_tokens`]);
      const input = Math.max(0, count(read[`${kind}_tokens`]) - cached);
      const output = count(usage.output_token_details?.[`${kind}_tokens`]);
      this.cached[kind] += cached;
      this.input[kind] += input;
      this.output[kind] += output;
      told += cached + input + output;
      this._price(`${kind}_input`, input);
      this._price(`${kind}_cached`, cached);
      this._price(`${kind}_output`, output);
    }
    const isTold = told >= count(usage.input_tokens) + count(usage.output_tokens);
    const isCacheTold = count(read.cached_tokens) === 0 || MODALITIES.some((kind) => count(cachedTokens[`${kind}_tokens`]) > 0);
    // Tokens of which it is not said what they are have no price.
    if (!isTold || !isCacheTold) this._addCost(null);
  }

  /**
   * @param {string} column  of the price list
   * @param {number} tokens
   */
  _price(column, tokens) {
    const price = Object.hasOwn(this.prices ?? {}, this.model) ? this.prices?.[this.model][column] : undefined;
    if (tokens > 0) this._addCost(price === undefined ? null : (tokens * price) / 1e6);
  }

  /** @param {number | null} dollars  null if they are not known, and then neither is the sum */
  _addCost(dollars) {
    this.cost = dollars === null || this.cost === null ? null : this.cost + dollars;
  }
}

/**
 * The cached tokens by modality: as the service says, or where there is only one.
 * @param {any} read
 * @returns {Record<string, unknown>}
 */
function cachedOf(read) {
  if (read.cached_tokens_details) return read.cached_tokens_details;
  const names = MODALITIES.map((kind) => `${kind}_tokens`).filter((name) => count(read[name]) > 0);
  return names.length === 1 ? { [names[0]]: read.cached_tokens } : {};
}

/** @param {unknown} value */
function count(value) {
  return Number(value) || 0;
}

/** @returns {ByModality} */
function none() {
  return { text: 0, audio: 0, image: 0 };
}
