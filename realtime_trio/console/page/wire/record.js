// A message on the wire as the page keeps it: its audio as bytes beside it, not as text inside.
//
// Base64 in a string is a third longer than what it says, and would be in the way wherever an event
// is shown, searched or copied.  `whole` puts it back.

import { base64Of, bytesOf } from "./base64.js";

/**
 * An event as it was on the wire.  What is in it is decided by the service, so every reader looks
 * before it believes.
 * @typedef {Record<string, any> & {type: string}} WireEvent
 */

/** @typedef {{rule: string, explanation: string}} Mark  What is wrong with a message. */

/**
 * @typedef {object} WireRecord
 * @property {number} seq  its place in the session, from 0; never used twice
 * @property {"client" | "server" | "page"} side  who sent it; `page` is a note that never travelled
 * @property {number} at  seconds since the first record
 * @property {number | null} wall  seconds since 1970, if that is known
 * @property {WireEvent} event  the event; audio is an empty string in it
 * @property {Uint8Array | null} audio  the bytes of the audio that it carried
 * @property {string | null} text  the message, if it was not a JSON object
 * @property {Mark[]} marks
 */

/** What a message is called that was not an event. */
export const NOT_AN_EVENT = "(not an event)";

/**
 * The member of an event that carries audio.
 * @param {WireEvent} event
 * @returns {"audio" | "delta" | null}
 */
function audioMember(event) {
  switch (event.type) {
    case "input_audio_buffer.append":
    case "session.input_audio_buffer.append":
      return "audio";
    case "response.output_audio.delta":
    case "response.audio.delta":
    case "session.output_audio.delta":
      return "delta";
    default:
      return null;
  }
}

/**
 * @param {object} message
 * @param {number} message.seq
 * @param {"client" | "server" | "page"} message.side
 * @param {number} message.at
 * @param {number | null} [message.wall]
 * @param {unknown} [message.event]
 * @param {string | null} [message.text]
 * @param {Mark[]} [message.marks]
 * @returns {WireRecord}
 */
export function recordOf({ seq, side, at, wall = null, event, text = null, marks = [] }) {
  const shown = isEvent(event) ? event : { type: NOT_AN_EVENT };
  const member = audioMember(shown);
  const audio = member !== null && typeof shown[member] === "string" ? shown[member] : null;
  return {
    seq,
    side,
    at,
    wall,
    event: audio === null || member === null ? shown : { ...shown, [member]: "" },
    audio: audio === null ? null : bytesOf(audio),
    text,
    marks,
  };
}

/**
 * The event with the audio it had on the wire.
 * @param {WireRecord} record
 * @returns {WireEvent}
 */
export function whole(record) {
  const member = audioMember(record.event);
  if (member === null || record.audio === null) return record.event;
  return { ...record.event, [member]: base64Of(record.audio) };
}

/**
 * The event with words in the place of audio, for people to read.
 * @param {WireRecord} record
 * @returns {WireEvent}
 */
export function legible(record) {
  const member = audioMember(record.event);
  if (member === null || record.audio === null) return record.event;
  return { ...record.event, [member]: `<${record.audio.length.toLocaleString("en")} bytes of audio>` };
}

/**
 * @param {unknown} value
 * @returns {value is WireEvent}
 */
export function isEvent(value) {
  return (
    typeof value === "object" && value !== null && "type" in value && typeof value.type === "string"
  );
}
