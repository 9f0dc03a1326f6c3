// The log of events: filtered, searched, paused, opened, copied.

import { fits } from "../state/log.js";
import { summary } from "../state/summary.js";
import { legible, whole } from "../wire/record.js";
import { ICONS, h, icon, setText, show } from "./dom.js";
import { jsonElement } from "./json.js";
import { clock } from "./time.js";
import { VirtualList } from "./virtual_list.js";

/** @typedef {import("../state/desk.js").Desk} Desk */
/** @typedef {import("../state/log.js").Row} Row */
/** @typedef {import("../wire/record.js").WireEvent} WireEvent */

const HEIGHT = 28; // of a row, in pixels; log.css says the same
const SLICE = 6; // milliseconds of a frame for filtering, which leaves time for all else
const NAMES = { client: "client", server: "server", page: "page" };
const ARROWS = { client: "↑", server: "↓", page: "·" };

export class LogView {
  /**
   * @param {HTMLElement} root
   * @param {Desk} desk
   * @param {object} acts
   * @param {(event: WireEvent) => void} acts.edit  put an event into the editor
   * @param {() => void} acts.redraw
   * @param {(moment: number) => void} acts.goTo
   */
  constructor(root, desk, { edit, redraw, goTo }) {
    this._desk = desk;
    this._edit = edit;
    this._redraw = redraw;
    this._goTo = goTo;
    /** @type {import("../state/log.js").Filter} */
    this._filter = { side: "all", text: "", onlyMarked: false };
    /** Rows that fit the filter. @type {Row[]} */
    this._found = [];
    /** Key of the next row to look at; keys of rows follow on from each other. */
    this._next = 0;
    this._session = desk.session;
    /** Key of the first row that is not shown while the log is paused. @type {number | null} */
    this._pausedAt = null;
    /** Rows that are open, and which of their events is shown. @type {Map<number, number>} */
    this._open = new Map();
    this._active = 0; // key of the row that has the focus
    /** What records say, in lower case, so that a search need not write them twice. @type {Map<number, string>} */
    this._texts = new Map();
    this._search = this._makeSearch();
    this._side = this._makeSide();
    this._marked = toggle(ICONS.warning, "Problems", () => this._refilter({ onlyMarked: !this._filter.onlyMarked }));
    this._marked.title = "Only errors and events that break the order rules";
    this._pause = toggle(ICONS.pause, "Pause", () => this._togglePause());
    this._count = h("span", { class: "count" });
    this._space = h("div", { class: "log-space" });
    this._scroller = this._makeScroller();
    this._empty = h("p", { class: "empty" });
    this._newer = h("button", { class: "newer", type: "button", hidden: true, onclick: () => this._toEnd() }, "↓ Newest");
    root.append(
      h("div", { class: "section-head" }, h("h2", {}, "Events"), this._count),
      h("div", { class: "log-tools" }, h("label", { class: "search" }, icon(ICONS.search), this._search), this._side, this._marked, this._pause),
      h("div", { class: "log-body" }, this._scroller, this._empty, this._newer),
    );
    this._list = new VirtualList(this._scroller, this._space, HEIGHT, {
      count: () => this._found.length,
      at: (index) => this._found[index],
      key: (row) => row.key,
      isOpen: (row) => this._open.has(row.key),
      make: (row) => this._make(row),
      update: (element, row, index) => this._update(element, row, index),
    });
    this._list.onScroll(() => this._scrolled());
  }

  _makeSearch() {
    return h("input", {
      type: "search",
      placeholder: "Search events",
      "aria-label": "Search events",
      "aria-keyshortcuts": "/",
      oninput: () => this._refilter({ text: this._search.value }),
    });
  }

  _makeSide() {
    return h(
      "select",
      { "aria-label": "Side", onchange: () => this._refilter({ side: /** @type {any} */ (this._side.value) }) },
      h("option", { value: "all" }, "Both sides"),
      h("option", { value: "client" }, "↑ Client"),
      h("option", { value: "server" }, "↓ Server"),
    );
  }

  _makeScroller() {
    const onkeydown = (/** @type {KeyboardEvent} */ event) => this._key(event);
    return h("div", { class: "log-scroller", role: "listbox", tabindex: "0", "aria-label": "Events, oldest first", onkeydown }, this._space);
  }

  /** Rows must be there before a hand that scrolls sees that they are not. */
  _scrolled() {
    this._list.draw();
    show(this._newer, !this._list.follows && this._found.length > 0);
  }

  focusSearch() {
    this._search.focus();
    this._search.select();
  }

  /** Whether the rows that are there have all been looked at. */
  get isCaughtUp() {
    return this._next >= (this._pausedAt ?? this._desk.log.nextKey);
  }

