// The microphone of the browser: 24 kHz PCM16 in pieces of 40 ms.

const WORKLET = new URL("./capture.worklet.js", import.meta.url);

export class Microphone {
  /** @param {(samples: Int16Array) => void} onSamples */
  constructor(onSamples) {
    this._onSamples = onSamples;
    /** @type {MediaStream | null} */
    this._stream = null;
    /** @type {AudioContext | null} */
    this._context = null;
  }

  get isOpen() {
    return this._context !== null;
  }

  /**
   * Ask for the microphone and listen.
   * @throws {DOMException} There is none, or it may not be used.
   */
  async open() {
    this._stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    // At the device's own rate: Firefox connects no microphone to a context of another one.
    this._context = new AudioContext();
    await this._context.audioWorklet.addModule(WORKLET.href);
    const node = new AudioWorkletNode(this._context, "capture", { numberOfOutputs: 0 });
    node.port.onmessage = (message) => this._onSamples(message.data);
    this._context.createMediaStreamSource(this._stream).connect(node);
    await this._context.resume();
  }

  /** Let go of the microphone, so that the browser no longer shows it as being used. */
  async close() {
    for (const track of this._stream?.getTracks() ?? []) track.stop();
    const context = this._context;
    this._stream = null;
    this._context = null;
    await context?.close();
  }
}
