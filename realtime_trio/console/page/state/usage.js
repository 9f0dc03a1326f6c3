// What the session has used, by modality and cache, and what that costs.

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */

/** @typedef {{text: number, audio: number, image: number}} ByModality */

/** Dollars for a million tokens: [input, from the cache, output]. */
const PRICES = /** @type {const} */ ({
  "gpt-realtime-2": { text: [4, 0.4, 24], audio: [32, 0.4, 64], image: [5, 0.5, 0] },
  "gpt-realtime": { text: [4, 0.4, 16], audio: [32, 0.4, 64], image: [5, 0.5, 0] },
  "gpt-realtime-mini": { text: [0.6, 0.06, 2.4], audio: [10, 0.3, 20], image: [0.8, 0.08, 0] },
});

const MODALITIES = /** @type {const} */ (["text", "audio", "image"]);

export class UsageMeter {
  constructor() {
    /** Without what came from the cache. */
    this.input = none();
    this.cached = none();
    this.output = none();
    this.responses = 0;
    /** Tokens and seconds of the model that transcribes. */
    this.transcription = { tokens: 0, seconds: 0 };
    this.model = "";
    /** Dollars; null if the price of the model is not known. @type {number | null} */
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
    const prices = pricesOf(this.model);
    for (const kind of MODALITIES) {
      const cached = Number(usage.input_token_details?.cached_tokens_details?.[`${kind}_tokens`]) || 0;
      const input = Math.max(0, (Number(usage.input_token_details?.[`${kind}_tokens`]) || 0) - cached);
      const output = Number(usage.output_token_details?.[`${kind}_tokens`]) || 0;
      this.cached[kind] += cached;
      this.input[kind] += input;
      this.output[kind] += output;
      if (prices === null) this.cost = null;
      else if (this.cost !== null) {
        const [full, reduced, out] = prices[kind];
        this.cost += (input * full + cached * reduced + output * out) / 1e6;
      }
    }
  }
}

/** @returns {ByModality} */
function none() {
  return { text: 0, audio: 0, image: 0 };
}

/**
 * @param {string} model
 * @returns {(typeof PRICES)["gpt-realtime"] | (typeof PRICES)["gpt-realtime-2"] | (typeof PRICES)["gpt-realtime-mini"] | null}
 */
function pricesOf(model) {
  if (!model.startsWith("gpt-realtime") || /whisper|translate/.test(model)) return null;
  if (model.includes("mini")) return PRICES["gpt-realtime-mini"];
  return model.startsWith("gpt-realtime-2") && !model.startsWith("gpt-realtime-2025")
    ? PRICES["gpt-realtime-2"]
    : PRICES["gpt-realtime"];
}
