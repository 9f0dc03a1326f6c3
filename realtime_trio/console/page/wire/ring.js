// The last so many records: the one place that everything on the page is drawn from.

/** @typedef {import("./record.js").WireRecord} WireRecord */

const MOST_RECORDS = 50_000; // half a day of talking, a quarter of an hour of a flood
const MOST_BYTES = 512 * 2 ** 20; // of audio: an hour of both sides is 345 MB
const SLACK = 4096; // how many are let go at once, since moving an array costs its length

export class Ring {
  /** The place of the first record that is still there. */
  first = 0;
  /** The place that the next record gets. */
  next = 0;
  /** How many records never came, because somebody could not keep up. */
  missed = 0;
  /** @type {WireRecord[]} */
  _records = [];
  _gone = 0; // at the beginning of `_records`: let go, but not yet moved away
  _bytes = 0;

  /**
   * @param {object} [limits]
   * @param {number} [limits.records]
   * @param {number} [limits.bytes]
   */
  constructor({ records = MOST_RECORDS, bytes = MOST_BYTES } = {}) {
    this._mostRecords = records;
    this._mostBytes = bytes;
    this._slack = Math.min(SLACK, Math.ceil(records / 8));
  }

  /** Begin again with nothing. */
  clear() {
    this.first = this.next = this.missed = 0;
    this._records = [];
    this._gone = this._bytes = 0;
  }

  get size() {
    return this.next - this.first;
  }

  /**
   * @param {number} seq
   * @returns {WireRecord | undefined} undefined if it is gone or has not come yet
   */
  get(seq) {
    return seq < this.first ? undefined : this._records[seq - this.first + this._gone];
  }

  /**
   * Take a record.  Its place must be `next`.
   * @param {WireRecord} record
   */
  push(record) {
    if (record.seq !== this.next) throw new RangeError(`the next record is ${this.next}, not ${record.seq}`);
    this._records.push(record);
    this.next += 1;
    this._bytes += sizeOf(record);
    while (this.size > this._mostRecords || (this._bytes > this._mostBytes && this.size > 1)) {
      this._bytes -= sizeOf(this._records[this._gone]);
      this._gone += 1;
      this.first += 1;
    }
    if (this._gone >= this._slack) {
      this._records.splice(0, this._gone);
      this._gone = 0;
    }
  }

  /**
   * The records from one place on, those that are left.
   * @param {number} [from]
   * @returns {Generator<WireRecord>}
   */
  *since(from = this.first) {
    for (let seq = Math.max(from, this.first); seq < this.next; seq += 1) {
      const record = this.get(seq);
      if (record !== undefined) yield record;
    }
  }
}

/** @param {WireRecord} record */
function sizeOf(record) {
  return record.audio === null ? 0 : record.audio.length;
}
