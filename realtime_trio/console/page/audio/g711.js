// G.711, the sound of telephones, as PCM: what a session may use in place of `audio/pcm`.

const LAW_RATE_FACTOR = 3; // 8 kHz to the 24 kHz of the page

/** @param {number} code */
function fromMuLaw(code) {
  const inverted = ~code & 0xff;
  const magnitude = (((inverted & 0x0f) << 3) + 0x84) << ((inverted >> 4) & 7);
  return inverted & 0x80 ? 0x84 - magnitude : magnitude - 0x84;
}

/** @param {number} code */
function fromALaw(code) {
  const toggled = code ^ 0x55;
  const segment = (toggled >> 4) & 7;
  const mantissa = ((toggled & 0x0f) << 4) + 8;
  const magnitude = segment === 0 ? mantissa : (mantissa + 0x100) << (segment - 1);
  return toggled & 0x80 ? magnitude : -magnitude;
}

/**
 * Bytes of G.711 at 8 kHz as samples at 24 kHz, joined by straight lines: good enough to look at and
 * to listen to a telephone.
 * @param {Uint8Array} bytes
 * @param {"audio/pcmu" | "audio/pcma"} law
 * @returns {Int16Array}
 */
export function fromG711(bytes, law) {
  const decode = law === "audio/pcmu" ? fromMuLaw : fromALaw;
  const samples = new Int16Array(bytes.length * LAW_RATE_FACTOR);
  for (let i = 0; i < bytes.length; i += 1) {
    const here = decode(bytes[i]);
    const there = i + 1 < bytes.length ? decode(bytes[i + 1]) : here;
    for (let step = 0; step < LAW_RATE_FACTOR; step += 1) {
      samples[i * LAW_RATE_FACTOR + step] = here + ((there - here) * step) / LAW_RATE_FACTOR;
    }
  }
  return samples;
}
