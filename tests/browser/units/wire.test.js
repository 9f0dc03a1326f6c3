import assert from "node:assert/strict";
import { test } from "node:test";

import { base64Of, bytesOf } from "../../../realtime_trio/console/page/wire/base64.js";
import { NOT_AN_EVENT, legible, recordOf, whole } from "../../../realtime_trio/console/page/wire/record.js";
import { readRecording, recordingLines } from "../../../realtime_trio/console/page/wire/recording.js";
import { Ring } from "../../../realtime_trio/console/page/wire/ring.js";
import { scriptOf } from "../../../realtime_trio/console/page/wire/script.js";
import { tone } from "./telling.js";

/** @typedef {import("../../../realtime_trio/console/page/wire/record.js").WireRecord} WireRecord */

/**
 * @param {number} seq
 * @param {object} event
 * @returns {WireRecord}
 */
function record(seq, event) {
  return recordOf({ seq, side: "server", at: seq / 10, event });
}

test("base64 goes both ways, whatever the length", () => {
  for (const length of [0, 1, 2, 3, 1000, 100_000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 7) % 256);
    assert.deepEqual(bytesOf(base64Of(bytes)), bytes);
  }
});

test("what is not base64 is no bytes, and no error", () => {
  assert.equal(bytesOf("!!!").length, 0);
});

test("a record has its audio beside the event, and puts it back", () => {
  const audio = tone(0.1);
  const told = recordOf({ seq: 0, side: "client", at: 0, event: { type: "input_audio_buffer.append", audio } });
  assert.equal(told.event.audio, "");
  assert.equal(told.audio?.length, 4800);
  assert.equal(whole(told).audio, audio);
  assert.equal(legible(told).audio, "<4,800 bytes of audio>");
});

test("what is not an event is kept as a text", () => {
  const told = recordOf({ seq: 0, side: "server", at: 0, event: undefined, text: "<html>" });
  assert.equal(told.event.type, NOT_AN_EVENT);
  assert.equal(told.text, "<html>");
});

test("a ring lets go of the oldest records, and keeps their places", () => {
  const ring = new Ring({ records: 10 });
  for (let seq = 0; seq < 35; seq += 1) ring.push(record(seq, { type: "x" }));
  assert.equal(ring.size, 10);
  assert.equal(ring.first, 25);
  assert.equal(ring.get(24), undefined);
  assert.equal(ring.get(25)?.seq, 25);
  assert.deepEqual([...ring.since(33)].map(({ seq }) => seq), [33, 34]);
});

test("a ring is bounded by its audio, too", () => {
  const ring = new Ring({ records: 1000, bytes: 10_000 });
  for (let seq = 0; seq < 5; seq += 1) ring.push(record(seq, { type: "response.output_audio.delta", delta: tone(0.1) }));
  assert.equal(ring.size, 2);
});

test("a ring takes no record out of its place", () => {
  assert.throws(() => new Ring().push(record(3, { type: "x" })), /next record is 0/);
});

test("a recording is read as it was written", () => {
  const records = [
    recordOf({ seq: 0, side: "server", at: 5, wall: 1e9, event: { type: "session.created", session: { model: "m" } } }),
    recordOf({ seq: 1, side: "client", at: 5.25, event: { type: "input_audio_buffer.append", audio: tone(0.1) } }),
    recordOf({ seq: 2, side: "server", at: 6, event: undefined, text: "not JSON" }),
  ];
  const read = readRecording([...recordingLines(records, { model: "m", missed: 3 })].join(""));
  assert.equal(read.model, "m");
  assert.equal(read.missed, 3);
  assert.deepEqual(read.records.map(({ at }) => at), [0, 0.25, 1]);
  assert.deepEqual(read.records.map(({ wall }) => wall), [1e9, null, null]);
  assert.deepEqual(read.records.map(whole), records.map(whole));
  assert.equal(read.records[2].text, "not JSON");
});

test("a line that a crash has cut off is left out", () => {
  const text = [...recordingLines([record(0, { type: "x" }), record(1, { type: "y" })])].join("");
  assert.equal(readRecording(text.slice(0, -5)).records.length, 1);
});

test("what is not a recording is refused with the line", () => {
  assert.throws(() => readRecording("hello\n"), /first line/);
  assert.throws(() => readRecording('{"version": 9, "kind": "realtime"}\n'), /version 9/);
  assert.throws(() => readRecording('{"version": 1, "kind": "realtime"}\n{"time": "x"}\n'), /line 2/);
});

test("what the page notes for itself is not part of a recording", () => {
  const note = recordOf({ seq: 0, side: "page", at: 0, event: { type: "playback.began" } });
  assert.equal([...recordingLines([note])].length, 1);
});

test("a script says what was said, and hears what was heard", () => {
  const output = [
    { type: "message", content: [{ type: "output_audio", transcript: "Let me look." }] },
    { type: "function_call", name: "look", arguments: "{}", call_id: "call_1" },
  ];
  const script = scriptOf([
    record(0, { type: "input_audio_buffer.committed", item_id: "a" }),
    record(1, { type: "input_audio_buffer.committed", item_id: "b" }),
    record(2, { type: "conversation.item.input_audio_transcription.failed", item_id: "b" }),
    record(3, { type: "conversation.item.input_audio_transcription.completed", item_id: "a", transcript: "Look" }),
    record(4, { type: "response.done", response: { status: "completed", output } }),
    record(5, { type: "response.done", response: { status: "failed", output: [], status_details: { error: { code: "x", message: "No" } } } }),
  ]);
  assert.deepEqual(JSON.parse(script), {
    pacing: "lifelike",
    transcripts: ["Look", null],
    replies: [
      { text: "Let me look.", then: [{ call: { name: "look", arguments: "{}", call_id: "call_1" } }] },
      { fail: { code: "x", message: "No", type: "server_error" } },
    ],
  });
});
