// What the session has used and what that costs.

import { UNTOLD } from "../state/bill.js";
import { MODALITIES } from "../state/usage.js";
import { h } from "./dom.js";

/** @typedef {import("../state/desk.js").Desk} Desk */
/** @typedef {import("../state/usage.js").UsageMeter} UsageMeter */

const WAYS = /** @type {const} */ (["input", "cached", "output"]);
const INPUT = MODALITIES.map((kind) => `${kind}_input`);
const CACHED = MODALITIES.map((kind) => `${kind}_cached`);

export class UsageView {
  /** @param {Desk} desk */
  constructor(desk) {
    this._desk = desk;
    this._drawn = "";
    this.element = h("div", { class: "panel" });
  }

  render() {
    const { usage } = this._desk.scene;
    const drawn = `${this._desk.session} ${this._desk.moment} ${usage.version}`;
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    if (usage.responses.size === 0 && usage.transcriptions.size === 0) {
      this.element.replaceChildren(h("p", { class: "empty" }, "Tokens by modality and cache, and what they cost, will stand here."));
      return;
    }
    const share = usage.responses.count(...CACHED) / Math.max(1, usage.responses.count(...INPUT, ...CACHED));
    this.element.replaceChildren(
      figure(usage),
      table(usage),
      meter(share),
      h("p", { class: "note" }, `${Math.round(share * 100)} % of the input came from the cache.`),
      h("p", { class: "note" }, priceNote(usage)),
    );
  }
}

/** @param {UsageMeter} usage */
function figure(usage) {
  const { responses, transcriptions } = usage;
  const sum = usage.prices === null ? `${number(responses.tokens + transcriptions.tokens)} tokens` : dollars(usage.cost());
  const words = [count(responses.size, "response"), count(transcriptions.size, "transcription")];
  return h("p", { class: "figure" }, h("strong", {}, sum), ` for ${words.filter(Boolean).join(" and ")}`);
}

/** @param {UsageMeter} usage */
function table(usage) {
  const { responses, transcriptions, prices } = usage;
  const row = (/** @type {string} */ name, /** @type {string[]} */ cells, /** @type {() => number | null} */ cost) =>
    h("tr", {}, h("th", { scope: "row" }, name), ...cells.map((cell) => h("td", {}, cell)), prices !== null && h("td", { class: "money" }, dollars(cost())));
  const rows = MODALITIES.map((kind) => {
    const columns = WAYS.map((way) => `${kind}_${way}`);
    return row(kind, columns.map((column) => number(responses.count(column))), () => usage.cost(...columns));
  });
  if (responses.count(UNTOLD) > 0) rows.push(row("unknown", [number(responses.count(UNTOLD)), "", ""], () => null));
  if (transcriptions.size > 0) {
    const { seconds } = transcriptions;
    const read = seconds > 0 ? `${seconds.toFixed(1)} s` : number(transcriptions.count("text_input", "audio_input", UNTOLD));
    rows.push(row("transcription", [read, "", number(transcriptions.count("text_output"))], () => usage.transcriptionCost));
  }
  const names = ["Tokens", "Input", "Cached", "Output", ...(prices === null ? [] : ["Cost"])];
  return h(
    "table",
    { class: "usage" },
    h("thead", {}, h("tr", {}, ...names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...rows),
  );
}

/** @param {UsageMeter} usage */
function priceNote({ prices, unpriced }) {
  if (prices === null) return "Prices are not known: the program that made this page has no price list. The extra “prices” of realtime-trio is one.";
  if (unpriced.length > 0) return `No price is known for ${unpriced.join(", ")}.`;
  return "By the public prices that the program knows. The bill decides.";
}

/** @param {number} share */
function meter(share) {
  const filled = h("span", {});
  filled.style.width = `${share * 100}%`;
  return h("div", { class: "meter", role: "img", "aria-label": `${Math.round(share * 100)} % cached` }, filled);
}

/** @param {number | null} cost  null if it is not known */
function dollars(cost) {
  if (cost === null) return "$ ?";
  return cost === 0 ? "–" : cost < 0.1 ? `$${cost.toFixed(4)}` : `$${cost.toFixed(2)}`;
}

/** @param {number} value */
function number(value) {
  return value === 0 ? "–" : value.toLocaleString("en");
}

/**
 * @param {number} size
 * @param {string} noun
 * @returns {string} nothing for none
 */
function count(size, noun) {
  return size === 0 ? "" : `${size} ${noun}${size === 1 ? "" : "s"}`;
}
