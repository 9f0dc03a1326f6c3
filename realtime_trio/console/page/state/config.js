// How the session is configured, and what each update has changed.

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */

/** @typedef {{path: string, before: unknown, after: unknown}} Change  undefined is not there. */
/** @typedef {{seq: number, at: number, isFirst: boolean, changes: Change[]}} Update */

const MOST_UPDATES = 200;

export class Configuration {
  constructor() {
    /** @type {Record<string, unknown> | null} */
    this.session = null;
    /** @type {Update[]} */
    this.updates = [];
  }

  /** @param {WireRecord} record */
  apply({ event, seq, at }) {
    if (event.type !== "session.created" && event.type !== "session.updated") return;
    if (typeof event.session !== "object" || event.session === null) return;
    const isFirst = event.type === "session.created";
    const changes = isFirst ? [] : changesBetween(this.session ?? {}, event.session);
    this.session = event.session;
    this.updates.push({ seq, at, isFirst, changes });
    if (this.updates.length > MOST_UPDATES) this.updates.shift();
  }
}

/**
 * What has changed, down to the single values; lists are single values.
 * @param {unknown} before
 * @param {unknown} after
 * @param {string} [path]
 * @returns {Change[]}
 */
export function changesBetween(before, after, path = "") {
  if (isPlain(before) && isPlain(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return names.flatMap((name) => changesBetween(before[name], after[name], path === "" ? name : `${path}.${name}`));
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, before, after }];
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isPlain(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
