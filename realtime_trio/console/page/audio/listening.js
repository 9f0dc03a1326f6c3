// Listening to what is over: a stretch of the timeline, or the audio of one item.

import { RATE, toFloats } from "./pcm.js";

const AHEAD = 1.5; // seconds that are scheduled before they sound
const PIECE = 1; // seconds that are scheduled at once

/**
 * Says what sounds: two channels, left and right.
 * @callback Sound
 * @param {number} from  seconds
 * @param {number} seconds
 * @returns {[Int16Array, Int16Array]}
 */

export class Listening {
  constructor() {
    /** @type {AudioContext | null} */
    this._context = null;
    this._timer = 0;
    this._onEnd = () => {};
  }

  get isOn() {
    return this._context !== null;
  }

  /**
   * Play a stretch of time; what was playing stops.
   * @param {Sound} sound
   * @param {number} from  seconds
   * @param {number} to
   * @param {object} told
   * @param {(moment: number) => void} [told.onMoment]  many times a second
   * @param {() => void} [told.onEnd]  at the end, and when it is stopped
   */
  start(sound, from, to, { onMoment = () => {}, onEnd = () => {} }) {
    this.stop();
    const context = new AudioContext({ sampleRate: RATE });
    this._context = context;
    this._onEnd = onEnd;
    const zero = context.currentTime + 0.05;
    let next = from;
    const step = () => {
      if (this._context !== context) return;
      const moment = from + Math.max(0, context.currentTime - zero);
      for (; next < to && next < moment + AHEAD; next += PIECE) {
        schedule(context, sound(next, Math.min(PIECE, to - next)), zero + next - from);
      }
      if (moment >= to) this.stop();
      else onMoment(moment);
    };
    step();
    this._timer = window.setInterval(step, 30);
  }

  stop() {
    const context = this._context;
    if (context === null) return;
    this._context = null;
    window.clearInterval(this._timer);
    void context.close();
    this._onEnd();
  }
}

/**
 * @param {AudioContext} context
 * @param {[Int16Array, Int16Array]} channels
 * @param {number} at
 */
function schedule(context, channels, at) {
  if (channels[0].length === 0) return;
  const buffer = context.createBuffer(2, channels[0].length, RATE);
  for (const [index, channel] of channels.entries()) buffer.copyToChannel(toFloats(channel), index);
  const source = context.createBufferSource();
  source.buffer = buffer;
  source.connect(context.destination);
  source.start(at);
}
