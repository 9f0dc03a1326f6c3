// From what a server said to a script with which the simulator says it again.

/** @typedef {import("./record.js").WireRecord} WireRecord */

/**
 * A script file in JSON, as docs/script-files.md describes it.
 * @param {Iterable<WireRecord>} records
 * @returns {string}
 */
export function scriptOf(records) {
  /** @type {object[]} */
  const replies = [];
  /** @type {string[]} */
  const commits = [];
  /** @type {Map<string, string | null>} */
  const heard = new Map();
  for (const { side, event } of records) {
    if (side !== "server") continue;
    if (event.type === "response.done") {
      const reply = replyOf(event.response);
      if (reply !== null) replies.push(reply);
    } else if (event.type === "input_audio_buffer.committed") {
      commits.push(String(event.item_id));
    } else if (event.type === "conversation.item.input_audio_transcription.completed") {
      heard.set(String(event.item_id), String(event.transcript ?? ""));
    } else if (event.type === "conversation.item.input_audio_transcription.failed") {
      heard.set(String(event.item_id), null);
    }
  }
  // In the order of the commits: transcripts may overtake each other.
  const transcripts = commits.filter((id) => heard.has(id)).map((id) => heard.get(id));
  const script = { pacing: "lifelike", ...(transcripts.length > 0 ? { transcripts } : {}), replies };
  return `${JSON.stringify(script, null, 2)}\n`;
}

/** @param {any} response */
function replyOf(response) {
  const outputs = (Array.isArray(response?.output) ? response.output : []).map(outputOf).filter(Boolean);
  const error = response?.status === "failed" ? response.status_details?.error : null;
  if (error) outputs.push({ fail: { code: error.code ?? null, message: error.message ?? "", type: error.type ?? "server_error" } });
  if (outputs.length === 0) return null;
  const [first, ...rest] = outputs;
  return rest.length === 0 ? first : { ...first, then: rest };
}

/** @param {any} item */
function outputOf(item) {
  if (item?.type === "function_call") {
    return { call: { name: item.name, arguments: item.arguments ?? "", call_id: item.call_id } };
  }
  if (item?.type !== "message") return null;
  const words = (item.content ?? []).map((/** @type {any} */ part) => part?.transcript ?? part?.text ?? "").join("");
  return words === "" ? null : { text: words };
}
