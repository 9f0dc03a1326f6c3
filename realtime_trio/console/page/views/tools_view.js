// What the two tools of the page have done: the memory, and the place on the map.

import { h } from "./dom.js";
import { LAND } from "./map_outline.js";

/** @typedef {import("../talk/tools.js").Tools} Tools */
/** @typedef {import("../talk/tools.js").Place} Place */

const SVG = "http://www.w3.org/2000/svg";

export class ToolsView {
  /** @param {Tools} tools */
  constructor(tools) {
    this._tools = tools;
    this._memory = h("div", { class: "memory" });
    this._placeName = h("p", { class: "place-name" });
    this._map = mapElement();
    this._mark = svg("g", { class: "map-mark" });
    this._map.append(this._mark);
    this.element = h(
      "div",
      { class: "panel" },
      h("h3", {}, "Memory"),
      this._memory,
      h("h3", {}, "Place"),
      this._placeName,
      h("div", { class: "map" }, this._map),
    );
    this.render();
  }

  render() {
    const { memory, place } = this._tools;
    this._memory.replaceChildren(
      memory.size === 0
        ? h("p", { class: "empty" }, "Nothing yet. Say: “Remember my key 'colour' and value 'blue'”.")
        : h("dl", { class: "diff" }, ...[...memory].flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)])),
    );
    this._mark.replaceChildren();
    if (place === null) {
      this._placeName.replaceChildren(h("span", { class: "empty" }, "Nothing yet. Say: “Show me the place Paris on the map”."));
      return;
    }
    this._placeName.replaceChildren(h("strong", {}, place.name), ` ${degrees(place.latitude, "N", "S")}, ${degrees(place.longitude, "E", "W")}`);
    const [x, y] = [place.longitude, -place.latitude];
    this._mark.append(svg("circle", { cx: x, cy: y, r: 9, class: "map-ring" }), svg("circle", { cx: x, cy: y, r: 3.2 }));
    this._map.setAttribute("aria-label", `Map of the world with ${place.name} on it`);
  }
}

/**
 * @param {number} value
 * @param {string} positive
 * @param {string} negative
 */
function degrees(value, positive, negative) {
  return `${Math.abs(value).toFixed(2)}° ${value < 0 ? negative : positive}`;
}

function mapElement() {
  const map = svg("svg", { viewBox: "-180 -85 360 145", role: "img", "aria-label": "Map of the world" });
  for (let longitude = -150; longitude <= 150; longitude += 30) map.append(svg("line", { x1: longitude, x2: longitude, y1: -85, y2: 60, class: "map-line" }));
  for (let latitude = -60; latitude <= 30; latitude += 30) map.append(svg("line", { x1: -180, x2: 180, y1: latitude, y2: latitude, class: "map-line" }));
  for (const piece of LAND) map.append(svg("polygon", { points: piece.map(([east, north]) => `${east},${-north}`).join(" "), class: "map-land" }));
  return map;
}

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 */
function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}
