// @copilotkit/aimock, a mock of many services, scripted as its documentation shows:
// `aimock.cjs KEY`.  Prints the URL of its Realtime service.
"use strict";

const { LLMock } = require("@copilotkit/aimock");

const weatherIn = (city) => ({ name: "get_weather", arguments: JSON.stringify({ city }) });
const overloaded = { message: "Try again later.", type: "server_error", code: "overloaded" };
const question = { text: "What is the weather like?" };

async function main(key) {
  const mock = new LLMock({ port: 0, logLevel: "silent", chunkSize: 5, auth: { apiKeys: [key] } });
  mock.on({ toolResultContains: "Sunny" }, { content: "It is sunny there." });
  mock.onMessage("Good morning!", { content: "Good morning to you, too." });
  mock.onMessage("What is the weather in Paris?", { toolCalls: [weatherIn("Paris")] });
  const looking = { content: "Let me look.", toolCalls: [weatherIn("Rome")] };
  mock.onMessage("Look it up.", looking);
  mock.onMessage("Tell me a story.", { content: "Once upon a time. ".repeat(8) }, { latency: 25 });
  mock.onMessage("Fail, please.", { error: overloaded, status: 503 });
  mock.on({ endpoint: "realtime-transcription" }, { transcription: question });
  await mock.start();
  console.log(`${mock.url.replace(/^http/, "ws")}/v1/realtime`);
}

main(process.argv[2]);
