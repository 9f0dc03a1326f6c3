// When views are drawn: at once when something has happened, and no oftener than people can see.
//
// Theory of operation.  Something happens a hundred times a second, and a picture is seen for a
// sixtieth.  A view that has been drawn rests for its interval; if something happens meanwhile, it is
// drawn when that is over.  Whatever a hand does is drawn at once.  What does not fit into one frame
// is drawn in the next one, those first that have waited longest: several short frames are smoother
// than a long one.

const BUDGET = 6; // milliseconds of a frame, which lasts 16: the browser has to lay out and paint, too

/** @typedef {{draw: () => void, rest: number, last: number, isStale: boolean}} Paced */

export class Pace {
  constructor() {
    /** @type {Paced[]} */
    this._views = [];
    this._isWaiting = false;
  }

  /**
   * @param {number} rest  milliseconds from one drawing to the next
   * @param {() => void} draw
   */
  add(rest, draw) {
    this._views.push({ draw, rest, last: -Infinity, isStale: true });
  }

  /** Something has happened that any view may show. */
  stir() {
    for (const view of this._views) view.isStale = true;
    this._wait();
  }

  /** A hand has done something: nothing rests, everything is drawn. */
  hurry() {
    for (const view of this._views) view.last = -Infinity;
    this.stir();
  }

  _wait() {
    if (this._isWaiting) return;
    this._isWaiting = true;
    requestAnimationFrame((now) => this._frame(now));
  }

  /** @param {number} now */
  _frame(now) {
    this._isWaiting = false;
    const end = performance.now() + BUDGET;
    for (const view of this._views.toSorted((one, other) => one.last - other.last)) {
      if (!view.isStale || now - view.last < view.rest) continue;
      view.isStale = false;
      view.last = now;
      view.draw();
      if (performance.now() > end) break;
    }
    if (this._views.some(({ isStale }) => isStale)) this._wait();
  }
}
