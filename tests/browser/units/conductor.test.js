import assert from "node:assert/strict";
import { test } from "node:test";

import { RATE } from "../../../realtime_trio/console/page/audio/pcm.js";
import { Conductor, isRace } from "../../../realtime_trio/console/page/talk/conductor.js";
import { TOOL_DEFINITIONS, Tools } from "../../../realtime_trio/console/page/talk/tools.js";
import { toneSamples } from "./telling.js";

/** @typedef {import("../../../realtime_trio/console/page/talk/conductor.js").Action} Action */
/** @typedef {import("../../../realtime_trio/console/page/talk/turn_detection.js").TurnMode} TurnMode */

/**
 * @param {TurnMode} [mode]
 * @param {boolean} [greets]
 */
function conductor(mode = "server_vad", greets = false) {
  const made = new Conductor({ mode, voice: "marin", instructions: "Be kind.", greets, tools: TOOL_DEFINITIONS });
  made.hear({ type: "session.created" }, null);
  made.hear({ type: "session.updated" }, null);
  return made;
}

/**
 * The actions in short: the types of what is sent, and what is done.
 * @param {Action[]} actions
 */
function short(actions) {
  return actions.map((action) => (action.do === "send" ? action.event.type : action.do));
}

/**
 * An answer comes, with so many seconds of audio.
 * @param {Conductor} made
 * @param {string} id
 * @param {number} seconds
 */
function speak(made, id, seconds) {
  made.hear({ type: "response.created", response: { id: `resp_${id}` } }, null);
  return made.hear({ type: "response.output_audio.delta", response_id: `resp_${id}`, item_id: id }, toneSamples(seconds));
}

/**
 * @param {Conductor} made
 * @param {string} id
 * @param {object} [response]
 */
function done(made, id, response = {}) {
  made.hear({ type: "response.output_item.done", item: { id, type: "message", status: "completed" } }, null);
  return made.hear({ type: "response.done", response: { id: `resp_${id}`, status: "completed", ...response } }, null);
}

test("a session is configured when it is there, and greeted when that is confirmed", () => {
  const made = new Conductor({ mode: "semantic_vad", voice: "marin", instructions: "Be kind.", greets: true, tools: [] });
  const [update] = made.hear({ type: "session.created" }, null);
  assert.ok(update.do === "send");
  const { session } = update.event;
  assert.equal(session.audio.input.turn_detection.type, "semantic_vad");
  assert.equal(session.audio.output.voice, "marin");
  assert.deepEqual(short(made.hear({ type: "session.updated" }, null)), ["conversation.item.create", "response.create"]);
  assert.deepEqual(made.hear({ type: "session.updated" }, null), [], "once");
});

test("a voice interrupts: what was heard is kept, and the service cancels by itself", () => {
  const made = conductor();
  assert.deepEqual(short(speak(made, "a", 5)), ["play"]);
  assert.deepEqual(made.hear({ type: "input_audio_buffer.speech_started" }, null), [{ do: "interrupt", cancel: false }]);
  made.silence();
  assert.deepEqual(made.interrupted({ part: "a", played: 1.5 * RATE + 1 }, false), [
    { do: "send", event: { type: "conversation.item.truncate", item_id: "a", content_index: 0, audio_end_ms: 1500 } },
  ]);
});

test("what still comes of an interrupted response is not played", () => {
  const made = conductor();
  speak(made, "a", 1);
  made.silence();
  assert.deepEqual(made.hear({ type: "response.output_audio.delta", response_id: "resp_a", item_id: "a" }, toneSamples(1)), []);
  made.interrupted({ part: "a", played: 100 }, false);
  assert.deepEqual(short(speak(made, "b", 1)), ["play"]);
});

test("an answer that was heard to its end is left as it is", () => {
  const made = conductor();
  speak(made, "a", 1);
  done(made, "a");
  assert.deepEqual(made.interrupted({ part: "a", played: RATE }, false), []);
});

