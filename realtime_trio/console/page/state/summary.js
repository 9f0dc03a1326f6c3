// One line about an event: what a reader of the log wants to know before opening it.

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */

const BYTES_PER_SECOND = 48_000; // of PCM16 at 24 kHz

/**
 * @param {WireRecord} record
 * @returns {string}
 */
export function summary({ event, audio, text }) {
  if (text !== null) return text.slice(0, 200);
  if (audio !== null) return `${((audio.length / BYTES_PER_SECOND) * 1000).toFixed(0)} ms of audio`;
  if (event.type === "error") return String(event.error?.message ?? "");
  if (typeof event.delta === "string") return quoted(event.delta);
  if (typeof event.transcript === "string") return quoted(event.transcript);
  if (typeof event.text === "string") return quoted(event.text);
  if (event.type === "response.done") return ofResponse(event.response);
  if (event.item) return ofItem(event.item);
  if (event.type === "session.update") return Object.keys(event.session ?? {}).filter((name) => name !== "type").join(", ");
  if (event.session) return String(event.session.model ?? "");
  if (typeof event.arguments === "string") return `${event.name ?? ""}(${event.arguments})`;
  if (event.audio_end_ms !== undefined) return `at ${event.audio_end_ms} ms`;
  if (event.audio_start_ms !== undefined) return `at ${event.audio_start_ms} ms`;
  return "";
}

/** @param {string} words */
function quoted(words) {
  return `“${words.slice(0, 200)}”`;
}

/** @param {any} response */
function ofResponse(response) {
  const why = response?.status_details?.reason ?? response?.status_details?.error?.message;
  const tokens = response?.usage?.total_tokens;
  return [response?.status, why, tokens === undefined ? null : `${tokens} tokens`].filter(Boolean).join(", ");
}

/** @param {any} item */
function ofItem(item) {
  if (item.type === "function_call") return `call of ${item.name}`;
  if (item.type === "function_call_output") return `output ${String(item.output).slice(0, 120)}`;
  if (item.type !== "message") return String(item.type).replaceAll("_", " ");
  const words = (item.content ?? []).map((/** @type {any} */ part) => part?.text ?? part?.transcript).filter(Boolean).join(" ");
  return `${item.role}${words === "" ? "" : `: ${words.slice(0, 160)}`}`;
}
