// A list of any length of which only what is seen exists.
//
// Theory of operation.  Rows are equally high, but for those that are open, of which there are few.
// So the place of a row is its number times that height, and what the open ones before it have more.
// A list that is at its end stays there; one that was scrolled up stays where it is.

const OVERSCAN = 10; // rows beyond what is seen, so that scrolling finds them there
const AT_END = 24; // pixels from the end that still count as the end

/**
 * @template Row
 * @typedef {object} Rows
 * @property {() => number} count
 * @property {(index: number) => Row} at
 * @property {(row: Row) => number} key
 * @property {(row: Row) => boolean} isOpen
 * @property {(row: Row, index: number) => HTMLElement} make
 * @property {(element: HTMLElement, row: Row, index: number) => void} update
 */

/** @template Row */
export class VirtualList {
  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} space  what is as high as all rows together
   * @param {number} height  of a row that is not open, in pixels
   * @param {Rows<Row>} rows
   */
  constructor(scroller, space, height, rows) {
    this._scroller = scroller;
    this._space = space;
    this._height = height;
    this._rows = rows;
    /** @type {Map<number, HTMLElement>} */
    this._shown = new Map();
    /** What open rows have more, by key. @type {Map<number, number>} */
    this._extra = new Map();
    this._observer = new ResizeObserver((entries) => this._measure(entries));
    /** Whether the end is kept in sight. */
    this.follows = true;
    this._expected = 0;
    scroller.addEventListener("scroll", () => this._scrolled(), { passive: true });
    this._onScroll = () => {};
  }

  /** @param {() => void} listener */
  onScroll(listener) {
    this._onScroll = listener;
  }

  _scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this._scroller;
    // Not what `draw` itself has scrolled to.
    if (Math.abs(scrollTop - this._expected) > 1) this.follows = scrollHeight - clientHeight - scrollTop < AT_END;
    this._expected = scrollTop;
    this._onScroll();
  }

  /** Begin again with other rows. */
  reset() {
    for (const element of this._shown.values()) this._drop(element);
    this._shown.clear();
    this._extra.clear();
    this.follows = true;
  }

  draw() {
    const count = this._rows.count();
    const tops = this._openTops(count);
    const total = count * this._height + tops.sum;
    this._space.style.height = `${total}px`;
    const view = this._scroller.clientHeight;
    if (this.follows) {
      this._expected = Math.max(0, total - view);
      if (Math.abs(this._scroller.scrollTop - this._expected) > 1) this._scroller.scrollTop = this._expected;
      this._expected = this._scroller.scrollTop;
    }
    const top = this._scroller.scrollTop;
    const first = Math.max(0, this._indexAt(top, tops) - OVERSCAN);
    const last = Math.min(count, this._indexAt(top + view, tops) + OVERSCAN + 1);
    this._show(first, last, tops);
  }

  /**
   * @param {number} index
   */
  reveal(index) {
    const tops = this._openTops(this._rows.count());
    const top = this._topOf(index, tops);
    const { scrollTop, clientHeight } = this._scroller;
    if (top < scrollTop) this._scroller.scrollTop = top;
    else if (top + this._height > scrollTop + clientHeight) this._scroller.scrollTop = top + this._height - clientHeight;
    else return;
    this.follows = false;
    this._expected = this._scroller.scrollTop;
  }

  /**
   * @param {number} first
   * @param {number} last
   * @param {{indexes: number[], extras: number[], sum: number}} tops
   */
  _show(first, last, tops) {
    const keep = new Set();
    for (let index = first; index < last; index += 1) {
      const row = this._rows.at(index);
      const key = this._rows.key(row);
      keep.add(key);
      let element = this._shown.get(key);
      if (element === undefined) {
        element = this._rows.make(row, index);
        element.dataset.key = String(key);
        this._shown.set(key, element);
        this._space.append(element);
        this._observer.observe(element);
      }
      this._rows.update(element, row, index);
      const place = `translateY(${this._topOf(index, tops)}px)`;
      if (element.style.transform !== place) element.style.transform = place;
    }
    for (const [key, element] of this._shown) {
      if (keep.has(key)) continue;
      this._drop(element);
      this._shown.delete(key);
    }
  }

  /** @param {HTMLElement} element */
  _drop(element) {
    this._observer.unobserve(element);
    element.remove();
  }

  /** @param {ResizeObserverEntry[]} entries */
  _measure(entries) {
    let isChanged = false;
    for (const { target } of entries) {
      const element = /** @type {HTMLElement} */ (target);
      const key = Number(element.dataset.key);
      const extra = Math.max(0, element.offsetHeight - this._height);
      if (!element.isConnected || extra === (this._extra.get(key) ?? 0)) continue;
      if (extra === 0) this._extra.delete(key);
      else this._extra.set(key, extra);
      isChanged = true;
    }
    if (isChanged) this.draw();
  }

  /**
   * Where the open rows are, and how much more each of them takes.
   * @param {number} count
   */
  _openTops(count) {
    /** @type {number[]} */
    const indexes = [];
    /** @type {number[]} */
    const extras = [];
    let sum = 0;
    if (this._extra.size > 0) {
      for (let index = 0; index < count; index += 1) {
        const row = this._rows.at(index);
        if (!this._rows.isOpen(row)) continue;
        const extra = this._extra.get(this._rows.key(row)) ?? 0;
        indexes.push(index);
        extras.push(extra);
        sum += extra;
      }
    }
    return { indexes, extras, sum };
  }

  /**
   * @param {number} index
   * @param {{indexes: number[], extras: number[]}} tops
   */
  _topOf(index, { indexes, extras }) {
    let top = index * this._height;
    for (let i = 0; i < indexes.length && indexes[i] < index; i += 1) top += extras[i];
    return top;
  }

  /**
   * @param {number} top  in pixels
   * @param {{indexes: number[], extras: number[]}} tops
   */
  _indexAt(top, { indexes, extras }) {
    let left = top;
    for (let i = 0; i < indexes.length; i += 1) {
      const end = (indexes[i] + 1) * this._height + extras[i];
      if (left < indexes[i] * this._height) break;
      if (left < end) return indexes[i];
      left -= extras[i];
    }
    return Math.floor(left / this._height);
  }
}
