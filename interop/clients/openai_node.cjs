// The npm package openai, by its documentation: `new OpenAIRealtimeWS({ model })`.  See strangers.py for arguments and output.
"use strict";

const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { OpenAIRealtimeWS } = require("openai/realtime/ws");

const PCM = { type: "audio/pcm", rate: 24000 };
const WEATHER = {
  type: "function",
  name: "get_weather",
  description: "The weather in a city.",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

const say = (line) => console.log(JSON.stringify(line));

/** A client that tells what it sees, and lets one wait for events. */
function connect(target) {
  const client = new OpenAIRealtimeWS(target);
  let audio = [];
  client.on("response.output_audio.delta", (event) => audio.push(Buffer.from(event.delta, "base64")));
  client.on("response.output_text.done", (event) => say({ answer: event.text }));
  client.on("response.output_audio_transcript.done", (event) => say({ answer: event.transcript }));
  client.on("response.done", ({ response }) => {
    say({ status: response.status });
    if (response.status_details) say({ reason: response.status_details.reason });
    if (audio.length) say({ audio: createHash("sha256").update(Buffer.concat(audio)).digest("hex") });
    audio = [];
  });
  client.on("conversation.item.input_audio_transcription.completed", (event) => say({ heard: event.transcript }));
  client.on("conversation.item.truncated", (event) => say({ truncated: event.audio_end_ms }));
  client.on("input_audio_buffer.speech_started", (event) => say({ interrupted: event.item_id }));
  client.on("error", (error) => {
    if (error.error) say({ error: error.error.code ?? null, event_id: error.error.event_id ?? null });
    else say({ failure: error.message });
  });
  client.socket.on("close", (code, reason) => say({ closed: `${code} ${reason}` }));
  return client;
}

const opened = (client) => new Promise((resolve) => client.socket.on("open", resolve));
const closed = (client) => new Promise((resolve) => client.socket.on("close", resolve));
/** The event of this type that comes as the count-th from now on. */
const comes = (client, type, count = 1) =>
  new Promise((resolve) => {
    client.on(type, (event) => {
      count -= 1;
      if (count === 0) resolve(event);
    });
  });

function sendText(client, text) {
  client.send({ type: "conversation.item.create", item: { type: "message", role: "user", content: [{ type: "input_text", text }] } });
  client.send({ type: "response.create" });
}

function sendAudio(client, file) {
  const pcm = readFileSync(file);
  for (let start = 0; start < pcm.length; start += 4800) {
    client.send({ type: "input_audio_buffer.append", audio: pcm.subarray(start, start + 4800).toString("base64") });
  }
}

async function textTurn(client) {
  client.send({ type: "session.update", session: { type: "realtime", output_modalities: ["text"] } });
  const done = comes(client, "response.done");
  sendText(client, "Good morning!");
  await done;
}

const scenarios = {
  text_turn: textTurn,

  async audio_turn(client, file) {
    const input = { format: PCM, turn_detection: null, transcription: { model: "gpt-4o-mini-transcribe" } };
    client.send({ type: "session.update", session: { type: "realtime", audio: { input } } });
    const done = comes(client, "response.done");
    sendAudio(client, file);
    client.send({ type: "input_audio_buffer.commit" });
    client.send({ type: "response.create" });
    await done;
  },

  async tool_call(client) {
    client.send({
      type: "session.update",
      session: { type: "realtime", output_modalities: ["text"], tools: [WEATHER], tool_choice: "auto" },
    });
    const called = comes(client, "response.done");
    sendText(client, "What is the weather in Paris?");
    for (const item of (await called).response.output) {
      if (item.type !== "function_call") continue;
      const parameters = JSON.parse(item.arguments);
      say({ tool: parameters });
      const output = { type: "function_call_output", call_id: item.call_id, output: `Sunny in ${parameters.city}` };
      client.send({ type: "conversation.item.create", item: output });
    }
    const done = comes(client, "response.done");
    client.send({ type: "response.create" });
    await done;
  },

  async barge_in(client, file) {
    const turn_detection = { type: "server_vad", create_response: true, interrupt_response: true };
    client.send({ type: "session.update", session: { type: "realtime", audio: { input: { turn_detection } } } });
    const done = comes(client, "response.done", 2);
    const speaking = comes(client, "response.output_audio.delta");
    sendAudio(client, file);
    await speaking;
    sendAudio(client, file);
    await done;
  },

  async cancel_and_truncate(client) {
    const speaking = comes(client, "response.output_audio.delta", 3);
    sendText(client, "Tell me a long story.");
    const { item_id, content_index } = await speaking;
    const truncated = comes(client, "conversation.item.truncated");
    client.send({ type: "response.cancel" });
    client.send({ type: "conversation.item.truncate", item_id, content_index, audio_end_ms: 40 });
    await truncated;
    const done = comes(client, "response.done");
    sendText(client, "Go on.");
    await done;
  },

  async refused_events(client) {
    client.send({ type: "conversation.item.delete", item_id: "item_nobody", event_id: "event_delete" });
    client.send({ type: "conversation.item.truncate", item_id: "item_nobody", content_index: 0, audio_end_ms: 0 });
    client.send({ type: "response.cancel", event_id: "event_cancel" });
    await textTurn(client);
  },

  async transcription_session(client, file) {
    const input = { format: PCM, turn_detection: null, transcription: { model: "gpt-4o-transcribe" } };
    client.send({ type: "session.update", session: { type: "transcription", audio: { input } } });
    const heard = comes(client, "conversation.item.input_audio_transcription.completed");
    sendAudio(client, file);
    client.send({ type: "input_audio_buffer.commit" });
    await heard;
  },
};

async function main(scenario, ...rest) {
  if (scenario === "wrong_key") {
    await closed(connect({ model: "gpt-realtime" }));
    return;
  }
  const client = connect(scenario === "transcription_session" ? { intent: "transcription" } : { model: "gpt-realtime" });
  await opened(client);
  await scenarios[scenario](client, ...rest);
  client.close();
  await closed(client);
}

main(...process.argv.slice(2));
