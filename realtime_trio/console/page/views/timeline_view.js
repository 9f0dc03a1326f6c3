// The timeline: where one is in the session, how one gets elsewhere, and what was to be heard there.

import { ICONS, h, icon, setText, show } from "./dom.js";
import { clock } from "./time.js";
import { drawTimeline } from "./timeline_draw.js";

/** @typedef {import("../state/desk.js").Desk} Desk */
/** @typedef {import("./timeline_draw.js").Colors} Colors */

const SHORTEST = 0.25; // seconds that can be seen at least
const LIVE = 30; // seconds that are seen while the session goes on, where there is room for them
const NARROWEST = 24; // pixels of a second then
const DRAG = 4; // pixels that make a click a drag

export class TimelineView {
  /**
   * @param {HTMLElement} root
   * @param {Desk} desk
   * @param {object} acts
   * @param {() => number} acts.now  seconds; what is now, while a session is open
   * @param {() => boolean} acts.isLive
   * @param {(moment: number) => void} acts.listen  from this moment
   * @param {() => void} acts.stop
   * @param {() => boolean} acts.isListening
   * @param {() => void} acts.redraw
   */
  constructor(root, desk, acts) {
    this._desk = desk;
    this._acts = acts;
    this._from = 0;
    this._to = LIVE;
    /** Whether the end stays in sight. */
    this._follows = true;
    this._session = desk.session;
    /** @type {Colors | null} */
    this._colors = null;
    /** Where a drag began, and what was seen then. @type {{x: number, from: number, isDrag: boolean} | null} */
    this._drag = null;
    this._canvas = h("canvas", {
      tabindex: "0",
      role: "slider",
      "aria-label": "Moment of the session. Arrow keys move, plus and minus zoom, Enter listens.",
      "aria-valuemin": "0",
    });
    this._listen = h("button", { type: "button", class: "toggle", onclick: () => this._toggleListen() }, icon(ICONS.play), h("span", {}, "Listen"));
    this._where = h("span", { class: "where" });
    this._now = h("button", { type: "button", class: "toggle now", onclick: () => this.toNow() }, "Back to now");
    root.append(this._makeHead(), this._makeBody());
    this._listenToHands();
    const forget = () => {
      this._colors = null;
      acts.redraw();
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", forget);
    new ResizeObserver(forget).observe(this._canvas);
  }

  _makeHead() {
    const tool = (/** @type {string} */ name, /** @type {string} */ picture, /** @type {() => void} */ onclick) =>
      h("button", { type: "button", class: "toggle", "aria-label": name, title: name, onclick }, icon(picture));
    return h(
      "div",
      { class: "section-head" },
      h("h2", {}, "Timeline"),
      this._where,
      this._now,
      h(
        "div",
        { class: "timeline-tools" },
        this._listen,
        tool("Zoom out", ICONS.minus, () => this._zoom(2)),
        tool("Zoom in", ICONS.plus, () => this._zoom(0.5)),
        tool("Show everything", ICONS.fit, () => this.fit()),
      ),
    );
  }

  _makeBody() {
    return h(
      "div",
      { class: "timeline-body" },
      h(
        "div",
        { class: "timeline-names", "aria-hidden": "true" },
        h("span", { class: "name-you" }, "You"),
        h("span", { class: "name-doing" }, "Responses", h("br"), "Tools"),
        h("span", { class: "name-model" }, "Assistant"),
      ),
      this._canvas,
    );
  }

  _listenToHands() {
    const canvas = this._canvas;
    canvas.addEventListener("pointerdown", (event) => this._press(event));
    canvas.addEventListener("pointermove", (event) => this._move(event));
    canvas.addEventListener("pointerup", (event) => this._release(event));
    canvas.addEventListener("pointercancel", () => (this._drag = null));
    canvas.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this._key(event));
  }

  // --- what is seen -------------------------------------------------------------------------------

  get _end() {
    const { timeline } = this._desk;
    return this._acts.isLive() ? Math.max(timeline.end, this._acts.now()) : timeline.end;
  }

  /** Show the whole session. */
  fit() {
    this._from = 0;
    this._to = Math.max(1, this._end * 1.02);
    this._follows = this._acts.isLive();
    this._acts.redraw();
  }

  toNow() {
    this._acts.stop();
    this._desk.goTo(null);
    this._follows = true;
    this._acts.redraw();
  }

  /**
   * @param {number} factor  above 1 shows more
   * @param {number} [around]  seconds that stay where they are
   */
  _zoom(factor, around = this._desk.moment ?? (this._follows ? this._to : (this._from + this._to) / 2)) {
    const span = this._to - this._from;
    const wanted = Math.max(SHORTEST, Math.min(Math.max(LIVE, this._end * 1.1), span * factor));
    const share = (around - this._from) / span;
    this._from = Math.max(0, around - share * wanted);
    this._to = this._from + wanted;
    this._acts.redraw();
  }

  /** @param {number} seconds */
  _pan(seconds) {
    const span = this._to - this._from;
    this._from = Math.max(0, Math.min(this._from + seconds, Math.max(0, this._end - span / 4)));
    this._to = this._from + span;
    this._follows = this._to >= this._end && this._acts.isLive();
    this._acts.redraw();
  }

  /** @param {number} moment */
  _reveal(moment) {
    const span = this._to - this._from;
    if (moment >= this._from && moment <= this._to - span * 0.02) return;
    this._from = Math.max(0, moment - span * (moment < this._from ? 0.5 : 0.15));
    this._to = this._from + span;
  }

