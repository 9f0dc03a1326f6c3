// A recording that was dropped on the page: its program knows what breaks the order of events in it.

/** @typedef {import("../wire/record.js").Mark} Mark */
/** @typedef {import("../wire/recording.js").Recording} Recording */

const MOST_RECORDS = 50_000; // the program takes no more
const MOST_CHARACTERS = 20 * 2 ** 20; // whatever they are, they are less than the 64 MiB of a message

/**
 * @typedef {object} Judged
 * @property {{seq: number, marks: Mark[]}[]} marks
 * @property {string | null} problem  why nobody has looked
 */

/**
 * @param {Recording} recording
 * @param {{isOpen: boolean, ask: (question: Record<string, unknown>) => Promise<any>}} program
 * @returns {Promise<Judged>}
 */
export async function marksOf({ kind, dialect, records, missed }, program) {
  const unjudged = (/** @type {string} */ problem) => ({ marks: [], problem });
  // Without knowing what is missing, a gap would look like a mistake of somebody.
  if (missed > 0) return unjudged("records are missing in it");
  if (!program.isOpen) return unjudged("no program is behind the page");
  // Without the audio: that it is there is enough for the rules.
  const sent = records.map(({ side, event, text }) => (text === null ? { side, event } : { side, text }));
  if (sent.length > MOST_RECORDS || JSON.stringify(sent).length > MOST_CHARACTERS) return unjudged("it is too long");
  const answer = await program.ask({ kind: "judge", session: kind, dialect, records: sent });
  if (answer.problem) return unjudged(answer.problem);
  const marks = Object.entries(answer.marks).map(([place, found]) => ({ seq: records[Number(place)].seq, marks: found }));
  return { marks, problem: null };
}
