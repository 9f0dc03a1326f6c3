// The speaker of the browser: plays what it is given in order, and knows to the sample what was heard.

import { RATE, toFloats } from "./pcm.js";

const WORKLET = new URL("./player.worklet.js", import.meta.url);

/** @typedef {{part: string | null, played: number}} Heard  What was playing, and how many samples. */

export class Speaker {
  /**
   * @param {object} [told]
   * @param {(part: string, latency: number) => void} [told.onBegan]  the first sample of a part
   *   left the page; it is heard `latency` seconds later
   * @param {(part: string, played: number) => void} [told.onEnded]
   */
  constructor({ onBegan = () => {}, onEnded = () => {} } = {}) {
    this._onBegan = onBegan;
    this._onEnded = onEnded;
    /** @type {AudioContext | null} */
    this._context = null;
    /** @type {AudioWorkletNode | null} */
    this._node = null;
    /** @type {Map<number, (heard: Heard) => void>} */
    this._stops = new Map();
    this._lastStop = 0;
    this._isClosed = false;
    /** What is playing. @type {string | null} */
    this.part = null;
    /** How many samples of it were played, as far as is known. */
    this.played = 0;
  }

  /**
   * Must follow a click or a key: browsers keep pages silent until then.  If it is closed meanwhile, it
   * stays silent.
   */
  async open() {
    // Everything is 24 kHz, so a sample of the context is a sample of the item.
    const context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    this._context = context;
    await context.audioWorklet.addModule(WORKLET.href);
    if (this._isClosed) return;
    this._node = new AudioWorkletNode(context, "player", { numberOfInputs: 0 });
    this._node.port.onmessage = (message) => this._hear(message.data);
    this._node.connect(context.destination);
    // Not waited for: where nothing can be played it never happens, and one can still read and write.
    void context.resume();
  }

  /** @param {any} told */
  _hear(told) {
    switch (told.kind) {
      case "began":
        this.part = told.part;
        this.played = 0;
        this._onBegan(told.part, this._context?.outputLatency ?? 0);
        break;
      case "at":
        this.played = told.played;
        break;
      case "ended":
        this.played = told.played;
        this._onEnded(told.part, told.played);
        break;
      case "stopped":
        this._stops.get(told.id)?.({ part: told.part, played: told.played });
        this._stops.delete(told.id);
        break;
    }
  }

  /**
   * Play samples after everything that waits.
   * @param {string} part  what they belong to
   * @param {Int16Array} samples
   */
  play(part, samples) {
    const floats = toFloats(samples);
    this._node?.port.postMessage({ kind: "play", part, samples: floats }, [floats.buffer]);
  }

  /**
   * Stop, and forget what waits.
   *
   * What has left the page cannot be called back, and will be heard.  So it counts as heard.
   * @returns {Promise<Heard>} what was playing; part is null if nothing was
   */
  stop() {
    const node = this._node;
    if (node === null) return Promise.resolve({ part: null, played: 0 });
    this.part = null;
    this._lastStop += 1;
    const id = this._lastStop;
    return new Promise((resolve) => {
      this._stops.set(id, resolve);
      node.port.postMessage({ kind: "stop", id });
    });
  }

  async close() {
    this._isClosed = true;
    const context = this._context;
    this._context = null;
    this._node = null;
    this.part = null;
    for (const resolve of this._stops.values()) resolve({ part: null, played: 0 });
    this._stops.clear();
    await context?.close();
  }
}
