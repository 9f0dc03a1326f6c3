import assert from "node:assert/strict";
import { test } from "node:test";

import { RATE } from "../../../realtime_trio/console/page/audio/pcm.js";
import { Teller, tone } from "./telling.js";

/** @param {Teller} told */
function conversation(told) {
  return told.desk.scene.conversation;
}

/** @param {Teller} told */
function transcribing(told) {
  return told.server("session.updated", { session: { audio: { input: { transcription: { model: "w" } } } } });
}

const audioItem = (/** @type {string} */ id) => ({ id, type: "message", role: "user", status: "completed", content: [{ type: "input_audio", transcript: null }] });

test("detected speech has its own audio and nothing around it", () => {
  const told = new Teller().listen(4);
  told.server("input_audio_buffer.speech_started", { item_id: "u", audio_start_ms: 1000 });
  told.server("input_audio_buffer.speech_stopped", { item_id: "u", audio_end_ms: 2500 });
  told.server("input_audio_buffer.committed", { item_id: "u" }).server("conversation.item.added", { item: audioItem("u") });
  assert.equal(conversation(told).get("u")?.samples, 1.5 * RATE);
});

test("what is committed by hand is everything since the last time", () => {
  const told = new Teller().listen(1).server("input_audio_buffer.committed", { item_id: "a" }).server("conversation.item.added", { item: audioItem("a") });
  told.listen(2).server("input_audio_buffer.committed", { item_id: "b" }).server("conversation.item.added", { item: audioItem("b") });
  told.listen(1).server("input_audio_buffer.cleared").listen(0.5);
  told.server("input_audio_buffer.committed", { item_id: "c" }).server("conversation.item.added", { item: audioItem("c") });
  assert.deepEqual(conversation(told).items.map(({ samples }) => samples / RATE), [1, 2, 0.5]);
});

test("text that is sent after audio gets none of it", () => {
  const told = new Teller().listen(1).server("conversation.item.added", { item: { id: "t", type: "message", role: "user", content: [{ type: "input_text", text: "Hi" }] } });
  assert.equal(conversation(told).get("t")?.samples, 0);
});

test("a transcript is awaited, grows, and is there", () => {
  const told = transcribing(new Teller()).server("conversation.item.added", { item: audioItem("u") });
  const item = () => conversation(told).get("u");
  assert.equal(item()?.isAwaiting, true);
  told.server("conversation.item.input_audio_transcription.delta", { item_id: "u", content_index: 0, delta: "What " });
  told.server("conversation.item.input_audio_transcription.delta", { item_id: "u", content_index: 0, delta: "now" });
  assert.deepEqual([item()?.texts[0], item()?.isAwaiting], ["What now", false]);
  told.server("conversation.item.input_audio_transcription.completed", { item_id: "u", content_index: 0, transcript: "What now?" });
  assert.equal(item()?.texts[0], "What now?");
});

test("an empty transcript is waited for no longer, also when the item comes again", () => {
  const told = transcribing(new Teller()).server("conversation.item.added", { item: audioItem("u") });
  told.server("conversation.item.input_audio_transcription.completed", { item_id: "u", transcript: "" });
  told.server("conversation.item.done", { item: audioItem("u") });
  assert.equal(conversation(told).get("u")?.isAwaiting, false);
});

test("a transcript may be there before its item", () => {
  const told = transcribing(new Teller()).server("conversation.item.input_audio_transcription.completed", { item_id: "u", transcript: "Early" });
  told.server("conversation.item.added", { item: audioItem("u") });
  assert.equal(conversation(told).get("u")?.texts[0], "Early");
});

test("a transcription that fails says why", () => {
  const told = transcribing(new Teller()).server("conversation.item.added", { item: audioItem("u") });
  told.server("conversation.item.input_audio_transcription.failed", { item_id: "u", error: { message: "unintelligible" } });
  assert.deepEqual([conversation(told).get("u")?.problem, conversation(told).get("u")?.isAwaiting], ["unintelligible", false]);
});

test("an answer grows, and is truncated to what was heard", () => {
  const told = new Teller().answer("a", "Once upon a time", 5);
  told.server("conversation.item.truncated", { item_id: "a", content_index: 0, audio_end_ms: 1500 });
  told.server("response.output_audio.delta", { item_id: "a", delta: tone(1) });
  const item = conversation(told).get("a");
  assert.deepEqual([item?.texts[0], item?.truncatedAt, item?.samples], ["Once upon a time", 1.5, 1.5 * RATE]);
});

