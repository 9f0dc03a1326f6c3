import assert from "node:assert/strict";
import { test } from "node:test";

import { LogRows, fits } from "../../../realtime_trio/console/page/state/log.js";
import { summary } from "../../../realtime_trio/console/page/state/summary.js";
import { recordOf } from "../../../realtime_trio/console/page/wire/record.js";
import { Teller, tone } from "./telling.js";

/** @param {Teller} told */
function rows(told) {
  return told.desk.log.rows.map(({ side, type, seqs }) => `${side} ${type} ${seqs.length}`);
}

/**
 * @param {object} event
 */
function summed(event) {
  return summary(recordOf({ seq: 0, side: "server", at: 0, event }));
}

test("equal events in a row are one row with a count", () => {
  const told = new Teller().server("error").server("error").client("response.create").server("error");
  assert.deepEqual(rows(told), ["server error 2", "client response.create 1", "server error 1"]);
});

test("streams that cross each other are one row each", () => {
  const told = new Teller();
  for (let i = 0; i < 3; i += 1) {
    told.client("input_audio_buffer.append", { audio: tone(0.02) });
    told.server("response.output_audio.delta", { item_id: "a", delta: tone(0.02) }).server("response.output_audio_transcript.delta", { item_id: "a", delta: "x" });
  }
  told.server("response.output_audio.done").client("input_audio_buffer.append", { audio: tone(0.02) });
  assert.deepEqual(rows(told), [
    "client input_audio_buffer.append 3",
    "server response.output_audio.delta 3",
    "server response.output_audio_transcript.delta 3",
    "server response.output_audio.done 1",
    "client input_audio_buffer.append 1",
  ]);
});

test("the page's own notes are not in the log", () => {
  assert.deepEqual(rows(new Teller().note("playback.began")), []);
});

test("rows are found by their type, by what is in them, and by their side", () => {
  const told = new Teller().server("error", { error: { message: "The Quick fox" } }).client("response.create");
  const [error, create] = told.desk.log.rows;
  const textOf = (/** @type {number} */ seq) => JSON.stringify(told.desk.ring.get(seq)?.event).toLowerCase();
  const all = { side: /** @type {const} */ ("all"), text: "", onlyMarked: false };
  assert.ok(fits(error, { ...all, text: "quick FOX" }, textOf));
  assert.ok(!fits(create, { ...all, text: "quick" }, textOf));
  assert.ok(fits(create, { ...all, text: "create" }, textOf));
  assert.ok(!fits(create, { ...all, side: "server" }, textOf));
  assert.ok(fits(error, { ...all, onlyMarked: true }, textOf));
  assert.ok(!fits(create, { ...all, onlyMarked: true }, textOf));
});

test("marks that come late are shown on their row", () => {
  const told = new Teller().server("a").server("b").server("b");
  told.desk.mark(2, [{ rule: "b_comes_once", explanation: "b came twice" }]);
  assert.deepEqual(told.desk.log.rows.map(({ marks }) => marks), [0, 1]);
  assert.equal(told.desk.ring.get(2)?.marks.length, 1);
});

test("rows of which nothing is left are forgotten, and the others keep their keys", () => {
  const log = new LogRows();
  for (let seq = 0; seq < 10; seq += 1) log.apply(recordOf({ seq, side: "server", at: seq, event: { type: `t${seq}` } }));
  log.forget(4);
  assert.deepEqual(log.rows.map(({ key }) => key), [4, 5, 6, 7, 8, 9]);
  assert.equal(log.nextKey, 10);
});

test("a line says what one wants to know", () => {
  assert.equal(summed({ type: "error", error: { message: "No." } }), "No.");
  assert.equal(summed({ type: "response.output_audio.delta", delta: tone(0.2) }), "200 ms of audio");
  assert.equal(summed({ type: "response.output_text.delta", delta: "Hel" }), "“Hel”");
  assert.equal(summed({ type: "response.done", response: { status: "cancelled", status_details: { reason: "turn_detected" }, usage: { total_tokens: 9 } } }), "cancelled, turn_detected, 9 tokens");
  assert.equal(summed({ type: "conversation.item.added", item: { type: "message", role: "user", content: [{ text: "Hi" }] } }), "user: Hi");
  assert.equal(summed({ type: "conversation.item.added", item: { type: "function_call", name: "look" } }), "call of look");
  assert.equal(summed({ type: "input_audio_buffer.speech_started", audio_start_ms: 120 }), "at 120 ms");
  assert.equal(summed({ type: "rate_limits.updated" }), "");
});
