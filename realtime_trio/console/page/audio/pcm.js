// PCM16 at 24 kHz and the other forms that audio takes.

/** Samples a second of everything that the page keeps, sends and plays. */
export const RATE = 24_000;

/**
 * Little-endian bytes as samples; half a sample at the end is left out.
 * @param {Uint8Array} bytes
 * @returns {Int16Array}
 */
export function samplesOf(bytes) {
  const even = bytes.length & ~1;
  if (bytes.byteOffset % 2 === 0) return new Int16Array(bytes.buffer, bytes.byteOffset, even / 2);
  return new Int16Array(bytes.slice(0, even).buffer);
}

/**
 * The bytes of these samples, and only of these.
 * @param {Int16Array} samples
 * @returns {Uint8Array}
 */
export function pcmBytes(samples) {
  return new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
}

/**
 * From -1..1 to 16 bits; what is louder is cut off.
 * @param {Float32Array} floats
 * @returns {Int16Array}
 */
export function toPcm(floats) {
  const samples = new Int16Array(floats.length);
  for (let i = 0; i < floats.length; i += 1) {
    const value = Math.max(-1, Math.min(1, floats[i]));
    samples[i] = value < 0 ? value * 0x8000 : value * 0x7fff;
  }
  return samples;
}

/**
 * @param {Int16Array} samples
 * @returns {Float32Array<ArrayBuffer>}
 */
export function toFloats(samples) {
  const floats = new Float32Array(samples.length);
  for (let i = 0; i < samples.length; i += 1) floats[i] = samples[i] / 0x8000;
  return floats;
}

/**
 * @param {Int16Array[]} pieces
 * @returns {Int16Array}
 */
export function joined(pieces) {
  const all = new Int16Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/**
 * Two voices from two places: one more from the left, the other more from the right.
 * @param {Int16Array} left
 * @param {Int16Array} right
 * @returns {[Int16Array, Int16Array]}
 */
export function beside(left, right) {
  const mixed = (/** @type {Int16Array} */ near, /** @type {Int16Array} */ far) =>
    near.map((sample, i) => Math.max(-0x8000, Math.min(0x7fff, 0.8 * sample + 0.4 * far[i])));
  return [mixed(left, right), mixed(right, left)];
}
