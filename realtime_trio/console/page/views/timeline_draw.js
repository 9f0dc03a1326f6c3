// The timeline as a picture: lanes from top to bottom, time from left to right.

/** @typedef {import("../state/timeline.js").Timeline} Timeline */
/** @typedef {import("../state/timeline.js").Span} Span */
/** @typedef {import("../state/track.js").Track} Track */

/**
 * @typedef {object} Sight  What part of the time is seen.
 * @property {number} from  seconds
 * @property {number} to
 * @property {number} width  pixels
 * @property {number} height
 * @property {number | null} head  seconds at which the line stands; null for none
 */

/** @typedef {Record<"ink" | "muted" | "line" | "card" | "you" | "youSoft" | "model" | "modelSoft" | "tool" | "toolSoft" | "bad", string>} Colors */

const RULER = 20; // pixels
const NARROWEST = 6; // pixels of a span that is over in no time
const FONT = "11px system-ui, sans-serif";
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

/**
 * Where the lanes are, in pixels from the top.
 * @param {number} height
 */
export function lanesOf(height) {
  const rest = height - RULER;
  const voice = rest * 0.36;
  return {
    you: { top: RULER, height: voice },
    doing: { top: RULER + voice, height: rest - 2 * voice },
    model: { top: height - voice, height: voice },
  };
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Timeline} timeline
 * @param {Sight} sight
 * @param {Colors} colors
 */
export function drawTimeline(context, timeline, sight, colors) {
  const lanes = lanesOf(sight.height);
  const x = (/** @type {number} */ time) => ((time - sight.from) / (sight.to - sight.from)) * sight.width;
  context.clearRect(0, 0, sight.width, sight.height);
  context.font = FONT;
  context.textBaseline = "middle";
  drawRuler(context, sight, colors, x);
  for (const span of seen(timeline.speech, sight)) {
    const end = span.end ?? timeline.end;
    context.fillStyle = colors.youSoft;
    context.fillRect(x(span.start), lanes.you.top + 2, Math.max(NARROWEST, x(end) - x(span.start)), lanes.you.height - 4);
  }
  drawVoice(context, timeline.you, sight, lanes.you, colors.you);
  drawVoice(context, timeline.model, sight, lanes.model, colors.model);
  const half = lanes.doing.height / 2;
  drawSpans(context, seen(timeline.responses, sight), timeline.end, { top: lanes.doing.top + 1, height: half - 3 }, x, sight, (span) => ({
    fill: colors.modelSoft,
    edge: span.state === "completed" || span.state === "in_progress" ? colors.model : colors.bad,
    ink: colors.ink,
  }));
  drawSpans(context, seen(timeline.tools, sight), timeline.end, { top: lanes.doing.top + half + 1, height: half - 3 }, x, sight, (span) => ({
    fill: colors.toolSoft,
    edge: span.state === "failed" ? colors.bad : colors.tool,
    ink: colors.ink,
  }));
  for (const point of timeline.points) {
    if (point.at >= sight.from && point.at <= sight.to) drawPoint(context, point, x(point.at), lanes, sight, colors);
  }
  if (sight.head !== null) drawHead(context, x(sight.head), sight.height, colors);
}

/**
 * @param {Span[]} spans
 * @param {Sight} sight
 */
function seen(spans, sight) {
  return spans.filter((span) => span.start <= sight.to && (span.end ?? Infinity) >= sight.from);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Sight} sight
 * @param {Colors} colors
 * @param {(time: number) => number} x
 */
function drawRuler(context, sight, colors, x) {
  const perPixel = (sight.to - sight.from) / sight.width;
  const step = STEPS.find((candidate) => candidate / perPixel >= 70) ?? 7200;
  context.strokeStyle = colors.line;
  context.lineWidth = 1;
  context.fillStyle = colors.muted;
  context.textAlign = "left";
  for (let i = Math.ceil(sight.from / step); i * step <= sight.to; i += 1) {
    const at = Math.round(x(i * step)) + 0.5;
    context.beginPath();
    context.moveTo(at, 0);
    context.lineTo(at, sight.height);
    context.stroke();
    context.fillText(rulerText(i * step, step), at + 4, RULER / 2);
  }
}

/**
 * @param {number} seconds
 * @param {number} step
 */
function rulerText(seconds, step) {
  const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  if (seconds < 60) return `${seconds.toFixed(digits)} s`;
  const rest = (seconds % 60).toFixed(digits).padStart(digits === 0 ? 2 : digits + 3, "0");
  return `${Math.floor(seconds / 60)}:${rest}`;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Track} track
 * @param {Sight} sight
 * @param {{top: number, height: number}} lane
 * @param {string} color
 */
