// Sessions told event by event, for the tests of what is made of them.

import { Desk } from "../../../realtime_trio/console/page/state/desk.js";
import { base64Of } from "../../../realtime_trio/console/page/wire/base64.js";
import { RATE, pcmBytes } from "../../../realtime_trio/console/page/audio/pcm.js";

/**
 * A tone, in base64.
 * @param {number} seconds
 * @param {number} [loudness]  of 16 bits
 */
export function tone(seconds, loudness = 8000) {
  return base64Of(pcmBytes(toneSamples(seconds, loudness)));
}

/**
 * @param {number} seconds
 * @param {number} [loudness]
 */
export function toneSamples(seconds, loudness = 8000) {
  return Int16Array.from({ length: Math.round(seconds * RATE) }, (_, i) => loudness * Math.sin((2 * Math.PI * 440 * i) / RATE));
}

/** Tells a desk what happens. */
export class Teller {
  at = 0;

  /**
   * @param {import("../../../realtime_trio/console/page/state/bill.js").Prices | null} [prices]
   * @param {string} [asked]  the model that was asked for
   */
  constructor(prices = null, asked = "") {
    this.desk = new Desk({ prices, asked });
  }

  /**
   * @param {number} at  seconds
   */
  time(at) {
    this.at = at;
    return this;
  }

  /**
   * @param {string} type
   * @param {object} [fields]
   */
  client(type, fields = {}) {
    this.desk.take({ side: "client", at: this.at, event: { type, ...fields } });
    return this;
  }

  /**
   * @param {string} type
   * @param {object} [fields]
   */
  server(type, fields = {}) {
    this.desk.take({ side: "server", at: this.at, event: { type, ...fields } });
    return this;
  }

  /**
   * @param {string} type
   * @param {object} [fields]
   */
  note(type, fields = {}) {
    this.desk.take({ side: "page", at: this.at, event: { type, ...fields } });
    return this;
  }

  /**
   * The microphone is sent for so long, in pieces of 100 ms.
   * @param {number} seconds
   */
  listen(seconds) {
    for (let i = 0; i < Math.round(seconds * 10); i += 1) {
      this.at += 0.1;
      this.client("input_audio_buffer.append", { audio: tone(0.1) });
    }
    return this;
  }

  /**
   * The model begins an answer and says so much of it at once.
   * @param {string} id  of the item; the response is called after it
   * @param {string} words
   * @param {number} seconds
   */
  answer(id, words, seconds) {
    const at = { response_id: `resp_${id}`, item_id: id, output_index: 0, content_index: 0 };
    const item = { id, type: "message", role: "assistant", status: "in_progress", content: [] };
    return this.server("response.created", { response: { id: `resp_${id}`, status: "in_progress" } })
      .server("response.output_item.added", { response_id: `resp_${id}`, item })
      .server("conversation.item.added", { item, previous_item_id: null })
      .server("response.output_audio_transcript.delta", { ...at, delta: words })
      .server("response.output_audio.delta", { ...at, delta: tone(seconds) });
  }

  /**
   * @param {string} id
   * @param {string} [status]
   * @param {object} [details]
   */
  done(id, status = "completed", details = {}) {
    const item = { id, type: "message", role: "assistant", status: status === "completed" ? "completed" : "incomplete" };
    return this.server("conversation.item.done", { item })
      .server("response.output_item.done", { response_id: `resp_${id}`, item })
      .server("response.done", { response: { id: `resp_${id}`, status, ...details } });
  }
}
