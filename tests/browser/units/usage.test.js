import assert from "node:assert/strict";
import { test } from "node:test";

import { UNTOLD } from "../../../realtime_trio/console/page/state/bill.js";
import { Teller } from "./telling.js";

const PRICES = {
  "gpt-realtime": { text_input: 4, text_cached: 0.4, text_output: 16, audio_input: 32, audio_cached: 0.4, audio_output: 64 },
  "gpt-4o-mini-transcribe": { text_input: 1.25, text_output: 5, audio_input: 3 },
  "whisper-1": { minute: 0.006 },
};

/**
 * What a service says of a response.
 * @param {number} text
 * @param {number} audio
 * @param {number} cached  text among it
 * @param {number} spoken
 */
function usage(text, audio, cached, spoken) {
  return {
    input_token_details: { text_tokens: text, audio_tokens: audio, cached_tokens: cached, cached_tokens_details: { text_tokens: cached, audio_tokens: 0 } },
    output_token_details: { text_tokens: 10, audio_tokens: spoken },
  };
}

/**
 * A session with this model, and one that transcribes.
 * @param {{model?: string, transcriber?: string, asked?: string}} [session]
 */
function session({ model = "gpt-realtime", transcriber = "gpt-4o-mini-transcribe", asked = "" } = {}) {
  const told = new Teller(PRICES, asked);
  return told.server("session.created", { session: { model, audio: { input: { transcription: { model: transcriber } } } } });
}

/**
 * @param {number | null} cost
 * @param {number} expected
 */
function assertCost(cost, expected) {
  assert.ok(cost !== null && Math.abs(cost - expected) < 1e-12, `${cost} is not ${expected}`);
}

test("usage is counted by modality and cache, and priced as the program says", () => {
  const told = session().server("response.done", { response: { id: "r", usage: usage(1000, 200, 640, 100) } });
  const { usage: meter } = told.desk.scene;
  const columns = ["text_input", "text_cached", "audio_input", "text_output", "audio_output"];
  assert.deepEqual(columns.map((column) => meter.responses.count(column)), [360, 640, 200, 10, 100]);
  assertCost(meter.cost(), (360 * 4 + 640 * 0.4 + 200 * 32 + 10 * 16 + 100 * 64) / 1e6);
  assertCost(meter.cost("audio_input", "audio_output"), (200 * 32 + 100 * 64) / 1e6);
  assert.equal(meter.responses.tokens, 1310);
});

test("what is told twice counts once, as it was told last", () => {
  const told = session();
  for (const text of [1000, 2000]) told.server("response.done", { response: { id: "r", usage: usage(text, 0, 0, 0) } });
  told.server("response.done", { response: { id: "s", usage: usage(1, 0, 0, 0) } });
  const { responses } = told.desk.scene.usage;
  assert.deepEqual([responses.size, responses.count("text_input"), responses.count("text_output")], [2, 2001, 20]);
});

test("transcriptions cost what their model costs, by tokens", () => {
  const used = { type: "tokens", input_tokens: 120, output_tokens: 12, total_tokens: 132, input_token_details: { text_tokens: 20, audio_tokens: 100 } };
  const told = session().server("conversation.item.input_audio_transcription.completed", { item_id: "u", content_index: 0, usage: used });
  const { usage: meter } = told.desk.scene;
  assertCost(meter.transcriptionCost, (20 * 1.25 + 100 * 3 + 12 * 5) / 1e6);
  assertCost(meter.cost(), (20 * 1.25 + 100 * 3 + 12 * 5) / 1e6);
  assert.equal(meter.responses.size, 0);
});

test("transcriptions cost what their model costs, by the minute", () => {
  const told = session({ transcriber: "whisper-1" });
  const used = { type: "duration", seconds: 15 };
  for (const item of ["u", "v"]) told.server("conversation.item.input_audio_transcription.completed", { item_id: item, content_index: 0, usage: used });
  const { usage: meter } = told.desk.scene;
  assertCost(meter.cost(), 0.003);
  assert.deepEqual([meter.transcriptions.size, meter.transcriptions.seconds, meter.transcriptions.tokens], [2, 30, 0]);
});

test("transcriptions without a price leave the cost unknown", () => {
  const told = session({ transcriber: "somebody-elses" });
  told.server("conversation.item.input_audio_transcription.completed", { item_id: "u", usage: { type: "duration", seconds: 15 } });
  assert.equal(told.desk.scene.usage.cost(), null);
  assert.deepEqual(told.desk.scene.usage.unpriced, ["somebody-elses"]);
});

