// @openai/agents-realtime, by its documentation: a `RealtimeAgent` in a `RealtimeSession`.
// See strangers.py for arguments and output.
"use strict";

const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { dirname, join } = require("node:path");
const { RealtimeAgent, RealtimeSession, tool } = require("@openai/agents-realtime");
const { z } = require("zod");

// The package does not export the schema of its events; the file lies beside its entry.
const PACKAGE = dirname(require.resolve("@openai/agents-realtime"));
const { parseRealtimeEvent } = require(join(PACKAGE, "openaiRealtimeEvents.js"));

const say = (line) => console.log(JSON.stringify(line));
const sha256 = (chunks) => createHash("sha256").update(Buffer.concat(chunks)).digest("hex");

const getWeather = tool({
  name: "get_weather",
  description: "The weather in a city.",
  parameters: z.object({ city: z.string() }),
  async execute({ city }) {
    say({ tool: { city } });
    return `Sunny in ${city}`;
  },
});

/** A session that tells what it sees; `config` is the scenario's. */
function open(config = {}) {
  const tools = [getWeather];
  const agent = new RealtimeAgent({ name: "assistant", instructions: "Be kind.", tools });
  const options = { transport: "websocket", model: "gpt-realtime", config };
  const session = new RealtimeSession(agent, options);
  let audio = [];
  session.on("audio", (event) => audio.push(Buffer.from(event.data)));
  session.on("audio_interrupted", () => say({ interrupted: true }));
  session.on("error", ({ error }) => {
    const detail = error?.error?.error ?? error?.error ?? error;
    say({ error: detail?.code ?? null, event_id: detail?.event_id ?? null });
  });
  session.transport.on("*", (event) => {
    // The client passes on what its schema does not accept, and then ignores it: so ask the schema.
    const data = JSON.stringify(event);
    if (parseRealtimeEvent({ data }).isGeneric) say({ misfit: data.slice(0, 300) });
    if (event.type === "conversation.item.truncated") say({ truncated: event.audio_end_ms });
    if (event.type === "response.done") {
      say({ status: event.response.status });
      if (event.response.status_details) say({ reason: event.response.status_details.reason });
      if (audio.length) say({ audio: sha256(audio) });
      audio = [];
    }
  });
  session.on("agent_end", (context, who, output) => say({ answer: output }));
  session.transport.on("disconnected", () => say({ closed: true }));
  return session;
}

const wire = (session, type, count = 1) =>
  new Promise((resolve) => {
    session.transport.on("*", (event) => {
      if (event.type === type && --count === 0) resolve(event);
    });
  });
/** A history that satisfies the condition. */
const history = (session, condition) =>
  new Promise((resolve) => {
    session.on("history_updated", (items) => {
      if (condition(items)) resolve(items);
    });
  });
const spoken = (items, role) =>
  items
    .filter((item) => item.role === role)
    .flatMap((item) => item.content.map((part) => part.transcript));
const pcm = (file) => {
  const bytes = readFileSync(file);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
};
const URL = process.env.OPENAI_BASE_URL.replace(/^http/, "ws") + "/realtime";
const connect = (session, url = `${URL}?model=gpt-realtime`) =>
  session.connect({ apiKey: process.env.OPENAI_API_KEY, url });

async function textTurn(session) {
  const done = wire(session, "response.done");
  session.sendMessage("Good morning!");
  await done;
}

const WRITTEN = { outputModalities: ["text"] };
const detection = (turnDetection) => ({
  audio: { input: { turnDetection, transcription: { model: "gpt-4o-mini-transcribe" } } },
});

const scenarios = {
  text_turn: [WRITTEN, textTurn],

  audio_turn: [
    detection(null),
    async (session, file) => {
      const heard = history(session, (items) => spoken(items, "user")[0]);
      session.sendAudio(pcm(file), { commit: true });
      const done = wire(session, "response.done");
      session.transport.requestResponse();
      await done;
      say({ heard: spoken(await heard, "user")[0] });
    },
  ],

  tool_call: [
    WRITTEN,
    async (session) => {
      const done = wire(session, "response.done", 2);
      session.sendMessage("What is the weather in Paris?");
      await done;
    },
  ],

  barge_in: [
    detection({ type: "server_vad", createResponse: true, interruptResponse: true }),
    async (session, file) => {
      const done = wire(session, "response.done", 2);
      const speaking = new Promise((resolve) => session.once("audio", resolve));
      session.sendAudio(pcm(file));
      await speaking;
      session.sendAudio(pcm(file));
      await done;
    },
  ],

  cancel_and_truncate: [
    detection(null),
    async (session) => {
      const speaking = wire(session, "response.output_audio.delta", 3);
      session.sendMessage("Tell me a long story.");
      await speaking;
      const truncated = wire(session, "conversation.item.retrieved");
      session.interrupt();
      await truncated;
      const done = wire(session, "response.done");
      session.sendMessage("Go on.");
      await done;
    },
  ],

  rewritten_history: [
    WRITTEN,
    async (session) => {
      await textTurn(session);
      const content = [{ type: "input_text", text: "I am in Paris." }];
      const message = { type: "message", role: "user", status: "completed", content };
      const first = { itemId: "item_first", ...message };
      const deleted = wire(session, "conversation.item.deleted");
      const added = wire(session, "conversation.item.added");
      session.updateHistory((items) => [first, ...items.slice(1)]);
      await Promise.all([deleted, added]);
      const done = wire(session, "response.done");
      session.sendMessage("Where am I?");
      await done;
      say({ history: session.history.map((item) => item.content[0].text) });
    },
  ],

  refused_events: [
    WRITTEN,
    async (session) => {
      const send = (type, fields) => session.transport.sendEvent({ type, ...fields });
      const item_id = "item_nobody";
      send("conversation.item.delete", { item_id, event_id: "event_delete" });
      send("conversation.item.truncate", { item_id, content_index: 0, audio_end_ms: 0 });
      send("response.cancel", { event_id: "event_cancel" });
      await textTurn(session);
    },
  ],
};

async function turnedAway(url) {
  const session = open();
  const gone = new Promise((resolve) => session.transport.on("disconnected", resolve));
  try {
    await connect(session, url);
  } catch (error) {
    // The handshake was refused, which the service does not do.
    say({ failure: String(error?.message ?? error) });
    return session.close();
  }
  await gone;
}

async function main(scenario, ...rest) {
  if (scenario === "wrong_key") return turnedAway();
  if (scenario === "missing_model") return turnedAway(URL);
  const [config, play] = scenarios[scenario];
  const session = open(config);
  await connect(session);
  await play(session, ...rest);
  session.close();
}

main(...process.argv.slice(2));
