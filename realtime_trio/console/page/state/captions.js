// The last words of each side, for those who read along; and whole sentences for screen readers.

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */

/** @typedef {{side: "you" | "model", item: string, text: string}} Caption */

const LONGEST = 220; // characters that are read at a glance

export class Captions {
  constructor() {
    /** What is being said, the newest last; at most one a side. @type {Caption[]} */
    this.lines = [];
    /** What was said to the end last. @type {Caption | null} */
    this.finished = null;
    this.version = 0;
  }

  /** @param {WireRecord} record */
  apply({ event, side }) {
    if (side === "client") this._hush(event);
    if (side !== "server") return;
    const item = String(event.item_id ?? "");
    switch (event.type) {
      case "response.output_audio_transcript.delta":
      case "response.audio_transcript.delta":
      case "response.output_text.delta":
        this._add("model", item, String(event.delta ?? ""));
        break;
      case "response.output_audio_transcript.done":
      case "response.audio_transcript.done":
        this._finish("model", item, String(event.transcript ?? ""));
        break;
      case "response.output_text.done":
        this._finish("model", item, String(event.text ?? ""));
        break;
      case "session.output_transcript.delta":
        this._add("model", "", String(event.delta ?? ""));
        break;
      case "conversation.item.input_audio_transcription.delta":
      case "session.input_transcript.delta":
        this._add("you", item, String(event.delta ?? ""));
        break;
      case "conversation.item.input_audio_transcription.completed":
        this._finish("you", item, String(event.transcript ?? ""));
        break;
    }
  }

  /**
   * What the user says in writing is seen anyway, and then what was said aloud is of no interest.
   * @param {import("../wire/record.js").WireEvent} event
   */
  _hush(event) {
    if (event.type !== "conversation.item.create" || event.item?.role !== "user") return;
    this.lines = this.lines.filter(({ side }) => side !== "you");
    this.version += 1;
  }

  /**
   * @param {Caption["side"]} side
   * @param {string} item
   * @param {string} words
   */
  _add(side, item, words) {
    const line = this.lines.find((candidate) => candidate.side === side && candidate.item === item);
    this._show({ side, item, text: (line?.text ?? "") + words });
  }

  /**
   * @param {Caption["side"]} side
   * @param {string} item
   * @param {string} text
   */
  _finish(side, item, text) {
    this.finished = { side, item, text };
    this._show(this.finished);
  }

  /** @param {Caption} line */
  _show(line) {
    this.lines = [...this.lines.filter(({ side }) => side !== line.side), line];
    this.version += 1;
  }
}

/**
 * The end of a text that is too long to be read at a glance.
 * @param {string} text
 */
export function tail(text) {
  if (text.length <= LONGEST) return text;
  const cut = text.slice(-LONGEST);
  return `… ${cut.slice(cut.indexOf(" ") + 1)}`;
}
