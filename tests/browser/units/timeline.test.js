import assert from "node:assert/strict";
import { test } from "node:test";

import { RATE } from "../../../realtime_trio/console/page/audio/pcm.js";
import { Track } from "../../../realtime_trio/console/page/state/track.js";
import { Teller, toneSamples } from "./telling.js";

test("a track knows where a sample of the stream sounded", () => {
  const track = new Track();
  track.add(toneSamples(1), 2);
  track.add(toneSamples(1), 10);
  assert.equal(track.timeOf(0), 2);
  assert.equal(track.timeOf(RATE / 2), 2.5);
  assert.equal(track.timeOf(RATE * 1.5), 10.5);
  assert.equal(track.end, 11);
});

test("audio that comes early waits for what is before it", () => {
  const track = new Track();
  track.add(toneSamples(2), 1);
  track.add(toneSamples(1), 1.1);
  assert.equal(track.pieces[1].start, 3);
});

test("a stretch of time has its samples and its silence", () => {
  const track = new Track();
  track.add(toneSamples(1, 9000), 1);
  const found = track.between(0.5, 1);
  assert.equal(found.length, RATE);
  assert.ok(found.subarray(0, RATE / 2).every((sample) => sample === 0));
  assert.deepEqual(found.subarray(RATE / 2), toneSamples(1, 9000).subarray(0, RATE / 2));
});

test("a part of the stream is found across its pieces", () => {
  const track = new Track();
  for (let i = 0; i < 10; i += 1) track.add(new Int16Array(100).fill(i), i);
  const found = track.slice(250, 520).flatMap((piece) => [...piece]);
  assert.equal(found.length, 270);
  assert.deepEqual([found[0], found[49], found[50], found.at(-1)], [2, 2, 3, 5]);
});

test("the loudest of a span is found at every zoom", () => {
  const track = new Track();
  track.add(toneSamples(60, 1000), 0);
  track.add(toneSamples(0.1, 30_000), 60);
  track.add(toneSamples(60, 1000), 61);
  assert.ok(track.peak(0, 59) < 0.05);
  assert.ok(track.peak(0, 121) > 0.9);
  assert.ok(track.peak(60.02, 60.05) > 0.9);
  assert.equal(track.peak(200, 300), 0);
});

test("what is cut is neither drawn nor heard", () => {
  const track = new Track();
  track.add(toneSamples(1), 0);
  track.add(toneSamples(1), 1);
  track.cut(0.5);
  assert.equal(track.end, 0.5);
  assert.equal(track.samples, RATE / 2);
  assert.equal(track.peak(0.7, 2), 0);
  assert.ok(track.between(0.5, 1).every((sample) => sample === 0));
  track.add(toneSamples(1), 3);
  assert.equal(track.timeOf(RATE / 2), 3);
});

test("speech is drawn where it sounded, which is before it was noticed", () => {
  const told = new Teller().listen(2);
  told.server("input_audio_buffer.speech_started", { item_id: "u", audio_start_ms: 500 });
  told.listen(1).server("input_audio_buffer.speech_stopped", { item_id: "u", audio_end_ms: 2500 });
  const [span] = told.desk.timeline.speech;
  assert.ok(Math.abs(span.start - 0.5) < 0.01);
  assert.ok(Math.abs(Number(span.end) - 2.5) < 0.01);
});

test("an interruption cuts the voice where it was heard to, and is marked", () => {
  const told = new Teller().time(1).answer("a", "Once upon a time", 5).time(3);
  told.client("conversation.item.truncate", { item_id: "a", content_index: 0, audio_end_ms: 1900 });
  const { timeline } = told.desk;
  assert.equal(timeline.model.end, 2.9);
  assert.deepEqual(timeline.points.map(({ kind, at }) => [kind, at]), [["interruption", 3]]);
});

test("a voice is drawn where it was played, once that is known", () => {
  const told = new Teller().time(1).answer("a", "Once", 2).answer("b", "upon", 1).time(1.5).note("playback.began", { item_id: "a" });
  const { timeline } = told.desk;
  assert.deepEqual(timeline.model.pieces.map(({ item, start }) => [item, start]), [["a", 1.5], ["b", 3.5]]);
  assert.equal(timeline.model.peak(1, 1.4), 0);
  told.time(4).client("conversation.item.truncate", { item_id: "b", audio_end_ms: 500 });
  assert.equal(timeline.model.end, 4);
});

test("responses and tools have a beginning, an end, and an outcome", () => {
  const told = new Teller().time(1).answer("a", "Hm", 0.1).time(2).done("a", "cancelled", { status_details: { reason: "turn_detected" } });
  const call = { id: "c", type: "function_call", status: "completed", name: "look", call_id: "call_1", arguments: "{}" };
  told.server("response.output_item.done", { item: call }).time(2.5).client("conversation.item.create", { item: { type: "function_call_output", call_id: "call_1", output: "1" } });
  const [response] = told.desk.timeline.responses;
  assert.deepEqual([response.start, response.end, response.state], [1, 2, "cancelled"]);
  const [tool] = told.desk.timeline.tools;
  assert.deepEqual([tool.label, tool.start, tool.end, tool.state], ["look", 2, 2.5, "completed"]);
});

test("a call that was cut short did not run", () => {
  const call = { id: "c", type: "function_call", status: "incomplete", name: "look", call_id: "call_1", arguments: "{" };
  assert.equal(new Teller().server("response.output_item.done", { item: call }).desk.timeline.tools.length, 0);
});

test("what is too long ago is drawn, and no longer kept", () => {
  const track = new Track(10 * RATE);
  const piece = toneSamples(0.01);
  for (let i = 0; i < 4000; i += 1) track.add(piece, 0);
  assert.ok(track.pieces.length < 2 * 1024 + 1, `${track.pieces.length} pieces`);
  assert.ok(track.peak(0, 1) > 0.1);
  assert.ok(track.between(0, 1).every((sample) => sample === 0), "it is silent");
  assert.ok(track.between(39, 0.5).some((sample) => sample !== 0), "the end is not");
  assert.equal(Math.round(track.timeOf(39 * RATE)), 39);
});
