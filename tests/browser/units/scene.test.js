import assert from "node:assert/strict";
import { test } from "node:test";

import { changesBetween } from "../../../realtime_trio/console/page/state/config.js";
import { tail } from "../../../realtime_trio/console/page/state/captions.js";
import { stagesOf } from "../../../realtime_trio/console/page/state/turns.js";
import { Teller } from "./telling.js";

test("a spoken turn is measured from the end of speech to the first sample", () => {
  const told = new Teller().time(1).server("input_audio_buffer.speech_stopped", { item_id: "u" });
  told.time(1.1).server("input_audio_buffer.committed", { item_id: "u" });
  told.time(1.3).server("response.created", { response: { id: "resp_a" } }).server("response.output_item.added", { response_id: "resp_a", item: { id: "a" } });
  told.time(1.8).server("response.output_audio.delta", { response_id: "resp_a", item_id: "a", delta: "AAAA" });
  told.time(1.85).note("playback.began", { item_id: "a" }).time(3).server("response.done", { response: { id: "resp_a", status: "completed" } });
  const [turn] = told.desk.scene.turns.turns;
  assert.equal(turn.by, "speech");
  assert.deepEqual(stagesOf(turn).map(({ name, from, to }) => [name, Math.round((to - from) * 1000)]), [
    ["committed", 100],
    ["response created", 200],
    ["first audio", 500],
    ["first sample played", 50],
  ]);
  assert.equal(turn.status, "completed");
});

test("a turn after a tool begins when its output was sent", () => {
  const told = new Teller().time(5).client("conversation.item.create", { item: { type: "function_call_output" } }).time(5.2).client("response.create");
  told.time(5.5).server("response.created", { response: { id: "r" } });
  const [turn] = told.desk.scene.turns.turns;
  assert.deepEqual([turn.by, turn.start, turn.created], ["tool", 5, 5.5]);
});

test("a response that nobody asked for is a turn, too", () => {
  const told = new Teller().time(2).server("response.created", { response: { id: "r" } });
  assert.deepEqual(told.desk.scene.turns.turns.map(({ by, start }) => [by, start]), [["request", 2]]);
});

test("an update shows what it has changed, and nothing else", () => {
  const before = { voice: "a", audio: { input: { turn_detection: { type: "server_vad", threshold: 0.5 } } }, tools: [] };
  const after = { voice: "a", audio: { input: { turn_detection: null } }, tools: [{ name: "x" }], extra: 1 };
  assert.deepEqual(changesBetween(before, after), [
    { path: "audio.input.turn_detection", before: { type: "server_vad", threshold: 0.5 }, after: null },
    { path: "extra", before: undefined, after: 1 },
    { path: "tools", before: [], after: [{ name: "x" }] },
  ]);
  const told = new Teller().server("session.created", { session: before }).server("session.updated", { session: after });
  assert.deepEqual(told.desk.scene.configuration.updates.map(({ isFirst, changes }) => [isFirst, changes.length]), [[true, 0], [false, 3]]);
});

test("captions have the last words of each side", () => {
  const told = new Teller().server("conversation.item.input_audio_transcription.completed", { item_id: "u", transcript: "What now?" });
  told.answer("a", "Let us ", 0.1).server("response.output_audio_transcript.delta", { item_id: "a", delta: "see." });
  assert.deepEqual(told.desk.scene.captions.lines.map(({ side, text }) => [side, text]), [["you", "What now?"], ["model", "Let us see."]]);
  assert.equal(told.desk.scene.captions.finished?.text, "What now?");
  told.server("response.output_audio_transcript.done", { item_id: "a", transcript: "Let us see." });
  assert.equal(told.desk.scene.captions.finished?.side, "model");
});

test("what is written takes the place of what was said before it", () => {
  const told = new Teller().server("conversation.item.input_audio_transcription.completed", { item_id: "u", transcript: "What now?" });
  told.answer("a", "Let us see.", 0.1).client("conversation.item.create", { item: { type: "function_call_output" } });
  assert.deepEqual(told.desk.scene.captions.lines.map(({ side }) => side), ["you", "model"]);
  told.client("conversation.item.create", { item: { type: "message", role: "user" } });
  assert.deepEqual(told.desk.scene.captions.lines.map(({ side }) => side), ["model"]);
});

test("a long caption is read from its end", () => {
  assert.equal(tail("short"), "short");
  const long = tail(`${"word ".repeat(100)}end`);
  assert.ok(long.startsWith("… word") && long.endsWith("end") && long.length < 225);
});

test("going back shows how things stood, and going on brings the rest", () => {
  const told = new Teller().time(1).answer("a", "One", 0.1).done("a").time(2).answer("b", "Two", 0.1).done("b");
  const { desk } = told;
  desk.goTo(1.5);
  assert.deepEqual(desk.scene.conversation.items.map(({ id }) => id), ["a"]);
  told.time(3).answer("c", "Three", 0.1);
  assert.equal(desk.scene.conversation.items.length, 1, "what comes meanwhile does not show");
  desk.goTo(2.5);
  assert.equal(desk.scene.conversation.items.length, 2);
  desk.goTo(0);
  assert.equal(desk.scene.conversation.items.length, 0);
  desk.goTo(null);
  assert.equal(desk.scene.conversation.items.length, 3);
  told.time(4).answer("d", "Four", 0.1);
  assert.equal(desk.scene.conversation.items.length, 4);
  assert.equal(desk.scene.conversation.get("d")?.samples, 2400);
});

test("what is drawn is told, and a new session is one", () => {
  const { desk } = new Teller();
  let told = 0;
  desk.watch(() => (told += 1));
  desk.take({ side: "server", at: 0, event: { type: "x" } });
  const { session } = desk;
  desk.clear();
  assert.deepEqual([told, desk.ring.size, desk.session], [2, 0, session + 1]);
});