test("each model is priced by itself where another one goes on", () => {
  const told = session({ transcriber: "whisper-1" });
  const used = { type: "duration", seconds: 60 };
  told.server("conversation.item.input_audio_transcription.completed", { item_id: "u", usage: used });
  told.server("session.updated", { session: { model: "gpt-realtime", audio: { input: { transcription: { model: "gpt-4o-mini-transcribe" } } } } });
  const read = { type: "tokens", input_tokens: 100, output_tokens: 0, input_token_details: { audio_tokens: 100 } };
  told.server("conversation.item.input_audio_transcription.completed", { item_id: "v", usage: read });
  assertCost(told.desk.scene.usage.cost(), 0.006 + (100 * 3) / 1e6);
});

test("the version of a day is priced as the model that was asked for, and nothing else is", () => {
  const cost = (/** @type {string} */ model) => {
    const told = session({ model, asked: "gpt-realtime" }).server("response.done", { response: { id: "r", usage: usage(1000, 0, 0, 0) } });
    return told.desk.scene.usage.cost();
  };
  assertCost(cost("gpt-realtime-2026-11-30"), 0.00416);
  assert.equal(cost("somebody-elses"), null);
});

test("the prices stay when one goes back in time, and when another session begins", () => {
  const told = new Teller(PRICES).server("session.created", { session: { model: "gpt-realtime" } });
  told.time(1).server("response.done", { response: { id: "r", usage: usage(1000, 0, 0, 0) } });
  told.desk.goTo(0.5);
  told.desk.goTo(1.5);
  const cost = told.desk.scene.usage.cost();
  told.desk.clear();
  told.server("session.created", { session: { model: "gpt-realtime" } }).server("response.done", { response: { id: "r", usage: usage(1000, 0, 0, 0) } });
  assertCost(cost, 0.00416);
  assert.equal(told.desk.scene.usage.cost(), cost);
});

test("without prices tokens are counted, and cost is not known", () => {
  const told = new Teller().server("session.created", { session: { model: "gpt-realtime" } });
  told.server("response.done", { response: { id: "r", usage: usage(1000, 0, 0, 0) } });
  const { usage: meter } = told.desk.scene;
  assert.deepEqual([meter.prices, meter.cost(), meter.responses.tokens], [null, null, 1010]);
});

for (const model of ["somebody-elses", "constructor"]) {
  test(`${model}, whose price is not known, has no cost, and a response without usage counts nothing`, () => {
    const told = session({ model }).server("response.done", { response: { id: "r", status: "cancelled", usage: null } });
    assert.equal(told.desk.scene.usage.cost(), 0);
    told.server("response.done", { response: { id: "s", usage: usage(1, 0, 0, 0) } });
    assert.equal(told.desk.scene.usage.cost(), null);
    assert.deepEqual(told.desk.scene.usage.unpriced, [model]);
  });
}

/** @type {[string, object | null, string][]} */
const UNPRICED = [
  ["tokens of a column without a price", { input_token_details: { image_tokens: 5 } }, "image input"],
  ["tokens of which it is not said what they are", { input_tokens: 10, input_token_details: { text_tokens: 9 } }, "tokens of unknown kind"],
  ["output of which it is not said what it is", { output_tokens: 10 }, "tokens of unknown kind"],
  ["cached tokens of which it is not said what they are", { input_token_details: { text_tokens: 9, audio_tokens: 9, cached_tokens: 4 } }, "tokens of unknown kind"],
  ["a whole answer without a word about its tokens", null, "a response without usage"],
];

for (const [what, used, words] of UNPRICED) {
  test(`${what}: the cost is unknown`, () => {
    const told = session().server("response.done", { response: { id: "r", status: "completed", usage: used } });
    assert.equal(told.desk.scene.usage.cost(), null);
    assert.deepEqual(told.desk.scene.usage.unpriced, [`${words} of gpt-realtime`]);
  });
}

test("what came from the cache is known where all that was read is of one kind", () => {
  const used = { input_tokens: 100, input_token_details: { text_tokens: 100, cached_tokens: 50 } };
  const told = session().server("response.done", { response: { id: "r", usage: used } });
  const { usage: meter } = told.desk.scene;
  assert.deepEqual([meter.responses.count("text_cached"), meter.responses.count(UNTOLD)], [50, 0]);
  assertCost(meter.cost(), (50 * 4 + 50 * 0.4) / 1e6);
});
