// What one sees before anything has happened: what this is, and how to begin.

import { h } from "./dom.js";

/** @typedef {import("../sources/setup.js").Setup} Setup */

/**
 * @param {HTMLElement} root
 * @param {Setup} setup
 * @param {() => void} connect
 */
export function drawStart(root, setup, connect) {
  if (setup.source === "live") {
    root.replaceChildren(
      h("h3", {}, "Talk to it"),
      h("p", {}, setup.simulator ? "The other side is the simulator: no key, no network, no cost." : "The other side is the service. Its key stays with the program that serves this page."),
      h("button", { type: "button", class: "primary large", onclick: connect }, "Connect and say hello"),
      h("p", { class: "note" }, "Or drop a recording here."),
    );
  } else if (setup.source === "attached") {
    root.replaceChildren(h("h3", {}, "Attached"), h("p", {}, "What your program says and hears will be shown here as it happens."));
  } else {
    root.replaceChildren(h("h3", {}, "Recording"), h("p", {}, "Drop a recording here (JSON lines), or open one above."));
  }
}

/**
 * @param {HTMLElement} root
 * @param {string} problem
 */
export function drawProblem(root, problem) {
  root.replaceChildren(h("h3", {}, "This does not work yet"), h("p", { class: "problem" }, problem), h("p", { class: "note" }, "Recordings can be dropped here all the same."));
}
