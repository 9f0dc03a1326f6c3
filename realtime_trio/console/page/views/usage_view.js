// What the session has used and what that costs.

import { h } from "./dom.js";

/** @typedef {import("../state/desk.js").Desk} Desk */

const KINDS = /** @type {const} */ (["text", "audio", "image"]);

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
    if (usage.tokens === 0 && usage.transcription.tokens === 0 && usage.transcription.seconds === 0) {
      this.element.replaceChildren(h("p", { class: "empty" }, "Tokens by modality and cache, and what they cost, will stand here."));
      return;
    }
    const share = usage.tokens === 0 ? 0 : sum(usage.cached) / Math.max(1, sum(usage.cached) + sum(usage.input));
    this.element.replaceChildren(
      h("p", { class: "figure" }, h("strong", {}, usage.prices === null ? `${number(usage.tokens)} tokens` : dollars(usage.cost)), ` for ${count(usage.responses, "response")}`),
      h(
        "table",
        { class: "usage" },
        h("thead", {}, h("tr", {}, ...["Tokens", "Input", "Cached", "Output"].map((name) => h("th", { scope: "col" }, name)))),
        h(
          "tbody",
          {},
          ...KINDS.map((kind) =>
            h("tr", {}, h("th", { scope: "row" }, kind), ...[usage.input, usage.cached, usage.output].map((by) => h("td", {}, number(by[kind])))),
          ),
          h("tr", { class: "sum" }, h("th", { scope: "row" }, "all"), ...[usage.input, usage.cached, usage.output].map((by) => h("td", {}, number(sum(by))))),
        ),
      ),
      meter(share),
      h("p", { class: "note" }, `${Math.round(share * 100)} % of the input came from the cache.`),
      transcriptionNote(usage.transcription),
      h("p", { class: "note" }, priceNote(usage)),
    );
  }
}

/** @param {import("../state/usage.js").UsageMeter} usage */
function priceNote({ prices, cost, model }) {
  if (prices === null) return "Prices are not known: the program that made this page has no price list. The extra “prices” of realtime-trio is one.";
  if (cost !== null) return `Prices of ${model}, as far as they are public. The bill decides.`;
  return Object.hasOwn(prices, model) ? `Something of ${model} has no known price.` : `The price of ${model || "this model"} is not known here.`;
}

/** @param {number} share */
function meter(share) {
  const filled = h("span", {});
  filled.style.width = `${share * 100}%`;
  return h("div", { class: "meter", role: "img", "aria-label": `${Math.round(share * 100)} % cached` }, filled);
}

/** @param {{tokens: number, seconds: number}} transcription */
function transcriptionNote({ tokens, seconds }) {
  if (tokens === 0 && seconds === 0) return h("span", {});
  const parts = [tokens > 0 ? `${number(tokens)} tokens` : "", seconds > 0 ? `${seconds.toFixed(1)} s` : ""];
  return h("p", { class: "note" }, `Transcription, billed apart: ${parts.filter(Boolean).join(", ")}.`);
}

/** @param {number | null} cost */
export function dollars(cost) {
  if (cost === null) return "$ ?";
  return cost < 0.1 ? `$${cost.toFixed(4)}` : `$${cost.toFixed(2)}`;
}

/** @param {{text: number, audio: number, image: number}} by */
function sum(by) {
  return by.text + by.audio + by.image;
}

/** @param {number} value */
function number(value) {
  return value === 0 ? "–" : value.toLocaleString("en");
}

/**
 * @param {number} value
 * @param {string} noun
 */
function count(value, noun) {
  return `${value} ${noun}${value === 1 ? "" : "s"}`;
}
