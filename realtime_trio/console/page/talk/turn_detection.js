// The three ways in which a turn ends, as the session is told about them.

/** @typedef {"manual" | "server_vad" | "semantic_vad"} TurnMode */

/** @type {{mode: TurnMode, name: string, hint: string}[]} */
export const TURN_MODES = [
  { mode: "manual", name: "Push to talk", hint: "Hold the button or the space bar while you speak" },
  { mode: "server_vad", name: "Server VAD", hint: "A pause ends your turn" },
  { mode: "semantic_vad", name: "Semantic VAD", hint: "The model decides when you are done" },
];

/** @param {TurnMode} mode */
export function turnDetection(mode) {
  return mode === "manual" ? null : { type: mode, create_response: true, interrupt_response: true };
}