test("an answer that is complete but not heard is truncated, too", () => {
  const made = conductor();
  speak(made, "a", 3);
  done(made, "a");
  assert.deepEqual(short(made.interrupted({ part: "a", played: RATE }, true)), ["conversation.item.truncate"], "and nothing is left to cancel");
});

test("what waited behind the interrupted item was not heard at all", () => {
  const made = conductor();
  speak(made, "a", 1);
  made.hear({ type: "response.output_item.done", item: { id: "a", type: "message", status: "completed" } }, null);
  made.hear({ type: "response.output_audio.delta", response_id: "resp_a", item_id: "b" }, toneSamples(1));
  const ends = made.interrupted({ part: "a", played: RATE / 2 }, false).map((action) => (action.do === "send" ? [action.event.item_id, action.event.audio_end_ms] : null));
  assert.deepEqual(ends, [["a", 500], ["b", 0]]);
});

test("never more than was received is said to be heard", () => {
  const made = conductor();
  speak(made, "a", 1);
  const [action] = made.interrupted({ part: "a", played: 9 * RATE }, false);
  assert.equal(action.do === "send" && action.event.audio_end_ms, 1000);
});

test("pressing the button truncates, then cancels; letting go commits and asks", () => {
  const made = conductor("manual");
  speak(made, "a", 5);
  assert.equal(made.listens, false);
  assert.deepEqual(made.startTalking(), [{ do: "interrupt", cancel: true }]);
  made.silence();
  assert.deepEqual(short(made.interrupted({ part: "a", played: RATE }, true)), ["conversation.item.truncate", "response.cancel"]);
  assert.deepEqual(short(made.listen(toneSamples(0.5))), ["input_audio_buffer.append"]);
  // The response that was cancelled has not ended yet, so the next one waits for that.
  assert.deepEqual(short(made.stopTalking()), ["input_audio_buffer.commit"]);
  assert.deepEqual(short(done(made, "a", { status: "cancelled", status_details: { reason: "client_cancelled" } })), ["response.create"]);
  assert.deepEqual(made.listen(toneSamples(0.1)), [], "nothing is sent between two presses");
});

test("a press that is too short for a commit is forgotten", () => {
  const made = conductor("manual");
  made.startTalking();
  made.listen(toneSamples(0.04));
  assert.deepEqual(short(made.stopTalking()), ["input_audio_buffer.clear"]);
  made.startTalking();
  assert.deepEqual(made.stopTalking(), []);
});

test("calls are answered, and then one response is asked for", () => {
  const made = conductor();
  made.hear({ type: "response.created", response: { id: "r" } }, null);
  for (const id of ["1", "2"]) {
    const item = { type: "function_call", status: "completed", name: "set_memory", call_id: id, arguments: "{}" };
    assert.deepEqual(short(made.hear({ type: "response.output_item.done", item }, null)), ["call"]);
  }
  assert.deepEqual(short(made.answerCall("1", "x")), ["conversation.item.create"]);
  assert.deepEqual(short(made.answerCall("2", "y")), ["conversation.item.create"]);
  assert.deepEqual(short(made.hear({ type: "response.done", response: { id: "r", status: "completed" } }, null)), ["response.create"]);
});

test("a call that was cut short is not made", () => {
  const item = { type: "function_call", status: "incomplete", name: "set_memory", call_id: "1", arguments: "{" };
  assert.deepEqual(conductor().hear({ type: "response.output_item.done", item }, null), []);
});

test("a request that waited is void when a voice has ended the response", () => {
  const made = conductor();
  speak(made, "a", 1);
  assert.deepEqual(short(made.say("More")), ["conversation.item.create"]);
  assert.deepEqual(done(made, "a", { status: "cancelled", status_details: { reason: "turn_detected" } }), []);
});

