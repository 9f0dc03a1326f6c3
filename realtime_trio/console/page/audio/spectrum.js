// How loud a voice is in a few bands, for its bars.

import { RATE } from "./pcm.js";

const SIZE = 1024; // 43 ms at 24 kHz
const LOWEST = 90; // Hz: below a man's voice
const HIGHEST = 6000; // Hz: above that a voice only hisses
const QUIETEST = -62; // dB of a band that shows nothing
const LOUDEST = -18; // dB of a band that shows everything

// Of every angle that the transform needs: half a circle.
const COS = Float32Array.from({ length: SIZE / 2 }, (_, i) => Math.cos((-2 * Math.PI * i) / SIZE));
const SIN = Float32Array.from({ length: SIZE / 2 }, (_, i) => Math.sin((-2 * Math.PI * i) / SIZE));
const window_ = Float32Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));

/** How many samples `bands` looks at. */
export const SPECTRUM_SAMPLES = SIZE;

/**
 * The loudness of so many bands, equally wide to the ear, from 0 to 1.
 * @param {Int16Array} samples  the last of them count; too few are silence before them
 * @param {number} count
 * @returns {Float32Array}
 */
export function bands(samples, count) {
  const real = new Float32Array(SIZE);
  const imaginary = new Float32Array(SIZE);
  const offset = samples.length - SIZE;
  for (let i = Math.max(0, -offset); i < SIZE; i += 1) {
    real[i] = (samples[offset + i] / 0x8000) * window_[i];
  }
  transform(real, imaginary);
  const result = new Float32Array(count);
  const ratio = HIGHEST / LOWEST;
  for (let band = 0; band < count; band += 1) {
    const from = Math.floor((LOWEST * ratio ** (band / count) * SIZE) / RATE);
    const to = Math.max(from + 1, Math.floor((LOWEST * ratio ** ((band + 1) / count) * SIZE) / RATE));
    let loudest = 0;
    for (let bin = from; bin < to; bin += 1) loudest = Math.max(loudest, Math.hypot(real[bin], imaginary[bin]));
    const decibels = 20 * Math.log10((loudest * 4) / SIZE + 1e-9);
    result[band] = Math.max(0, Math.min(1, (decibels - QUIETEST) / (LOUDEST - QUIETEST)));
  }
  return result;
}

/**
 * The fast Fourier transform of `SIZE` numbers, in place.
 * @param {Float32Array} real
 * @param {Float32Array} imaginary
 */
function transform(real, imaginary) {
  for (let i = 1, j = 0; i < SIZE; i += 1) {
    let bit = SIZE >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let span = 2; span <= SIZE; span *= 2) {
    const step = SIZE / span;
    for (let start = 0; start < SIZE; start += span) {
      for (let k = 0; k < span / 2; k += 1) {
        const cos = COS[k * step];
        const sin = SIN[k * step];
        const low = start + k;
        const high = low + span / 2;
        const re = real[high] * cos - imaginary[high] * sin;
        const im = real[high] * sin + imaginary[high] * cos;
        real[high] = real[low] - re;
        imaginary[high] = imaginary[low] - im;
        real[low] += re;
        imaginary[low] += im;
      }
    }
  }
}
