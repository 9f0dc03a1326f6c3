// Where the time of each turn went, as a waterfall.

import { STAGES, stagesOf } from "../state/turns.js";
import { h, setText, show } from "./dom.js";
import { duration } from "./time.js";

/** @typedef {import("../state/desk.js").Desk} Desk */
/** @typedef {import("../state/turns.js").Turn} Turn */

const MOST = 30; // turns that are drawn
const BY = { speech: "after speech", text: "after text", tool: "after a tool", request: "on request" };

export class LatencyView {
  /** @param {Desk} desk */
  constructor(desk) {
    this._desk = desk;
    this._drawn = "";
    this._empty = h("p", { class: "empty" }, "How long every answer takes, from the end of speech to the first sample that is played, will stand here.");
    this._median = h("p", { class: "figure" });
    this._legend = h("ul", { class: "legend" }, ...STAGES.map(([, name], index) => h("li", { class: `stage-${index}` }, name)));
    this._list = h("ol", { class: "turns" });
    this.element = h("div", { class: "panel" }, this._empty, this._median, this._legend, this._list);
  }

  render() {
    const { turns } = this._desk.scene.turns;
    const shown = turns.slice(-MOST).reverse();
    const drawn = JSON.stringify(shown);
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    const totals = shown.map(totalOf).filter((total) => total !== null).sort((a, b) => a - b);
    show(this._empty, shown.length === 0);
    for (const element of [this._median, this._legend]) show(element, shown.length > 0);
    this._median.replaceChildren(
      h("strong", {}, totals.length === 0 ? "–" : duration(totals[Math.floor((totals.length - 1) / 2)])),
      ` median of ${totals.length} ${totals.length === 1 ? "turn" : "turns"}`,
    );
    const longest = Math.max(0.001, ...totals);
    this._list.replaceChildren(...shown.map((turn) => turnElement(turn, longest)));
  }
}

/**
 * Seconds until something was heard, or read where nothing is spoken.
 * @param {Turn} turn
 * @returns {number | null}
 */
function totalOf(turn) {
  const end = turn.played ?? turn.firstOutput;
  return end === null ? null : Math.max(0, end - turn.start);
}

/**
 * @param {Turn} turn
 * @param {number} longest
 */
function turnElement(turn, longest) {
  const total = totalOf(turn);
  const bar = h("div", { class: "waterfall", "aria-hidden": "true" });
  const stages = stagesOf(turn);
  for (const stage of stages) {
    const part = h("span", { class: `stage-${STAGES.findIndex(([, name]) => name === stage.name)}`, title: `${stage.name}: ${duration(stage.to - stage.from)}` });
    part.style.width = `${Math.min(100, ((stage.to - stage.from) / longest) * 100)}%`;
    bar.append(part);
  }
  const words = h("span", { class: "turn-stages" });
  setText(words, stages.map(({ name, from, to }) => `${name} ${duration(to - from)}`).join(" · "));
  return h(
    "li",
    {},
    h("div", { class: "turn-head" }, h("span", {}, `${turn.number}. ${BY[turn.by]}`), h("strong", {}, total === null ? unanswered(turn) : duration(total))),
    bar,
    words,
  );
}

/** @param {Turn} turn  in which nothing was heard or read yet */
function unanswered({ status }) {
  return status === "completed" ? "nothing said" : status.replace("_", " ");
}
