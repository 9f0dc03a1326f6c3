// Recordings: the JSON lines that `realtime_trio.recording` writes, read and written.

import { isEvent, recordOf, whole } from "./record.js";

/** @typedef {import("./record.js").WireRecord} WireRecord */

const VERSION = 1;

/**
 * @typedef {object} Recording
 * @property {string} kind  `realtime`, `transcription` or `translation`
 * @property {string | null} model
 * @property {"ga" | "beta"} dialect  the spelling of the protocol
 * @property {WireRecord[]} records
 * @property {number} missed  how many records the recorder has missed
 */

/**
 * Read the text of a recording; a last line that a crash has cut off is left out.
 * @param {string} text
 * @returns {Recording}
 * @throws {SyntaxError} The text is not a recording; the message names the line.
 */
export function readRecording(text) {
  const lines = text.split("\n");
  lines.pop(); // nothing, or what a crash has left of a line
  const header = parse(lines[0] ?? "");
  if (header === null || typeof header.kind !== "string" || typeof header.version !== "number") {
    throw new SyntaxError("this is not a recording: its first line is not the header of one");
  }
  if (header.version !== VERSION) {
    throw new SyntaxError(`this is a recording of version ${header.version}; the page reads version ${VERSION}`);
  }
  /** @type {WireRecord[]} */
  const records = [];
  let missed = 0;
  /** @type {"ga" | "beta"} */
  let dialect = "ga";
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === "") continue;
    const entry = parse(line);
    if (entry !== null && typeof entry.dropped === "number") {
      missed += entry.dropped;
    } else if (entry !== null && typeof entry.time === "number" && isSide(entry.source)) {
      if (entry.dialect === "beta") dialect = "beta";
      records.push(
        recordOf({
          seq: records.length,
          side: entry.source,
          at: entry.time,
          wall: typeof entry.at === "number" ? entry.at : null,
          event: entry.event,
          text: typeof entry.event === "string" ? entry.event : isEvent(entry.event) ? null : line,
        }),
      );
    } else {
      throw new SyntaxError(`line ${index + 1} is not a record of a recording`);
    }
  }
  const model = typeof header.model === "string" ? header.model : null;
  return { kind: header.kind, model, dialect, records, missed };
}

/**
 * The lines of a recording, each with its line break.
 * @param {Iterable<WireRecord>} records
 * @param {{kind?: string, model?: string | null, missed?: number}} [about]
 * @returns {Generator<string>}
 */
export function* recordingLines(records, { kind = "realtime", model = null, missed = 0 } = {}) {
  yield `${JSON.stringify({ version: VERSION, kind, model })}\n`;
  /** @type {number | null} */
  let start = null;
  for (const record of records) {
    if (record.side === "page") continue;
    start ??= record.at;
    const members = {
      time: Math.round((record.at - start) * 1e6) / 1e6,
      ...(record.wall === null ? {} : { at: Math.round(record.wall * 1e6) / 1e6 }),
      source: record.side,
    };
    const message = record.text === null ? whole(record) : record.text;
    // The message last, as the Python side writes it and reads it fastest.
    yield `${JSON.stringify(members).slice(0, -1)},"event":${JSON.stringify(message)}}\n`;
  }
  if (missed > 0) yield `${JSON.stringify({ dropped: missed })}\n`;
}

/**
 * @param {string} line
 * @returns {Record<string, unknown> | null}
 */
function parse(line) {
  try {
    const value = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/**
 * @param {unknown} value
 * @returns {value is "client" | "server"}
 */
function isSide(value) {
  return value === "client" || value === "server";
}
