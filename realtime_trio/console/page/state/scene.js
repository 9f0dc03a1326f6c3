// How things stand at one moment: everything on the page that changes as one moves along the time.

import { Captions } from "./captions.js";
import { Configuration } from "./config.js";
import { Conversation } from "./conversation.js";
import { Turns } from "./turns.js";
import { UsageMeter } from "./usage.js";

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */

export class Scene {
  /**
   * @param {import("./bill.js").Prices | null} [prices]  what models cost, if that is known
   * @param {string} [asked]  the model that was asked for
   */
  constructor(prices = null, asked = "") {
    this.conversation = new Conversation();
    this.turns = new Turns();
    this.usage = new UsageMeter(prices, asked);
    this.configuration = new Configuration();
    this.captions = new Captions();
  }

  /**
   * @param {WireRecord} record
   * @param {Int16Array | null} samples
   */
  apply(record, samples) {
    this.conversation.apply(record, samples);
    this.turns.apply(record);
    this.usage.apply(record);
    this.configuration.apply(record);
    this.captions.apply(record);
  }
}
