// Moments and spans of time in words.

/**
 * Seconds to 10 ms, with minutes where there are some: `1:02.34`.
 * @param {number} seconds
 */
export function clock(seconds) {
  const hundredths = Math.max(0, Math.round(seconds * 100));
  const rest = `${String(Math.floor(hundredths / 100) % 60)}.${String(hundredths % 100).padStart(2, "0")}`;
  const minutes = Math.floor(hundredths / 6000);
  return minutes === 0 ? rest : `${minutes}:${rest.padStart(5, "0")}`;
}

/**
 * A length of time: `480 ms`, `2.3 s`, `1 min 5 s`.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}
