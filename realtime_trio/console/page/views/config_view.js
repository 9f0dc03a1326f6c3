// How the session is configured, and what every update has changed.

import { h } from "./dom.js";
import { jsonElement } from "./json.js";
import { clock } from "./time.js";

/** @typedef {import("../state/desk.js").Desk} Desk */
/** @typedef {import("../state/config.js").Update} Update */

export class ConfigView {
  /** @param {Desk} desk */
  constructor(desk) {
    this._desk = desk;
    this._drawn = "";
    this.element = h("div", { class: "panel" });
  }

  render() {
    const { updates, session } = this._desk.scene.configuration;
    const drawn = `${this._desk.session} ${this._desk.moment} ${updates.at(-1)?.seq}`;
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    if (session === null) {
      this.element.replaceChildren(h("p", { class: "empty" }, "How the session is configured, and what each update changes, will stand here."));
      return;
    }
    this.element.replaceChildren(
      h("ol", { class: "updates" }, ...updates.toReversed().map(updateElement)),
      h("details", {}, h("summary", {}, "All settings"), jsonElement(session)),
    );
  }
}

/** @param {Update} update */
function updateElement(update) {
  const { at, isFirst, changes } = update;
  const head = h("div", { class: "update-head" }, h("span", {}, isFirst ? "session created" : "session updated"), h("span", { class: "row-time" }, clock(at)));
  if (isFirst) return h("li", {}, head);
  if (changes.length === 0) return h("li", {}, head, h("p", { class: "note" }, "Nothing has changed."));
  return h("li", {}, head, h("dl", { class: "diff" }, ...changes.flatMap(changeElements)));
}

/** @param {import("../state/config.js").Change} change */
function changeElements({ path, before, after }) {
  return [
    h("dt", {}, path),
    h(
      "dd",
      {},
      before !== undefined && before !== null && h("del", {}, h("span", { class: "sr" }, "before: "), short(before)),
      h("ins", {}, h("span", { class: "sr" }, "now: "), after === undefined ? "not there" : short(after)),
    ),
  ];
}

/** @param {unknown} value */
function short(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 240 ? `${text.slice(0, 240)}…` : text;
}
