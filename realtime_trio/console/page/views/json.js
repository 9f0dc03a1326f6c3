// JSON for people: indented, and each kind of value in its own colour.

import { h } from "./dom.js";

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null)/g;
const LONGEST = 200_000; // characters; more is cut off

/**
 * @param {unknown} value
 * @returns {HTMLPreElement}
 */
export function jsonElement(value) {
  let text = JSON.stringify(value, shortened, 2) ?? "undefined";
  if (text.length > LONGEST) text = `${text.slice(0, LONGEST)}\n…`;
  const element = h("pre", { class: "json" });
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    element.append(text.slice(end, match.index));
    const [whole, string, colon, number] = match;
    if (string !== undefined && colon !== undefined) element.append(h("span", { class: "json-key" }, string), colon);
    else if (string !== undefined) element.append(h("span", { class: "json-string" }, string));
    else element.append(h("span", { class: number !== undefined ? "json-number" : "json-word" }, whole));
    end = match.index + whole.length;
  }
  element.append(text.slice(end));
  return element;
}

/**
 * A text that nobody can read, such as an image or audio, is cut.
 * @param {string} _name
 * @param {unknown} value
 */
function shortened(_name, value) {
  if (typeof value !== "string" || value.length < 2000) return value;
  return `${value.slice(0, 80)}… (${value.length.toLocaleString("en")} characters)`;
}
