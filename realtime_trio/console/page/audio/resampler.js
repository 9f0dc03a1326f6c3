// From one sampling rate to another, piece by piece, as if it had been one piece.
//
// Theory of operation.  The ideal filter between two rates is a sinc, cut off by a window.  For every
// sample that comes out, the samples around that moment are weighed with it.  The weights for a
// number of phases between two samples are computed once; between two phases lies a line.  When the new rate is the lower one,
// the sinc is as much wider, so that nothing above half of it comes through as something else.

const ZERO_CROSSINGS = 16; // on each side: more than 80 dB down, with a Kaiser window of 8.6
const PHASES = 256; // between two samples: the lines between them are straight to 16 bits
const KAISER = 8.6;

export class Resampler {
  /**
   * @param {number} from  samples a second that go in
   * @param {number} to  samples a second that come out
   */
  constructor(from, to) {
    this._step = from / to;
    const scale = Math.min(1, to / from);
    /** How many samples on each side count. */
    this._reach = Math.ceil(ZERO_CROSSINGS / scale);
    this._weights = weightsOf(scale, this._reach);
    this._past = new Float32Array(this._reach); // silence before the first sample
    this._at = 0; // moment of the next sample that comes out, in samples behind `_past`
  }

  /**
   * @param {Float32Array} input
   * @returns {Float32Array} what can be said so far: the end waits for what follows it
   */
  process(input) {
    const reach = this._reach;
    const all = new Float32Array(this._past.length + input.length);
    all.set(this._past);
    all.set(input, this._past.length);
    /** @type {number[]} */
    const output = [];
    let at = this._at;
    for (; at + 2 * reach < all.length; at += this._step) {
      const whole = Math.floor(at);
      const phase = Math.floor((at - whole) * PHASES);
      const [before, after] = [this._weights[phase], this._weights[phase + 1]];
      let early = 0;
      let late = 0;
      for (let i = 0; i < before.length; i += 1) {
        early += before[i] * all[whole + 1 + i];
        late += after[i] * all[whole + 1 + i];
      }
      output.push(early + (late - early) * ((at - whole) * PHASES - phase));
    }
    const used = Math.min(Math.floor(at), all.length);
    this._past = all.slice(used);
    this._at = at - used;
    return Float32Array.from(output);
  }
}

/**
 * The weights of the samples around a moment, for every phase between two samples.
 * @param {number} scale  at most 1: the rate that comes out by that which goes in
 * @param {number} reach
 */
function weightsOf(scale, reach) {
  return Array.from({ length: PHASES + 1 }, (_, phase) => {
    const moment = reach - 1 + phase / PHASES;
    const weights = new Float32Array(2 * reach);
    let sum = 0;
    for (let i = 0; i < weights.length; i += 1) {
      weights[i] = sinc((i - moment) * scale) * kaiser((i - moment) / reach);
      sum += weights[i];
    }
    // What does not move comes out as it is, in every phase.
    for (let i = 0; i < weights.length; i += 1) weights[i] /= sum;
    return weights;
  });
}

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** @param {number} x  from -1 to 1; outside of it is nothing */
function kaiser(x) {
  return Math.abs(x) > 1 ? 0 : bessel(KAISER * Math.sqrt(1 - x * x)) / bessel(KAISER);
}

/** The modified Bessel function of order 0.
 * @param {number} x */
function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-9; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