function drawVoice(context, track, sight, lane, color) {
  const middle = lane.top + lane.height / 2;
  const reach = lane.height / 2 - 3;
  const perPixel = (sight.to - sight.from) / sight.width;
  context.fillStyle = color;
  context.globalAlpha = 0.35;
  context.fillRect(0, middle - 0.5, sight.width, 1);
  context.globalAlpha = 1;
  // Bars of two pixels with one between them, which stand in time: so they do not flicker when the
  // time moves on.
  const bar = 3 * perPixel;
  const first = Math.floor(sight.from / bar);
  const last = Math.ceil(Math.min(sight.to, track.end) / bar);
  for (let i = first; i < last; i += 1) {
    const peak = track.peak(i * bar, (i + 1) * bar);
    if (peak < 0.004) continue;
    const size = Math.max(1, Math.sqrt(peak) * reach);
    context.fillRect((i * bar - sight.from) / perPixel, middle - size, 2, 2 * size);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Span[]} spans  in the order in which they began
 * @param {number} now
 * @param {{top: number, height: number}} place
 * @param {(time: number) => number} x
 * @param {Sight} sight
 * @param {(span: Span) => {fill: string, edge: string, ink: string}} colorsOf
 */
function drawSpans(context, spans, now, place, x, sight, colorsOf) {
  for (const [index, span] of spans.entries()) {
    const next = spans[index + 1];
    drawSpan(context, span, now, place, x, next === undefined ? sight.width : x(next.start), colorsOf(span));
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Span} span
 * @param {number} now
 * @param {{top: number, height: number}} place
 * @param {(time: number) => number} x
 * @param {number} limit  pixels at which the next one begins
 * @param {{fill: string, edge: string, ink: string}} colors
 */
function drawSpan(context, span, now, place, x, limit, colors) {
  // On whole pixels, so that the edges are sharp.
  const left = Math.round(x(span.start));
  const width = Math.max(NARROWEST, Math.round(x(span.end ?? now)) - left);
  context.fillStyle = colors.fill;
  context.strokeStyle = colors.edge;
  context.lineWidth = 1;
  context.beginPath();
  context.roundRect(left + 0.5, Math.round(place.top) + 0.5, width, Math.round(place.height), 3);
  context.fill();
  context.stroke();
  if (place.height < 10) return;
  const words = span.state === "in_progress" || span.state === "completed" ? span.label : `${span.state} · ${span.label}`;
  context.fillStyle = colors.ink;
  context.textAlign = "left";
  // In it, or behind it where there is more room.
  const inside = Math.max(left, 0) + 6;
  const behind = left + width + 5;
  const room = left + width - 4 - inside;
  const isIn = context.measureText(words).width <= room || room >= limit - 4 - behind;
  context.fillText(fitted(context, words, isIn ? room : limit - 4 - behind), isIn ? inside : behind, place.top + place.height / 2 + 0.5);
}

/**
 * As much of a text as there is room for; nothing if that is next to nothing.
 * @param {CanvasRenderingContext2D} context
 * @param {string} words
 * @param {number} room  in pixels
 */
function fitted(context, words, room) {
  const width = context.measureText(words).width;
  if (width <= room) return words;
  const count = Math.floor((words.length * room) / width) - 3;
  return count < 4 ? "" : `${words.slice(0, count).trimEnd()}…`;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {import("../state/timeline.js").Point} point
 * @param {number} at
 * @param {ReturnType<typeof lanesOf>} lanes
 * @param {Sight} sight
 * @param {Colors} colors
 */
function drawPoint(context, point, at, lanes, sight, colors) {
  if (point.kind === "commit") {
    context.fillStyle = colors.you;
    context.fillRect(at - 0.5, lanes.you.top, 1, lanes.you.height);
    return;
  }
  context.strokeStyle = colors.bad;
  context.fillStyle = colors.bad;
  context.lineWidth = 1.5;
  context.setLineDash([4, 3]);
  context.beginPath();
  context.moveTo(at, RULER);
  context.lineTo(at, sight.height);
  context.stroke();
  context.setLineDash([]);
  context.beginPath();
  if (point.kind === "interruption") {
    // Two small bars, as where something was cut.
    context.rect(at - 4, lanes.model.top - 4, 3, 9);
    context.rect(at + 1, lanes.model.top - 4, 3, 9);
  } else {
    context.moveTo(at, lanes.doing.top + 2);
    context.lineTo(at + 5, lanes.doing.top + 11);
    context.lineTo(at - 5, lanes.doing.top + 11);
  }
  context.fill();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} at
 * @param {number} height
 * @param {Colors} colors
 */
function drawHead(context, at, height, colors) {
  context.fillStyle = colors.ink;
  context.fillRect(at - 0.75, 0, 1.5, height);
  context.beginPath();
  context.moveTo(at - 5, 0);
  context.lineTo(at + 5, 0);
  context.lineTo(at, 7);
  context.fill();
}
