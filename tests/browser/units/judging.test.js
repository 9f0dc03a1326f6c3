import assert from "node:assert/strict";
import { test } from "node:test";

import { marksOf } from "../../../realtime_trio/console/page/sources/judging.js";
import { readRecording } from "../../../realtime_trio/console/page/wire/recording.js";

const MARK = { rule: "a_rule", explanation: "this is wrong" };
const HEADER = '{"version":1,"kind":"realtime","model":"m"}\n';
const LINES = '{"time":0,"source":"client","event":{"type":"input_audio_buffer.append","audio":"AAAA"}}\n{"time":1,"source":"server","event":"nonsense"}\n';

/** @param {object} [answer] */
function program(answer = { problem: null, marks: { 1: [MARK] } }) {
  /** @type {Record<string, unknown>[]} */
  const asked = [];
  const ask = async (/** @type {Record<string, unknown>} */ question) => {
    asked.push(question);
    return answer;
  };
  return { isOpen: true, asked, ask };
}

test("the program is sent what was recorded, without the audio, and says what is wrong", async () => {
  const behind = program();
  const { marks, problem } = await marksOf(readRecording(HEADER + LINES), behind);
  assert.deepEqual([marks, problem], [[{ seq: 1, marks: [MARK] }], null]);
  const records = [{ side: "client", event: { type: "input_audio_buffer.append", audio: "" } }, { side: "server", text: "nonsense" }];
  assert.deepEqual(behind.asked, [{ kind: "judge", session: "realtime", dialect: "ga", records }]);
});

test("the dialect of a recording is told", async () => {
  const behind = program();
  await marksOf(readRecording(`${HEADER}{"time":0,"source":"server","dialect":"beta","event":{"type":"x"}}\n{"time":1,"source":"server","event":{"type":"x"}}\n`), behind);
  assert.equal(behind.asked[0].dialect, "beta");
});

test("a recording with gaps, one that is too long, and one without a program are not judged", async () => {
  const recording = readRecording(HEADER + LINES);
  const [record] = recording.records;
  const long = { ...record, text: "x".repeat(33 * 2 ** 20) };
  /** @type {[import("../../../realtime_trio/console/page/wire/recording.js").Recording, ReturnType<typeof program>, string][]} */
  const cases = [
    [{ ...recording, missed: 3 }, program(), "records are missing in it"],
    [recording, { ...program(), isOpen: false }, "no program is behind the page"],
    [{ ...recording, records: Array(50_001).fill(record) }, program(), "it is too long"],
    [{ ...recording, records: [long] }, program(), "it is too long"],
    [recording, program({ problem: "it cannot" }), "it cannot"],
  ];
  for (const [given, behind, why] of cases) {
    assert.deepEqual(await marksOf(given, behind), { marks: [], problem: why });
  }
});