test("when the service was faster, the request is made after its response", () => {
  const made = conductor();
  const [, request] = made.say("Hi");
  assert.ok(request.do === "send");
  made.hear({ type: "response.created", response: { id: "resp_x" } }, null);
  const refused = made.say("And?");
  assert.deepEqual(short(refused), ["conversation.item.create"]);
  const other = conductor();
  const [, mine] = other.say("Hi");
  assert.ok(mine.do === "send");
  other.hear({ type: "error", error: { code: "conversation_already_has_active_response", event_id: mine.event.event_id } }, null);
  other.hear({ type: "response.created", response: { id: "resp_y" } }, null);
  assert.deepEqual(short(other.hear({ type: "response.done", response: { id: "resp_y", status: "completed" } }, null)), ["response.create"]);
});

test("whoever presses the button just when a response has ended is not told of it", () => {
  const made = conductor("manual");
  speak(made, "a", 2);
  const [, cancel] = made.interrupted({ part: "a", played: RATE }, true);
  assert.ok(cancel?.do === "send");
  const error = { code: "response_cancel_not_active", event_id: cancel.event.event_id };
  assert.ok(isRace(error));
  assert.ok(!isRace({ ...error, code: "item_truncate_invalid_item_id" }));
  assert.ok(!isRace({ ...error, event_id: "evt_page_7" }), "that was written by hand");
  assert.ok(!isRace({ code: error.code }));
});

test("a response beside the conversation holds up nothing", () => {
  const made = conductor();
  made.hear({ type: "response.created", response: { id: "aside", conversation_id: null } }, null);
  assert.deepEqual(short(made.say("Hi")), ["conversation.item.create", "response.create"]);
});

test("the mode changes while connected, and the audio that was begun is sent off", () => {
  const made = conductor("manual");
  made.startTalking();
  made.listen(toneSamples(0.5));
  assert.deepEqual(short(made.switchTo("server_vad")), ["input_audio_buffer.commit", "response.create", "session.update"]);
  assert.equal(made.listens, true);
  const [update] = made.switchTo("manual");
  assert.equal(update.do === "send" && update.event.session.audio.input.turn_detection, null);
  assert.deepEqual(made.switchTo("manual"), []);
});

test("a yes lets the service call, and a no asks it to go on", () => {
  assert.deepEqual(short(conductor().decide("r", true)), ["conversation.item.create"]);
  assert.deepEqual(short(conductor().decide("r", false)), ["conversation.item.create", "response.create"]);
  const made = conductor();
  assert.deepEqual(short(made.hear({ type: "conversation.item.done", item: { type: "mcp_call", output: "x" } }, null)), ["response.create"]);
});

test("an image is sent before the words about it", () => {
  const [create] = conductor().say("What is this?", "data:image/png;base64,AA");
  assert.ok(create.do === "send");
  assert.deepEqual(create.event.item.content.map((/** @type {any} */ part) => part.type), ["input_image", "input_text"]);
});

test("the tools remember and show, and tell the model what is wrong", () => {
  let changes = 0;
  const tools = new Tools(() => (changes += 1));
  assert.equal(tools.call("set_memory", '{"key": "colour", "value": "blue"}'), '{"ok":true}');
  assert.equal(tools.memory.get("colour"), "blue");
  assert.match(tools.call("show_place", '{"place": "sao paulo"}'), /"shown":"São Paulo"/);
  assert.match(tools.call("show_place", '{"place": "Here", "latitude": 10, "longitude": -20}'), /"longitude":-20/);
  assert.equal(tools.place?.name, "Here");
  assert.match(tools.call("show_place", '{"place": "Atlantis"}'), /error.*not on the map/);
  assert.match(tools.call("show_place", '{"place": "X", "latitude": 100, "longitude": 0}'), /error.*coordinates/);
  assert.match(tools.call("set_memory", "{"), /error/);
  assert.match(tools.call("fly", "{}"), /there is no tool fly/);
  assert.equal(changes, 3);
});