  /** @param {Partial<import("../state/log.js").Filter>} change */
  _refilter(change) {
    this._filter = { ...this._filter, ...change };
    this._marked.setAttribute("aria-pressed", String(this._filter.onlyMarked));
    this._found = [];
    this._next = 0;
    this._list.reset();
    this._redraw();
  }

  _togglePause() {
    this._pausedAt = this._pausedAt === null ? this._desk.log.nextKey : null;
    this._pause.setAttribute("aria-pressed", String(this._pausedAt !== null));
    this._redraw();
  }

  _toEnd() {
    this._list.follows = true;
    this._redraw();
  }

  render() {
    if (this._session !== this._desk.session) this._restart();
    this._look();
    this._list.draw();
    const { rows } = this._desk.log;
    const total = this._desk.ring.size;
    const waiting = this._pausedAt === null ? 0 : this._desk.log.nextKey - this._pausedAt;
    const missed = this._desk.ring.missed + this._desk.ring.first;
    setText(
      this._count,
      [
        `${total.toLocaleString("en")} events`,
        this._found.length < rows.length - waiting ? `${this._found.length.toLocaleString("en")} rows found` : "",
        waiting > 0 ? `paused, ${waiting} more` : this._pausedAt === null ? "" : "paused",
        missed > 0 ? `${missed.toLocaleString("en")} missing` : "",
      ]
        .filter(Boolean)
        .join(" · "),
    );
    show(this._empty, this._found.length === 0);
    setText(this._empty, rows.length === 0 ? "What goes over the wire will be listed here." : "No event is like that.");
    show(this._newer, !this._list.follows && this._found.length > 0);
  }

  _restart() {
    this._session = this._desk.session;
    this._found = [];
    this._next = 0;
    this._pausedAt = null;
    this._pause.setAttribute("aria-pressed", "false");
    this._open.clear();
    this._texts.clear();
    this._list.reset();
  }

  /** Look at rows that are new, or at all of them after the filter has changed, for a part of a frame. */
  _look() {
    const { rows, nextKey } = this._desk.log;
    const first = rows[0]?.key ?? nextKey; // those before it were forgotten
    const gone = this._found.findIndex(({ key }) => key >= first);
    if (gone > 0) this._found.splice(0, gone);
    this._next = Math.max(this._next, first);
    const isPlain = this._filter.side === "all" && this._filter.text === "" && !this._filter.onlyMarked;
    if (!isPlain) this._lookAgain();
    this._desk.log.touched.clear();
    const end = performance.now() + SLICE;
    while (!this.isCaughtUp && performance.now() < end) {
      const row = rows[this._next - first];
      if (isPlain || fits(row, this._filter, (seq) => this._textOf(seq))) this._found.push(row);
      this._next += 1;
    }
    if (!this.isCaughtUp) this._redraw();
  }

  /** Look at rows that did not fit, and have changed since. */
  _lookAgain() {
    for (const row of this._desk.log.touched) {
      if (row.key >= this._next || !fits(row, this._filter, (seq) => this._textOf(seq))) continue;
      const place = this._found.findLastIndex(({ key }) => key <= row.key);
      if (this._found[place] !== row) this._found.splice(place + 1, 0, row);
    }
  }

  /** @param {number} seq */
  _textOf(seq) {
    let text = this._texts.get(seq);
    if (text === undefined) {
      const record = this._desk.ring.get(seq);
      text = record === undefined ? "" : (record.text ?? JSON.stringify(record.event)).toLowerCase();
      this._texts.set(seq, text);
    }
    return text;
  }

  // --- rows ---------------------------------------------------------------------------------------

  /** @param {Row} row */
  _make(row) {
    const head = h(
      "div",
      { class: "row-head", onclick: () => this._toggle(row) },
      h("span", { class: "row-time" }, clock(row.at)),
      h("span", { class: "row-arrow", title: NAMES[row.side] }, ARROWS[row.side]),
      h("span", { class: "row-type" }, row.type),
      h("span", { class: "row-count" }),
      h("span", { class: "row-mark" }),
      h("span", { class: "row-summary" }),
    );
    const isError = row.type === "error" || row.type.endsWith(".failed");
    return h("div", { class: `row row-${row.side}${isError ? " row-error" : ""}`, role: "option", id: `event-row-${row.key}` }, head);
  }

  /**
   * @param {HTMLElement} element
   * @param {Row} row
   * @param {number} index
   */
  _update(element, row, index) {
    const head = /** @type {HTMLElement} */ (element.firstChild);
    const [, , , count, mark, words] = /** @type {HTMLElement[]} */ ([...head.children]);
    setText(count, row.seqs.length > 1 ? `×${row.seqs.length}` : "");
    setText(mark, row.marks > 0 ? "⚠" : "");
    const record = this._desk.ring.get(row.seqs[row.seqs.length - 1]);
    setText(words, record === undefined ? "" : this._summaryOf(row, record));
    element.setAttribute("aria-setsize", String(this._found.length));
    element.setAttribute("aria-posinset", String(index + 1));
    const isActive = this._active === row.key;
    element.classList.toggle("row-active", isActive);
    element.setAttribute("aria-selected", String(isActive));
    const { moment } = this._desk;
    element.classList.toggle("row-later", moment !== null && row.at > moment);
    this._showDetail(element, row);
  }

