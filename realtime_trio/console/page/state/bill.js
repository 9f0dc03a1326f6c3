// A bill: what was used, model by model, and what that costs by a price list.
//
// Theory of operation.  What was used is counted by the columns of the price list, so that a price is
// found by the name of what it is for.  What is told more than once counts once, with the latest
// numbers.  What has no price leaves the sum unknown: nothing is guessed.

/**
 * What a model costs, by the names of the program's own price list: dollars for a million tokens, or
 * for a minute.
 * @typedef {Record<string, number>} ModelPrices
 */

/** @typedef {Record<string, ModelPrices>} Prices  by the name of the model */
/** @typedef {Record<string, number>} Counts  tokens, or minutes, by column of the price list */
/** @typedef {{model: string, counts: Counts}} Entry */
/** @typedef {(model: string) => ModelPrices | undefined} PriceOf */

/** Column of tokens of which it is not said what they are. It has no price anywhere. */
export const UNTOLD = "untold";
/** Column of what was billed without a word about how much. It has no price either. */
export const UNREPORTED = "unreported";
const MINUTE = "minute";
const NO_TOKENS = [MINUTE, UNREPORTED];

/** @type {Record<string, string>} */
const UNPRICED = { [UNTOLD]: "tokens of unknown kind", [UNREPORTED]: "a response without usage", [MINUTE]: "minutes" };
const MOST_ENTRIES = 4096; // that can still be corrected; older ones stay in the sums

export class Bill {
  /** How many things were billed. */
  size = 0;
  /** All models together. @type {Counts} */
  total = {};
  /** @type {Map<string, Counts>} */
  _byModel = new Map();
  /** @type {Map<string, Entry>} */
  _entries = new Map();

  /**
   * Count what something has used.
   * @param {string} key  of what has used it; empty if that has no name, and is told once
   * @param {string} model  counts the first time; a correction is of the model that it corrects
   * @param {Counts} counts
   */
  put(key, model, counts) {
    const before = this._entries.get(key);
    if (before === undefined) this.size += 1;
    else this._add(before.model, before.counts, -1);
    const entry = { model: before?.model ?? model, counts };
    this._add(entry.model, counts, 1);
    if (key === "") return;
    this._entries.set(key, entry);
    if (this._entries.size > MOST_ENTRIES) this._entries.delete(/** @type {string} */ (this._entries.keys().next().value));
  }

  /** @param {string} key */
  has(key) {
    return this._entries.has(key);
  }

  /**
   * @param {string} model
   * @param {Counts} counts
   * @param {1 | -1} sign
   */
  _add(model, counts, sign) {
    const ofModel = this._byModel.get(model) ?? {};
    this._byModel.set(model, ofModel);
    for (const [column, count] of Object.entries(counts)) {
      ofModel[column] = (ofModel[column] ?? 0) + sign * count;
      this.total[column] = (this.total[column] ?? 0) + sign * count;
    }
  }

  /** @param {...string} columns  of the total */
  count(...columns) {
    return columns.reduce((sum, column) => sum + (this.total[column] ?? 0), 0);
  }

  get tokens() {
    return this.count(...Object.keys(this.total).filter((column) => !NO_TOKENS.includes(column)));
  }

  get seconds() {
    return this.count(MINUTE) * 60;
  }

  /**
   * @param {PriceOf} priceOf
   * @param {...string} columns  which count; all of them if none is named
   * @returns {number | null} dollars; null if something has no price
   */
  cost(priceOf, ...columns) {
    let dollars = 0;
    for (const { model, column, count } of this._positions(columns)) {
      const price = priceOf(model)?.[column];
      if (price === undefined) return null;
      dollars += column === MINUTE ? count * price : (count * price) / 1e6;
    }
    return dollars;
  }

  /**
   * @param {PriceOf} priceOf
   * @returns {string[]} what has no price, in words
   */
  unpriced(priceOf) {
    const found = new Set();
    for (const { model, column } of this._positions([])) {
      const prices = priceOf(model);
      const name = model || "a model without a name";
      if (prices === undefined) found.add(name);
      else if (prices[column] === undefined) found.add(`${UNPRICED[column] ?? column.replace("_", " ")} of ${name}`);
    }
    return [...found];
  }

  /** @param {string[]} columns */
  *_positions(columns) {
    for (const [model, counts] of this._byModel) {
      for (const [column, count] of Object.entries(counts)) {
        if (count !== 0 && (columns.length === 0 || columns.includes(column))) yield { model, column, count };
      }
    }
  }
}
