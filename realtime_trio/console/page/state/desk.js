// What the page works on: the ring of records and all that follows from it.
//
// Theory of operation.  A record goes into the ring, into the log and the timeline, which show the
// whole session, and into the scene, which shows one moment.  Usually that moment is now.  When
// somebody goes back in time, the scene is built again from the records up to there; going forward
// adds to it what has come since.  Nothing here draws, waits or reads a clock: views are told that
// something has changed, and look.

import { recordOf } from "../wire/record.js";
import { Ring } from "../wire/ring.js";
import { Formats } from "./formats.js";
import { LogRows } from "./log.js";
import { Scene } from "./scene.js";
import { Timeline } from "./timeline.js";

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */
/** @typedef {import("../wire/record.js").Mark} Mark */

/**
 * @typedef {object} Message
 * @property {"client" | "server" | "page"} side
 * @property {number} at
 * @property {number | null} [wall]
 * @property {unknown} [event]
 * @property {string | null} [text]
 * @property {Mark[]} [marks]
 */

const FORGET_EVERY = 1000; // records, since the log looks through its oldest rows for it

export class Desk {
  log = new LogRows();
  timeline = new Timeline();
  /** Seconds that are shown; null is now. @type {number | null} */
  moment = null;
  /** Grows whenever everything begins again, so that views do, too. */
  session = 0;
  /** @type {Set<() => void>} */
  _watchers = new Set();
  _formats = new Formats();
  _sceneFormats = this._formats;
  /** The first record that the scene does not know. */
  _sceneNext = 0;

  /**
   * @param {object} [given]
   * @param {Ring} [given.ring]
   * @param {import("./bill.js").Prices | null} [given.prices]  of models, if they are known
   * @param {string} [given.asked]  the model that was asked for, if that is known
   */
  constructor({ ring = new Ring(), prices = null, asked = "" } = {}) {
    this.ring = ring;
    this.prices = prices;
    this.asked = asked;
    this.scene = new Scene(prices, asked);
  }

  /** @param {string} asked  the model that was asked for; empty if that is not known */
  _begin(asked) {
    this.ring.clear();
    this.log = new LogRows();
    this.timeline = new Timeline();
    this.asked = asked;
    this.scene = new Scene(this.prices, asked);
    this.moment = null;
    this.session += 1;
    this._formats = this._sceneFormats = new Formats();
    this._sceneNext = 0;
  }

  /**
   * Call this whenever something has changed.
   * @param {() => void} watcher
   */
  watch(watcher) {
    this._watchers.add(watcher);
  }

  _tell() {
    for (const watcher of this._watchers) watcher();
  }

  /**
   * Begin again with nothing.
   * @param {string} [asked]  the model that is asked for
   */
  clear(asked = "") {
    this._begin(asked);
    this._tell();
  }

  /**
   * @param {Message} message
   * @returns {{record: WireRecord, samples: Int16Array | null}} with the audio that it carried
   */
  take(message) {
    const record = recordOf({ ...message, seq: this.ring.next });
    const samples = this._put(record);
    this._tell();
    return { record, samples };
  }

  /**
   * Show a whole session that is over, at its end.
   * @param {Iterable<WireRecord>} records
   * @param {number} missed
   * @param {string} [asked]  the model that was asked for
   */
  open(records, missed, asked = "") {
    this._begin(asked);
    for (const record of records) this._put(record);
    this.ring.missed = missed;
    this._tell();
  }

  /**
   * @param {WireRecord} record
   * @returns {Int16Array | null}
   */
  _put(record) {
    const isNow = this.moment === null;
    this.ring.push(record);
    const samples = this._formats.decode(record);
    this.log.apply(record);
    this.timeline.apply(record, samples);
    if (isNow) {
      this.scene.apply(record, samples);
      this._sceneNext = record.seq + 1;
    }
    if (this.ring.next % FORGET_EVERY === 0) this.log.forget(this.ring.first);
    return samples;
  }

  /**
   * Note that records are missing here.
   * @param {number} count
   */
  miss(count) {
    this.ring.missed += count;
    this._tell();
  }

  /**
   * Note what is wrong with a record that is there already.
   * @param {number} seq
   * @param {Mark[]} marks
   */
  mark(seq, marks) {
    const record = this.ring.get(seq);
    if (record === undefined || marks.length === 0) return;
    record.marks.push(...marks);
    this.log.mark(seq, marks.length);
    this._tell();
  }

  /**
   * Show how things stood at a moment.
   * @param {number | null} moment  seconds; null for now
   */
  goTo(moment) {
    if (moment === this.moment) return;
    const end = moment ?? Infinity;
    const shown = this.moment ?? Infinity;
    if (end < shown) {
      this.scene = new Scene(this.prices, this.asked);
      this._sceneFormats = new Formats();
      this._sceneNext = this.ring.first;
    }
    for (const record of this.ring.since(this._sceneNext)) {
      if (record.at > end) break;
      this.scene.apply(record, this._sceneFormats.decode(record));
      this._sceneNext = record.seq + 1;
    }
    if (moment === null) this._sceneFormats = this._formats;
    this.moment = moment;
    this._tell();
  }
}