  /**
   * @param {Row} row
   * @param {import("../wire/record.js").WireRecord} record
   */
  _summaryOf(row, record) {
    const last = summary(record);
    if (row.seqs.length === 1 || record.audio === null) return last;
    return `${duration10(row.until - row.at)}, ${last} each`;
  }

  /**
   * @param {HTMLElement} element
   * @param {Row} row
   */
  _showDetail(element, row) {
    const shown = this._open.get(row.key);
    const old = element.querySelector(".row-detail");
    element.classList.toggle("row-open", shown !== undefined);
    element.setAttribute("aria-expanded", String(shown !== undefined));
    if (shown === undefined) {
      old?.remove();
      return;
    }
    const index = Math.min(shown, row.seqs.length - 1);
    const seq = row.seqs[index];
    const marks = this._desk.ring.get(seq)?.marks.length ?? 0;
    const key = `${seq} ${marks} ${row.seqs.length > 1 ? row.seqs.length : 1}`;
    if (old instanceof HTMLElement && old.dataset.shows === key) return;
    const detail = this._detail(row, index);
    detail.dataset.shows = key;
    if (old === null) element.append(detail);
    else old.replaceWith(detail);
  }

  /**
   * @param {Row} row
   * @param {number} index
   */
  _detail(row, index) {
    const record = this._desk.ring.get(row.seqs[index]);
    if (record === undefined) return h("div", { class: "row-detail" }, "This event is no longer kept.");
    const step = (/** @type {number} */ to) => {
      this._open.set(row.key, Math.max(0, Math.min(row.seqs.length - 1, to)));
      this._redraw();
    };
    return h(
      "div",
      { class: "row-detail" },
      h(
        "div",
        { class: "row-acts" },
        row.seqs.length > 1 &&
          h(
            "span",
            { class: "stepper" },
            h("button", { type: "button", "aria-label": "Previous event", onclick: () => step(index - 1) }, "‹"),
            `${index + 1} of ${row.seqs.length} · ${clock(record.at)}`,
            h("button", { type: "button", "aria-label": "Next event", onclick: () => step(index + 1) }, "›"),
          ),
        h("button", { type: "button", onclick: () => void copy(JSON.stringify(whole(record), null, 2)) }, "Copy"),
        record.side === "client" && h("button", { type: "button", onclick: () => this._edit(record.event) }, "Edit and send"),
        h("button", { type: "button", onclick: () => this._goTo(record.at) }, "Go to this moment"),
      ),
      ...record.marks.map((mark) =>
        h("p", { class: "mark" }, h("strong", {}, mark.rule.replaceAll("_", " ")), ` ${mark.explanation}`),
      ),
      record.text === null ? jsonElement(legible(record)) : h("pre", { class: "json" }, record.text),
    );
  }

  /** @param {Row} row */
  _toggle(row) {
    this._active = row.key;
    if (this._open.has(row.key)) this._open.delete(row.key);
    else this._open.set(row.key, row.seqs.length - 1);
    // What one has opened stays in sight, whatever comes.
    this._list.follows = false;
    this._redraw();
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    if (event.target !== this._scroller || this._found.length === 0) return;
    const index = this._found.findIndex(({ key }) => key === this._active);
    const last = this._found.length - 1;
    const page = Math.floor(this._scroller.clientHeight / HEIGHT);
    /** @type {Record<string, number>} */
    const moves = { ArrowDown: index + 1, ArrowUp: index - 1, PageDown: index + page, PageUp: index - page, Home: 0, End: last };
    if (event.key in moves) {
      const to = Math.max(0, Math.min(last, moves[event.key]));
      this._active = this._found[to].key;
      this._list.reveal(to);
      if (event.key === "End") this._list.follows = true;
    } else if ((event.key === "Enter" || event.key === " ") && index >= 0) {
      this._toggle(this._found[index]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
    this._scroller.setAttribute("aria-activedescendant", `event-row-${this._active}`);
    this._redraw();
  }
}

/**
 * @param {string} picture
 * @param {string} name
 * @param {() => void} onclick
 */
function toggle(picture, name, onclick) {
  return h("button", { class: "toggle", type: "button", "aria-label": name, "aria-pressed": "false", onclick }, icon(picture), h("span", { class: "wide-only" }, name));
}

/** @param {number} seconds */
function duration10(seconds) {
  return `${seconds.toFixed(2)} s`;
}

/** @param {string} text */
async function copy(text) {
  await navigator.clipboard.writeText(text).catch(() => {});
}
