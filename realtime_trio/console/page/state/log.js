// The log: one row for each event, and for those that come in streams one row for all.

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */

/**
 * @typedef {object} Row
 * @property {number} key  one more than that of the row before it
 * @property {"client" | "server" | "page"} side
 * @property {string} type
 * @property {number[]} seqs  places of the records, in order
 * @property {number} at  seconds of the first
 * @property {number} until  seconds of the last
 * @property {number} marks  how many marks they have together
 */

/** @typedef {{side: "all" | "client" | "server", text: string, onlyMarked: boolean}} Filter */

/** Events that come many times a second, and stand in one row even if others of them lie between. */
const STREAM = /(^|\.)(append|delta)$/;

export class LogRows {
  constructor() {
    /** @type {Row[]} */
    this.rows = [];
    /** Rows that have changed since somebody has emptied this. @type {Set<Row>} */
    this.touched = new Set();
    /** Key of the next row. */
    this.nextKey = 0;
    /** Rows of streams to which the next event may still belong. @type {Map<string, Row>} */
    this._open = new Map();
  }

  /** @param {WireRecord} record */
  apply(record) {
    const { event, side, seq, at } = record;
    if (side === "page") return;
    const last = this.rows.at(-1);
    const name = `${side} ${event.type} ${event.item_id ?? ""}`;
    const isStream = STREAM.test(event.type);
    const row = isStream ? this._open.get(name) : last?.side === side && last.type === event.type ? last : undefined;
    if (row !== undefined && record.text === null) {
      row.seqs.push(seq);
      row.until = at;
      row.marks += record.marks.length;
      this.touched.add(row);
      return;
    }
    // Whatever is not a stream ends those before it: what follows it stands below it.
    if (!isStream) this._open.clear();
    const fresh = { key: this.nextKey, side, type: event.type, seqs: [seq], at, until: at, marks: record.marks.length };
    this.nextKey += 1;
    this.rows.push(fresh);
    if (isStream) this._open.set(name, fresh);
  }

  /**
   * Forget the rows of which nothing is left.
   * @param {number} first  place of the first record that is still there
   */
  forget(first) {
    let gone = 0;
    while (gone < this.rows.length && (this.rows[gone].seqs.at(-1) ?? 0) < first) gone += 1;
    if (gone > 0) {
      this.rows.splice(0, gone);
      }
  }

  /**
   * Note that a record got marks after it came.
   * @param {number} seq
   * @param {number} count
   */
  mark(seq, count) {
    const row = this.rows.findLast(({ seqs }) => seqs[0] <= seq && seqs.includes(seq));
    if (row === undefined) return;
    row.marks += count;
    this.touched.add(row);
  }
}

/**
 * Whether a row is to be shown.
 * @param {Row} row
 * @param {Filter} filter
 * @param {(seq: number) => string} textOf  what a record says, in lower case
 */
export function fits(row, filter, textOf) {
  if (filter.side !== "all" && row.side !== filter.side) return false;
  if (filter.onlyMarked && row.marks === 0 && row.type !== "error") return false;
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const type = row.type.toLowerCase();
  if (words.every((word) => type.includes(word))) return true;
  return row.seqs.some((seq) => {
    const text = textOf(seq);
    return words.every((word) => type.includes(word) || text.includes(word));
  });
}
