// The microphone of the browser: 24 kHz PCM16 in pieces of 40 ms.

const WORKLET = new URL("./capture.worklet.js", import.meta.url);

/** What browsers say, in words for people. @type {Record<string, string>} */
const PROBLEMS = {
  NotAllowedError: "the browser does not allow it",
  NotFoundError: "there is none",
  NotReadableError: "another program has it, or it does not work",
};

export class Microphone {
  /**
   * @param {object} told
   * @param {(samples: Int16Array) => void} told.onSamples
   * @param {() => void} told.onLost  the device is gone; nothing more comes
   */
  constructor({ onSamples, onLost }) {
    this._onSamples = onSamples;
    this._onLost = onLost;
    /** @type {MediaStream | null} */
    this._stream = null;
    /** @type {AudioContext | null} */
    this._context = null;
    this._isClosed = false;
  }

  /**
   * Ask for the microphone and listen.
   *
   * People take their time to answer the browser.  If it was closed meanwhile, it is let go at once.
   * @throws {Error} There is none, or it may not be used; the message says so to a user.
   */
  async open() {
    try {
      await this._open();
    } catch (error) {
      await this.close();
      throw new Error(problemOf(error), { cause: error });
    }
  }

  async _open() {
    // Browsers hide it from pages that came over the network without encryption.
    if (navigator.mediaDevices === undefined) throw new Error("browsers give it only to https, and to pages of this machine");
    this._stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    if (this._isClosed) return this.close();
    for (const track of this._stream.getTracks()) track.addEventListener("ended", () => this._lose(), { once: true });
    // At the device's own rate: Firefox connects no microphone to a context of another one.
    const context = new AudioContext();
    this._context = context;
    await context.audioWorklet.addModule(WORKLET.href);
    if (this._isClosed) return this.close();
    const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    node.port.onmessage = (message) => this._onSamples(message.data);
    context.createMediaStreamSource(this._stream).connect(node);
    void context.resume();
  }

  _lose() {
    if (this._isClosed) return;
    void this.close();
    this._onLost();
  }

  /** Let go of the microphone, so that the browser no longer shows it as being used. */
  async close() {
    this._isClosed = true;
    for (const track of this._stream?.getTracks() ?? []) track.stop();
    const context = this._context;
    this._stream = null;
    this._context = null;
    await context?.close();
  }
}

/** @param {unknown} error */
function problemOf(error) {
  if (error instanceof DOMException && error.name in PROBLEMS) return PROBLEMS[error.name];
  return error instanceof Error ? error.message : String(error);
}
