// Sessions that come out of files and go into them: recordings that are dropped on the page, what is
// saved, and scripts for the simulator.

import { readRecording, recordingLines } from "../wire/recording.js";
import { scriptOf } from "../wire/script.js";
import { marksOf } from "./judging.js";

/** @typedef {import("../state/desk.js").Desk} Desk */
/** @typedef {import("./inspector.js").Inspector} Inspector */
/** @typedef {import("./setup.js").Setup} Setup */

/**
 * @typedef {object} FileActs
 * @property {() => void} clear  end what is shown: a recording takes its place
 * @property {(name: string) => void} opened
 * @property {(why: string) => void} unjudged  nobody has looked for what breaks the order of events
 * @property {(words: string) => void} say
 */

export class Files {
  /**
   * @param {Desk} desk
   * @param {Inspector} inspector
   * @param {Setup} setup
   * @param {FileActs} acts
   */
  constructor(desk, inspector, setup, acts) {
    this._desk = desk;
    this._inspector = inspector;
    this._setup = setup;
    this._acts = acts;
    /** Whether what is shown is a file, and not what the program tells. */
    this.isShown = false;
    this._kind = setup.kind;
    /** Counts what was to be shown, since reading a file takes its time. */
    this._turn = 0;
  }

  /** Something else is shown now. */
  leave() {
    this._turn += 1;
    this.isShown = false;
    this._kind = this._setup.kind;
  }

  /** @param {File} file  a recording */
  async open(file) {
    this._turn += 1;
    const turn = this._turn;
    try {
      const text = await file.text();
      // Somebody was faster: with another file, or with a conversation.
      if (turn !== this._turn) return;
      const recording = readRecording(text);
      this._acts.clear();
      this.isShown = true;
      this._kind = recording.kind;
      this._desk.open(recording.records, recording.missed, recording.model ?? "");
      this._acts.opened(file.name);
      await this._judge(recording);
    } catch (error) {
      this._acts.say(`${file.name} cannot be shown: ${error instanceof Error ? error.message : error}`);
    }
  }

  /**
   * Let the program say what breaks the order of events in a recording that the page alone has.
   * @param {import("../wire/recording.js").Recording} recording
   */
  async _judge(recording) {
    const { session } = this._desk;
    const { marks, problem } = await marksOf(recording, this._inspector);
    // Something else may be shown by now.
    if (session !== this._desk.session) return;
    for (const { seq, marks: found } of marks) this._desk.mark(seq, found);
    if (problem !== null) this._acts.unjudged(problem);
  }

  /** Give what is shown to the browser as a file. */
  save() {
    const { ring, asked, scene } = this._desk;
    const model = asked || scene.usage.model || null;
    const lines = [...recordingLines(ring.since(), { kind: this._kind, model, missed: ring.missed + ring.first })];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
    link.download = `realtime-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.jsonl`;
    link.click();
    window.setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  /** Put what the server said on the clipboard, as a script for the simulator. */
  async copyScript() {
    const text = (await this._toldScript()) ?? scriptOf(this._desk.ring.since());
    try {
      await navigator.clipboard.writeText(text);
      this._acts.say("The script was copied.");
    } catch {
      this._acts.say("The browser does not let the page copy.");
    }
  }

  /** @returns {Promise<string | null>} the script as the program writes it; null if it has none of this */
  async _toldScript() {
    if (this.isShown) return null;
    if (!this._inspector.isOpen) return this._setup.script;
    const { text } = await this._inspector.ask({ kind: "script" });
    return typeof text === "string" ? text : null;
  }
}
