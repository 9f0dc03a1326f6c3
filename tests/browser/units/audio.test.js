import assert from "node:assert/strict";
import { test } from "node:test";

import { fromG711 } from "../../../realtime_trio/console/page/audio/g711.js";
import { RATE, joined, pcmBytes, samplesOf, toFloats, toPcm } from "../../../realtime_trio/console/page/audio/pcm.js";
import { Resampler } from "../../../realtime_trio/console/page/audio/resampler.js";
import { bands } from "../../../realtime_trio/console/page/audio/spectrum.js";
import { toneSamples } from "./telling.js";

/**
 * @param {number} rate
 * @param {number} frequency
 * @param {number} seconds
 */
function wave(rate, frequency, seconds) {
  return Float32Array.from({ length: rate * seconds }, (_, i) => 0.5 * Math.sin((2 * Math.PI * frequency * i) / rate));
}

/**
 * How strong a frequency is in samples, as an amplitude.
 * @param {Float32Array} samples
 * @param {number} frequency
 */
function strength(samples, frequency) {
  let re = 0;
  let im = 0;
  for (let i = 0; i < samples.length; i += 1) {
    re += samples[i] * Math.cos((2 * Math.PI * frequency * i) / RATE);
    im += samples[i] * Math.sin((2 * Math.PI * frequency * i) / RATE);
  }
  return (2 * Math.hypot(re, im)) / samples.length;
}

/**
 * @param {Resampler} resampler
 * @param {Float32Array} input
 * @param {number} piece
 */
function resampled(resampler, input, piece) {
  const output = [];
  for (let i = 0; i < input.length; i += piece) output.push(...resampler.process(input.subarray(i, i + piece)));
  return Float32Array.from(output);
}

test("floats become PCM as the reference does it, and what is too loud is cut off", () => {
  assert.deepEqual([...toPcm(Float32Array.of(1, -1, 0.5, -0.5, 2, -2, Number.NaN))], [32767, -32768, 16383, -16384, 32767, -32768, 0]);
});

test("PCM goes through floats and bytes unchanged", () => {
  const samples = toneSamples(0.01);
  assert.deepEqual(samplesOf(pcmBytes(samples)), samples);
  assert.ok(Math.abs(toFloats(Int16Array.of(-16384))[0] + 0.5) < 1e-6);
});

test("only the bytes of a view are its bytes, and they may begin anywhere", () => {
  const part = toneSamples(0.01).subarray(3, 13);
  assert.equal(pcmBytes(part).length, 20);
  const odd = new Uint8Array([9, ...pcmBytes(part)]).subarray(1);
  assert.deepEqual([...samplesOf(odd)], [...part]);
});

test("pieces are joined in order", () => {
  assert.deepEqual([...joined([Int16Array.of(1, 2), Int16Array.of(), Int16Array.of(3)])], [1, 2, 3]);
});

for (const rate of [48_000, 44_100, 16_000, 8_000]) {
  test(`a tone at ${rate} Hz is the same tone at 24 kHz`, () => {
    const output = resampled(new Resampler(rate, RATE), wave(rate, 1000, 1), 128);
    assert.ok(Math.abs(output.length - RATE) < RATE * 0.02, `${output.length} samples`);
    const middle = output.subarray(2400, 2400 + 19_200);
    assert.ok(Math.abs(strength(middle, 1000) - 0.5) < 0.005);
  });
}

test("what 24 kHz cannot say is not said as something else", () => {
  const output = resampled(new Resampler(48_000, RATE), wave(48_000, 18_000, 1), 128);
  const middle = output.subarray(2400, 2400 + 19_200);
  assert.ok(strength(middle, 6000) < 0.0005);
});

test("pieces of any size give the same samples, to 16 bits", () => {
  const input = wave(44_100, 440, 0.2);
  const whole = resampled(new Resampler(44_100, RATE), input, input.length);
  const pieces = resampled(new Resampler(44_100, RATE), input, 97);
  assert.equal(pieces.length, whole.length);
  for (let i = 0; i < whole.length; i += 1) assert.ok(Math.abs(pieces[i] - whole[i]) < 1 / 0x8000);
});

test("G.711 is decoded by its tables", () => {
  // From the tables of G.711: the loudest, the quietest, and one between them.
  assert.deepEqual([0x80, 0x00, 0xff, 0x7f, 0xd5].map((code) => fromG711(Uint8Array.of(code), "audio/pcmu")[0]), [32124, -32124, 0, 0, 716]);
  assert.deepEqual([0xaa, 0x2a, 0xd5, 0x55].map((code) => fromG711(Uint8Array.of(code), "audio/pcma")[0]), [32256, -32256, 8, -8]);
});

test("8 kHz is three samples at 24 kHz, joined by lines", () => {
  const samples = fromG711(Uint8Array.of(0xff, 0x80), "audio/pcmu");
  assert.deepEqual([...samples], [0, 10708, 21416, 32124, 32124, 32124]);
});

test("the bars of a tone stand where it is, and silence has none", () => {
  assert.ok(bands(new Int16Array(2048), 14).every((level) => level === 0));
  const levels = bands(Int16Array.from(wave(RATE, 1000, 0.1), (value) => value * 0x7fff), 14);
  const loudest = levels.indexOf(Math.max(...levels));
  assert.ok(levels[loudest] > 0.8);
  assert.ok(Math.abs(90 * (6000 / 90) ** ((loudest + 0.5) / 14) - 1000) < 250);
});

test("too few samples are silence before them", () => {
  assert.equal(bands(new Int16Array(10), 4).length, 4);
});
