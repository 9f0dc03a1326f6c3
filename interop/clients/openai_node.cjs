// The npm package openai, by its documentation: `new OpenAIRealtimeWS({ model })`.
// See strangers.py for arguments and output.
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
const sha256 = (chunks) => createHash("sha256").update(Buffer.concat(chunks)).digest("hex");

/** A client that tells what it sees, and lets one wait for events. */
function connect(target) {
  const client = new OpenAIRealtimeWS(target);
  let audio = [];
  client.on("response.output_audio.delta", ({ delta }) => audio.push(Buffer.from(delta, "base64")));
  client.on("response.output_text.done", (event) => say({ answer: event.text }));
  client.on("response.output_audio_transcript.done", (event) => say({ answer: event.transcript }));
  client.on("response.done", ({ response }) => {
    say({ status: response.status });
    if (response.status_details) say({ reason: response.status_details.reason });
    if (audio.length) say({ audio: sha256(audio) });
    audio = [];
  });
  client.on("conversation.item.input_audio_transcription.completed", (event) => {
    say({ heard: event.transcript });
  });
  client.on("conversation.item.truncated", (event) => say({ truncated: event.audio_end_ms }));
  client.on("input_audio_buffer.speech_started", (event) => say({ interrupted: event.item_id }));
  client.on("error", ({ error, message }) => {
    if (error) say({ error: error.code ?? null, event_id: error.event_id ?? null });
    else say({ failure: message });
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

function configure(client, session) {
  client.send({ type: "session.update", session: { type: "realtime", ...session } });
}

function sendText(client, text) {
  const item = { type: "message", role: "user", content: [{ type: "input_text", text }] };
  client.send({ type: "conversation.item.create", item });
  client.send({ type: "response.create" });
}

function sendAudio(client, file) {
  const pcm = readFileSync(file);
  for (let start = 0; start < pcm.length; start += 4800) {
    const audio = pcm.subarray(start, start + 4800).toString("base64");
    client.send({ type: "input_audio_buffer.append", audio });
  }
}

async function textTurn(client) {
  configure(client, { output_modalities: ["text"] });
  const done = comes(client, "response.done");
  sendText(client, "Good morning!");
  await done;
}

const scenarios = {
  text_turn: textTurn,

  async audio_turn(client, file) {
    const transcription = { model: "gpt-4o-mini-transcribe" };
    configure(client, { audio: { input: { format: PCM, turn_detection: null, transcription } } });
    const done = comes(client, "response.done");
    sendAudio(client, file);
    client.send({ type: "input_audio_buffer.commit" });
    client.send({ type: "response.create" });
    await done;
  },

  async tool_call(client) {
    configure(client, { output_modalities: ["text"], tools: [WEATHER], tool_choice: "auto" });
    const called = comes(client, "response.done");
    sendText(client, "What is the weather in Paris?");
    for (const item of (await called).response.output) {
      if (item.type !== "function_call") continue;
      const parameters = JSON.parse(item.arguments);
      say({ tool: parameters });
      const output = `Sunny in ${parameters.city}`;
      const answer = { type: "function_call_output", call_id: item.call_id, output };
      client.send({ type: "conversation.item.create", item: answer });
    }
    const done = comes(client, "response.done");
    client.send({ type: "response.create" });
    await done;
  },

  async barge_in(client, file) {
    const turn_detection = { type: "server_vad", create_response: true, interrupt_response: true };
    configure(client, { audio: { input: { turn_detection } } });
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
    const item_id = "item_nobody";
    client.send({ type: "conversation.item.delete", item_id, event_id: "event_delete" });
    const cut = { content_index: 0, audio_end_ms: 0 };
    client.send({ type: "conversation.item.truncate", item_id, ...cut });
    client.send({ type: "response.cancel", event_id: "event_cancel" });
    await textTurn(client);
  },

  async transcription_session(client, file) {
    const transcription = { model: "gpt-4o-transcribe" };
    const audio = { input: { format: PCM, turn_detection: null, transcription } };
    client.send({ type: "session.update", session: { type: "transcription", audio } });
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
  const transcribes = scenario === "transcription_session";
  const client = connect(transcribes ? { intent: "transcription" } : { model: "gpt-realtime" });
  await opened(client);
  await scenarios[scenario](client, ...rest);
  client.close();
  await closed(client);
}

main(...process.argv.slice(2));