test("a piece of audio may end within a sample", () => {
  const told = new Teller().answer("a", "", 0.1);
  const bytes = atob(tone(0.1));
  told.server("response.output_audio.delta", { item_id: "a", delta: btoa(bytes.slice(0, 1001)) });
  told.server("response.output_audio.delta", { item_id: "a", delta: btoa(bytes.slice(1001)) });
  assert.equal(conversation(told).get("a")?.samples, 4800);
});

test("items stand where they belong", () => {
  const told = new Teller();
  const message = (/** @type {string} */ id) => ({ id, type: "message", role: "user", content: [] });
  told.server("conversation.item.added", { item: message("a"), previous_item_id: null });
  told.server("conversation.item.added", { item: message("c"), previous_item_id: "a" });
  told.server("conversation.item.added", { item: message("b"), previous_item_id: "a" });
  told.server("conversation.item.added", { item: message("first"), previous_item_id: null });
  told.server("conversation.item.added", { item: message("last"), previous_item_id: "gone" });
  assert.deepEqual(conversation(told).items.map(({ id }) => id), ["first", "a", "b", "c", "last"]);
});

test("a deleted item is gone", () => {
  const told = new Teller().answer("a", "Hi", 0.1).server("conversation.item.deleted", { item_id: "a" });
  assert.equal(conversation(told).items.length, 0);
  assert.equal(conversation(told).get("a"), undefined);
});

test("a call shows its arguments and its output", () => {
  const told = new Teller().server("conversation.item.added", { item: { id: "c", type: "function_call", name: "look", call_id: "call_1", arguments: "", status: "in_progress" } });
  told.server("response.function_call_arguments.delta", { item_id: "c", delta: '{"a":' }).server("response.function_call_arguments.delta", { item_id: "c", delta: "1}" });
  told.server("conversation.item.added", { item: { id: "o", type: "function_call_output", call_id: "call_1", output: "2" } });
  const call = conversation(told).get("c");
  assert.deepEqual([call?.name, call?.arguments, call?.output], ["look", '{"a":1}', "2"]);
});

test("final arguments win, even if no delta came", () => {
  const told = new Teller().server("conversation.item.added", { item: { id: "c", type: "function_call", name: "look", call_id: "call_1", arguments: "" } });
  told.server("conversation.item.done", { item: { id: "c", type: "function_call", name: "look", call_id: "call_1", arguments: '{"b":2}', status: "completed" } });
  assert.equal(conversation(told).get("c")?.arguments, '{"b":2}');
});

test("what was decided about a request is known", () => {
  const told = new Teller().server("conversation.item.done", { item: { id: "r", type: "mcp_approval_request", server_label: "docs", name: "search", arguments: "{}" } });
  assert.equal(conversation(told).get("r")?.approved, null);
  told.client("conversation.item.create", { item: { type: "mcp_approval_response", approval_request_id: "r", approve: false } });
  assert.equal(conversation(told).get("r")?.approved, false);
});

test("an image that was sent is shown, also if the service does not send it back", () => {
  const content = [{ type: "input_image", image_url: "data:image/png;base64,AAAA" }];
  const told = new Teller().client("conversation.item.create", { item: { id: "i", type: "message", role: "user", content } });
  told.server("conversation.item.added", { item: { id: "i", type: "message", role: "user", content: [{ type: "input_image" }] } });
  assert.deepEqual(conversation(told).get("i")?.images, ["data:image/png;base64,AAAA"]);
});

test("nonsense is survived", () => {
  const told = new Teller();
  for (const type of ["conversation.item.added", "conversation.item.deleted", "conversation.item.truncated", "response.output_audio.delta", "response.done", "session.updated", "input_audio_buffer.committed", "response.output_item.done", "error", "response.created", "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "conversation.item.input_audio_transcription.completed"]) {
    told.server(type).server(type, { item: null, session: null, response: null, error: null, item_id: 7, delta: 3, audio_end_ms: "x" });
  }
  told.client("conversation.item.create").client("input_audio_buffer.append").client("conversation.item.truncate");
  assert.ok(told.desk.ring.size > 20);
});
