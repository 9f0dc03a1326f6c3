// The audio of one side: where its pieces lie on the time axis and in the stream that the service counts.
//
// Theory of operation.  Two clocks run here.  The service counts the samples of a stream from its
// beginning (`audio_start_ms`), whatever time passes between them; the page draws everything at the
// time at which it happened.  A piece has both: `start`, in seconds of the session, and `from`, in
// samples of the stream.  Pieces never overlap: one that comes early waits for the one before it.
//
// To be drawn at any zoom, the loudest sample of every 10 ms is kept, and the loudest of every 16 of
// those, so that an hour is a few thousand numbers.

import { RATE } from "../audio/pcm.js";

/** @typedef {{start: number, from: number, samples: Int16Array, item: string | null}} Piece */

const BUCKETS_PER_SECOND = 100;
const BUCKET = RATE / BUCKETS_PER_SECOND;
const COARSE = 16;
const MOST_SAMPLES = 3600 * RATE; // that are kept, or a few more: an hour; it is drawn longer than that
const SLACK = 1024; // pieces that are let go at once, since moving an array costs its length
const LONGEST = 6 * 3600; // seconds on the axis; beyond it nothing is drawn

export class Track {
  /** @param {number} [mostSamples] */
  constructor(mostSamples = MOST_SAMPLES) {
    this._mostSamples = mostSamples;
    /** @type {Piece[]} */
    this.pieces = [];
    /** Samples in the stream so far. */
    this.samples = 0;
    /** Seconds at which the last piece ends. */
    this.end = 0;
    this._fine = new Uint8Array(BUCKETS_PER_SECOND * 60);
    this._coarse = new Uint8Array(this._fine.length / COARSE + 1);
  }

  /**
   * @param {Int16Array} samples
   * @param {number} earliest  seconds before which it did not sound
   * @param {string | null} [item]
   */
  add(samples, earliest, item = null) {
    if (samples.length === 0) return;
    const start = Math.max(this.end, earliest, 0);
    this.pieces.push({ start, from: this.samples, samples, item });
    this.samples += samples.length;
    if (this.pieces.length > SLACK && this.samples - this.pieces[SLACK].from > this._mostSamples) this.pieces.splice(0, SLACK);
    this.end = start + samples.length / RATE;
    this._mark(start, samples);
  }

  /**
   * Forget what would have sounded from a moment on, since it was interrupted.
   * @param {number} moment
   */
  cut(moment) {
    if (moment >= this.end) return;
    for (let last = this.pieces.at(-1); last !== undefined; last = this.pieces.at(-1)) {
      if (last.start + last.samples.length / RATE <= moment) break;
      this.pieces.pop();
      const kept = Math.floor((moment - last.start) * RATE);
      this.samples = last.from + Math.max(0, kept);
      if (kept > 0) this.pieces.push({ ...last, samples: last.samples.subarray(0, kept) });
    }
    const from = Math.ceil(moment * BUCKETS_PER_SECOND);
    this._fine.fill(0, from);
    const coarse = Math.floor(from / COARSE);
    this._coarse.fill(0, coarse);
    this._coarse[coarse] = Math.max(...this._fine.subarray(coarse * COARSE, from), 0);
    this.end = moment;
  }

  /**
   * When a sample of the stream sounded, in seconds.
   * @param {number} sample
   * @returns {number}
   */
  timeOf(sample) {
    const piece = this.pieces[this._find((candidate) => candidate.from <= sample)];
    if (piece === undefined) return 0;
    return piece.start + Math.min(sample - piece.from, piece.samples.length) / RATE;
  }

  /**
   * Samples of the stream; those that are not there are left out.
   * @param {number} from
   * @param {number} to
   * @returns {Int16Array[]}
   */
  slice(from, to) {
    /** @type {Int16Array[]} */
    const found = [];
    for (let i = Math.max(0, this._find((piece) => piece.from <= from)); i < this.pieces.length; i += 1) {
      const piece = this.pieces[i];
      if (piece.from >= to) break;
      const part = piece.samples.subarray(Math.max(0, from - piece.from), Math.max(0, to - piece.from));
      if (part.length > 0) found.push(part);
    }
    return found;
  }

  /**
   * What sounds in a span of time, silence included.
   * @param {number} from  seconds
   * @param {number} seconds
   * @returns {Int16Array}
   */
  between(from, seconds) {
    const result = new Int16Array(Math.max(0, Math.round(seconds * RATE)));
    for (let i = Math.max(0, this._find((piece) => piece.start <= from)); i < this.pieces.length; i += 1) {
      const piece = this.pieces[i];
      const offset = Math.round((piece.start - from) * RATE);
      if (offset >= result.length) break;
      const part = piece.samples.subarray(Math.max(0, -offset), result.length - offset);
      result.set(part, Math.max(0, offset));
    }
    return result;
  }

  /**
   * The loudest sample in a span of time, from 0 to 1.
   * @param {number} from  seconds
   * @param {number} to
   */
  peak(from, to) {
    const first = Math.max(0, Math.floor(from * BUCKETS_PER_SECOND));
    const last = Math.max(first + 1, Math.ceil(to * BUCKETS_PER_SECOND));
    const isCoarse = last - first > 4 * COARSE;
    const peaks = isCoarse ? this._coarse : this._fine;
    const scale = isCoarse ? COARSE : 1;
    let loudest = 0;
    const end = Math.min(peaks.length, Math.ceil(last / scale));
    for (let i = Math.floor(first / scale); i < end; i += 1) loudest = Math.max(loudest, peaks[i]);
    return loudest / 255;
  }

  /**
   * @param {number} start
   * @param {Int16Array} samples
   */
  _mark(start, samples) {
    if (this.end > LONGEST) return;
    this._grow(Math.ceil(this.end * BUCKETS_PER_SECOND) + 1);
    const offset = start * RATE;
    for (let i = 0; i < samples.length; ) {
      const bucket = Math.floor((offset + i) / BUCKET);
      const end = Math.min(samples.length, Math.max(i + 1, Math.ceil((bucket + 1) * BUCKET - offset)));
      let loudest = 0;
      for (; i < end; i += 1) loudest = Math.max(loudest, Math.abs(samples[i]));
      const level = Math.min(255, Math.ceil(loudest / 128));
      this._fine[bucket] = Math.max(this._fine[bucket], level);
      const coarse = Math.floor(bucket / COARSE);
      this._coarse[coarse] = Math.max(this._coarse[coarse], level);
    }
  }

  /** @param {number} buckets */
  _grow(buckets) {
    if (buckets <= this._fine.length) return;
    const fine = new Uint8Array(2 * buckets);
    fine.set(this._fine);
    this._fine = fine;
    const coarse = new Uint8Array(Math.ceil(fine.length / COARSE) + 1);
    coarse.set(this._coarse);
    this._coarse = coarse;
  }

  /**
   * The last piece of which this holds; it holds of all before that one. -1 if there is none.
   * @param {(piece: Piece) => boolean} holds
   */
  _find(holds) {
    let low = 0;
    let high = this.pieces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (holds(this.pieces[middle])) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
