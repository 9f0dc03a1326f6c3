// The little that views need to make elements.  Everything given as a child is text, never markup.

/** @typedef {Node | string | null | false} Child */

/**
 * Make an element.
 *
 * Properties that begin with `on` are listeners; `class` is its class; others are attributes, left
 * out where they are false or null.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== false));
  return element;
}

/**
 * Change the text of an element, if it is another one: a text that is set is painted again.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Show or hide an element.
 * @param {HTMLElement} element
 * @param {boolean} isShown
 */
export function show(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

/**
 * A picture of lines, 24 units wide and high.
 * @param {string} path  what `d` of a path says
 * @returns {SVGSVGElement}
 */
export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** Pictures by what they stand for. */
export const ICONS = {
  microphone: "M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5 11a7 7 0 0 0 14 0M12 18v3",
  muted: "M4 4l16 16M9 9v3a3 3 0 0 0 5 2M15 10V6a3 3 0 0 0-6-1M5 11a7 7 0 0 0 11 5M12 18v3",
  play: "M8 5l11 7-11 7z",
  stop: "M7 7h10v10H7z",
  pause: "M8 5v14M16 5v14",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01",
  send: "M12 19V5M6 11l6-6 6 6",
  remove: "M6 6l12 12M18 6L6 18",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l5 5",
  open: "M4 19V6h6l2 2h8v11z",
  save: "M12 4v11M7 10l5 5 5-5M5 20h14",
  script: "M8 4h9l3 3v13H8zM4 8v12",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  warning: "M12 4l9 16H3zM12 10v4M12 17h.01",
  tool: "M14 6a4 4 0 0 0-5 5l-6 6 3 3 6-6a4 4 0 0 0 5-5l-2 2-2-1-1-2z",
  check: "M5 12l5 5 9-10",
  chat: "M4 5h16v11H9l-5 4z",
  list: "M5 6h.01M9 6h11M5 12h.01M9 12h11M5 18h.01M9 18h11",
  wave: "M3 12h2M7 7v10M11 4v16M15 8v8M19 10v4",
  more: "M5 12h.01M12 12h.01M19 12h.01",
};
