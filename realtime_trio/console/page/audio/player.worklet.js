// What is played, on the thread of the audio, which therefore knows to the sample what was heard.
//
// It is told {kind: "play", part, samples} and {kind: "stop", id}, and tells
//   {kind: "began", part}                       the first sample of a part was played
//   {kind: "at", part, played}                  how many of its samples were played, 25 times a second
//   {kind: "ended", part, played}               all there was of it was played, for now
//   {kind: "stopped", id, part, played}         the queue is gone; `part` is null if nothing was playing
// A part is any text that names what is played.

const REPORT = sampleRate / 25;

/** @typedef {{part: string, samples: Float32Array, from: number}} Chunk */

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    /** @type {Chunk[]} */
    this._queue = [];
    /** @type {Map<string, number>} */
    this._played = new Map();
    /** @type {string | null} */
    this._part = null;
    this._unreported = 0;
    this.port.onmessage = (message) => this._hear(message.data);
  }

  /** @param {any} told */
  _hear(told) {
    if (told.kind === "play") {
      this._queue.push({ part: told.part, samples: told.samples, from: 0 });
    } else {
      // A part that waits for more samples still counts as the one that is heard.
      const part = this._part;
      const played = part === null ? 0 : this._played.get(part) ?? 0;
      this._queue = [];
      this._part = null;
      this._played.clear();
      this.port.postMessage({ kind: "stopped", id: told.id, part, played });
    }
  }

  /**
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   */
  process(_inputs, outputs) {
    const output = outputs[0][0];
    let filled = 0;
    while (filled < output.length && this._queue.length > 0) {
      const chunk = this._queue[0];
      if (chunk.part !== this._part) this._begin(chunk.part);
      const count = Math.min(output.length - filled, chunk.samples.length - chunk.from);
      output.set(chunk.samples.subarray(chunk.from, chunk.from + count), filled);
      chunk.from += count;
      filled += count;
      this._played.set(chunk.part, (this._played.get(chunk.part) ?? 0) + count);
      if (chunk.from === chunk.samples.length) this._queue.shift();
    }
    for (const copy of outputs[0].slice(1)) copy.set(output);
    if (this._part !== null) this._report(filled, output.length);
    return true;
  }

  /** @param {string} part */
  _begin(part) {
    if (this._part !== null) this._played.delete(this._part);
    this._part = part;
    this._unreported = 0;
    this.port.postMessage({ kind: "began", part });
  }

  /**
   * @param {number} filled
   * @param {number} wanted
   */
  _report(filled, wanted) {
    const played = this._played.get(this._part ?? "") ?? 0;
    this._unreported += filled;
    const isDry = filled < wanted && this._unreported > 0;
    if (this._unreported >= REPORT || isDry) {
      this._unreported = 0;
      this.port.postMessage({ kind: isDry ? "ended" : "at", part: this._part, played });
    }
  }
}

registerProcessor("player", Player);
