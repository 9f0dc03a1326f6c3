// The microphone, on the thread of the audio: 24 kHz PCM16 goes out in pieces of 40 ms.

import { RATE, toPcm } from "./pcm.js";
import { Resampler } from "./resampler.js";

const PIECE = RATE / 25;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this._resampler = sampleRate === RATE ? null : new Resampler(sampleRate, RATE);
    this._piece = new Float32Array(PIECE);
    this._filled = 0;
  }

  /**
   * @param {Float32Array[][]} inputs
   */
  process(inputs) {
    const channels = inputs[0];
    if (channels === undefined || channels.length === 0) return true; // nothing is connected yet
    const mono = mixed(channels);
    const heard = this._resampler === null ? mono : this._resampler.process(mono);
    for (const sample of heard) {
      this._piece[this._filled] = sample;
      this._filled += 1;
      if (this._filled === PIECE) {
        const samples = toPcm(this._piece);
        this.port.postMessage(samples, [samples.buffer]);
        this._filled = 0;
      }
    }
    return true;
  }
}

/** @param {Float32Array[]} channels */
function mixed(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
}

registerProcessor("capture", Capture);
