// What encoding the audio of each side is in, and its bytes as samples at 24 kHz.

import { fromG711 } from "../audio/g711.js";
import { samplesOf } from "../audio/pcm.js";

/** @typedef {import("../wire/record.js").WireRecord} WireRecord */

/** How sessions of the older protocol call the encodings. @type {Record<string, string>} */
const OLDER = { pcm16: "audio/pcm", g711_ulaw: "audio/pcmu", g711_alaw: "audio/pcma" };

export class Formats {
  constructor() {
    this.input = "audio/pcm";
    this.output = "audio/pcm";
    /** Half a sample that the last piece ended with. @type {Map<string, number>} */
    this._halves = new Map();
  }

  /**
   * Note how the session is configured, and decode what the record carries.
   * @param {WireRecord} record
   * @returns {Int16Array | null} null if it carries no audio
   */
  decode(record) {
    const { event, audio } = record;
    if (event.type === "session.created" || event.type === "session.updated") this._note(event.session);
    if (audio === null) return null;
    const format = record.side === "client" ? this.input : this.output;
    if (format === "audio/pcmu" || format === "audio/pcma") return fromG711(audio, format);
    return this._whole(record.side === "client" ? "" : String(event.item_id), audio);
  }

  /** @param {any} session */
  _note(session) {
    const input = session?.audio?.input?.format?.type ?? OLDER[session?.input_audio_format];
    const output = session?.audio?.output?.format?.type ?? OLDER[session?.output_audio_format];
    if (typeof input === "string") this.input = input;
    if (typeof output === "string") this.output = output;
  }

  /**
   * Samples are two bytes, and nothing says that a piece ends between two of them.
   * @param {string} stream
   * @param {Uint8Array} bytes
   */
  _whole(stream, bytes) {
    const half = this._halves.get(stream);
    let all = bytes;
    if (half !== undefined) {
      all = new Uint8Array(bytes.length + 1);
      all[0] = half;
      all.set(bytes, 1);
      this._halves.delete(stream);
    }
    if (all.length % 2 === 1) this._halves.set(stream, all[all.length - 1]);
    return samplesOf(all);
  }
}
