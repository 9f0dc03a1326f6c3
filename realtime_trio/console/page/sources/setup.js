// What the page is told at first: where to connect, and what it may do.

/**
 * @typedef {object} Setup
 * @property {"live" | "attached" | "recording"} source
 * @property {string} title
 * @property {string} kind
 * @property {string[]} models
 * @property {string[]} voices
 * @property {boolean} simulator
 * @property {boolean} may_act
 * @property {string[]} client_events
 * @property {string | null} realtime_url
 * @property {string | null} inspect_url
 * @property {import("../state/bill.js").Prices | null} prices  null if the program has no price list
 * @property {string | null} script  what the server said, as a script file; in a report alone
 */

const KEPT = "realtime-console-token";

/** What a page shows that nobody serves: recordings that are dropped on it. @type {Setup} */
export const ALONE = {
  source: "recording",
  title: "",
  kind: "realtime",
  models: [],
  voices: [],
  simulator: false,
  may_act: false,
  client_events: [],
  realtime_url: null,
  inspect_url: null,
  prices: null,
  script: null,
};

/**
 * Take the token out of the address, where it could be photographed and bookmarked.
 * @returns {string} empty if there is none, as in a report
 */
export function takeToken() {
  if (embeddedJson("setup") !== null) return "";
  const given = location.hash.slice(1);
  if (given === "") return sessionStorage.getItem(KEPT) ?? "";
  sessionStorage.setItem(KEPT, given);
  history.replaceState(null, "", location.pathname + location.search);
  return given;
}

/**
 * @param {string} token
 * @returns {Promise<Setup>}
 * @throws {Error} The server refuses, or is not there; the message says so to a user.
 */
export async function fetchSetup(token) {
  const embedded = embeddedJson("setup");
  if (embedded !== null) return { ...ALONE, ...embedded };
  let response;
  try {
    response = await fetch("setup.json", { headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
  } catch {
    throw new Error("The console's program does not answer. Is it still running?");
  }
  if (response.status === 401) {
    throw new Error("This address has no valid token. Open the one that `realtime-trio console` has printed.");
  }
  if (!response.ok) throw new Error(`The console's program answered ${response.status} ${response.statusText}.`);
  return { ...ALONE, ...(await response.json()) };
}

/**
 * What a report has in itself.
 * @param {string} id
 * @returns {any} null if it is not there
 */
export function embeddedJson(id) {
  const element = document.getElementById(id);
  return element === null ? null : JSON.parse(element.textContent ?? "null");
}

/**
 * The address of a WebSocket on the same server.
 * @param {string} path
 * @returns {URL}
 */
export function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}

/**
 * How the token is shown to WebSockets, which have no headers in a browser.
 * @param {string} token
 * @returns {string[]}
 */
export function subprotocols(token) {
  return token === "" ? ["realtime"] : ["realtime", `openai-insecure-api-key.${token}`];
}
