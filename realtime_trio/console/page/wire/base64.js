// Base64 text and the bytes it stands for.

const STEP = 0x8000; // what `String.fromCharCode` takes at once in every browser

/**
 * @param {string} text
 * @returns {Uint8Array} empty if the text is not base64
 */
export function bytesOf(text) {
  let binary;
  try {
    binary = atob(text);
  } catch {
    return new Uint8Array(0);
  }
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function base64Of(bytes) {
  let binary = "";
  for (let i = 0; i < bytes.length; i += STEP) {
    binary += String.fromCharCode(...bytes.subarray(i, i + STEP));
  }
  return btoa(binary);
}