  // --- hands --------------------------------------------------------------------------------------

  /** @param {MouseEvent} event */
  _timeAt(event) {
    const box = this._canvas.getBoundingClientRect();
    return this._from + ((event.clientX - box.left) / box.width) * (this._to - this._from);
  }

  /** @param {PointerEvent} event */
  _press(event) {
    this._drag = { x: event.clientX, from: this._from, isDrag: false };
    this._canvas.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  _move(event) {
    if (this._drag === null) return;
    const moved = event.clientX - this._drag.x;
    if (Math.abs(moved) < DRAG && !this._drag.isDrag) return;
    this._drag.isDrag = true;
    const perPixel = (this._to - this._from) / this._canvas.clientWidth;
    this._pan(this._drag.from - moved * perPixel - this._from);
  }

  /** @param {PointerEvent} event */
  _release(event) {
    const drag = this._drag;
    this._drag = null;
    if (drag === null || drag.isDrag || this._desk.ring.size === 0) return;
    this.listenFrom(this._timeAt(event));
  }

  /** @param {WheelEvent} event */
  _wheel(event) {
    event.preventDefault();
    const perPixel = (this._to - this._from) / this._canvas.clientWidth;
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) this._pan((event.deltaX || event.deltaY) * perPixel);
    else this._zoom(1.0025 ** event.deltaY, this._timeAt(event));
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const step = (this._to - this._from) / (event.shiftKey ? 5 : 50);
    const moment = this._desk.moment ?? this._end;
    switch (event.key) {
      case "ArrowLeft":
        this.goTo(moment - step);
        break;
      case "ArrowRight":
        this.goTo(moment + step);
        break;
      case "Home":
        this.goTo(0);
        break;
      case "End":
        this.toNow();
        break;
      case "+":
      case "=":
        this._zoom(0.5);
        break;
      case "-":
        this._zoom(2);
        break;
      case "Enter":
        this._toggleListen();
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  // --- moments ------------------------------------------------------------------------------------

  /** @param {number} moment */
  goTo(moment) {
    this._acts.stop();
    const end = this._end;
    this._desk.goTo(Math.max(0, Math.min(moment, end)));
    this._follows = false;
    this._reveal(Math.max(0, Math.min(moment, end)));
    this._acts.redraw();
  }

  /** @param {number} moment */
  listenFrom(moment) {
    this.goTo(moment);
    this._acts.listen(this._desk.moment ?? 0);
  }

  _toggleListen() {
    if (this._acts.isListening()) this._acts.stop();
    else this.listenFrom(this._desk.moment ?? 0);
  }

  // --- drawing ------------------------------------------------------------------------------------

  render() {
    if (this._session !== this._desk.session) {
      this._session = this._desk.session;
      this._from = 0;
      this._to = LIVE;
      this._follows = true;
    }
    if (this._from === 0 && this._to === LIVE) this._to = Math.min(LIVE, Math.max(LIVE / 3, this._canvas.clientWidth / NARROWEST));
    const { moment } = this._desk;
    const end = this._end;
    show(this._now, moment !== null);
    setText(this._now, this._acts.isLive() ? "Back to now" : "To the end");
    setText(this._where, `${clock(moment ?? end)}${moment === null ? "" : ` of ${clock(end)}`}`);
    this._canvas.setAttribute("aria-valuemax", end.toFixed(2));
    this._canvas.setAttribute("aria-valuenow", (moment ?? end).toFixed(2));
    this._canvas.setAttribute("aria-valuetext", `${clock(moment ?? end)} of ${clock(end)}`);
    const isListening = this._acts.isListening();
    if (isListening !== (this._listen.dataset.on === "true")) {
      this._listen.dataset.on = String(isListening);
      this._listen.replaceChildren(icon(isListening ? ICONS.stop : ICONS.play), h("span", {}, isListening ? "Stop" : "Listen"));
    }
    if (moment !== null && isListening) this._reveal(moment);
    if (this._follows && moment === null) {
      const span = this._to - this._from;
      this._to = Math.max(span, end + span * 0.04);
      this._from = this._to - span;
    }
    this._draw();
  }

  _draw() {
    const { clientWidth: width, clientHeight: height } = this._canvas;
    const scale = devicePixelRatio;
    if (width === 0 || height === 0) return;
    if (this._canvas.width !== Math.round(width * scale) || this._canvas.height !== Math.round(height * scale)) {
      this._canvas.width = Math.round(width * scale);
      this._canvas.height = Math.round(height * scale);
    }
    const context = /** @type {CanvasRenderingContext2D} */ (this._canvas.getContext("2d"));
    context.setTransform(scale, 0, 0, scale, 0, 0);
    this._colors ??= colorsOf(this._canvas);
    const head = this._desk.moment ?? (this._acts.isLive() ? this._end : null);
    drawTimeline(context, this._desk.timeline, { from: this._from, to: this._to, width, height, head }, this._colors);
  }
}

/**
 * The colours of the style sheet, which knows whether it is light or dark.
 * @param {Element} element
 * @returns {Colors}
 */
function colorsOf(element) {
  const style = getComputedStyle(element);
  const value = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: value("ink"),
    muted: value("muted"),
    line: value("line"),
    card: value("card"),
    you: value("you"),
    youSoft: value("you-soft"),
    model: value("model"),
    modelSoft: value("model-soft"),
    tool: value("tool"),
    toolSoft: value("tool-soft"),
    bad: value("bad"),
  };
}
