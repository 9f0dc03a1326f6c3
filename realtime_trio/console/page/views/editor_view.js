// The editor for events that are sent as they are written, once they have been checked.

import { isEvent } from "../wire/record.js";
import { h, setText } from "./dom.js";

/** @typedef {import("../wire/record.js").WireEvent} WireEvent */

/** What to begin with, by type. @type {Record<string, object>} */
const TEMPLATES = {
  "response.create": { response: { instructions: "Answer in one sentence." } },
  "response.cancel": {},
  "session.update": { session: { type: "realtime", instructions: "You are called Ada." } },
  "conversation.item.create": { item: { type: "message", role: "user", content: [{ type: "input_text", text: "Hello!" }] } },
  "conversation.item.delete": { item_id: "" },
  "conversation.item.retrieve": { item_id: "" },
  "conversation.item.truncate": { item_id: "", content_index: 0, audio_end_ms: 0 },
  "input_audio_buffer.commit": {},
  "input_audio_buffer.clear": {},
  "input_audio_buffer.append": { audio: "" },
};

const PATIENCE = 200; // milliseconds after the last key before the text is checked

export class EditorView {
  /**
   * @param {object} acts
   * @param {(event: WireEvent) => Promise<string | null>} acts.check  null, or what is wrong
   * @param {(event: WireEvent, isChecked: boolean) => Promise<string | null>} acts.send
   * @param {() => boolean} acts.mayAct
   */
  constructor(acts) {
    this._acts = acts;
    this._timer = 0;
    /** @type {WireEvent | null} */
    this._event = null;
    this._problem = "";
    this._checks = 0;
    this._type = h(
      "select",
      { onchange: () => this._begin(this._type.value) },
      ...Object.keys(TEMPLATES).map((type) => h("option", { value: type }, type)),
    );
    this._text = h("textarea", { spellcheck: "false", autocapitalize: "off", rows: "12", "aria-label": "Event as JSON", "aria-describedby": "editor-verdict", oninput: () => this._typed() });
    this._verdict = h("p", { class: "verdict", id: "editor-verdict", role: "status" });
    this._send = h("button", { type: "button", class: "primary", onclick: () => void this._post() }, "Send");
    this.element = h(
      "div",
      { class: "panel editor" },
      h("label", { class: "field" }, "Client event", this._type),
      this._text,
      this._verdict,
      h("div", { class: "editor-acts" }, this._send),
    );
    this._begin("response.create");
  }

  /** @param {string} type */
  _begin(type) {
    this.edit({ type, ...TEMPLATES[type] });
  }

  /** @param {WireEvent} event */
  edit(event) {
    const { event_id: _, ...rest } = event;
    if (event.type in TEMPLATES) this._type.value = event.type;
    this._text.value = JSON.stringify(rest, null, 2);
    this._typed();
  }

  _typed() {
    this._event = null; // until it is checked, or the one before it would be sent
    this.render();
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => void this._check(), PATIENCE);
  }

  async _check() {
    this._checks += 1;
    const check = this._checks;
    const found = read(this._text.value);
    const problem = typeof found === "string" ? found : await this._acts.check(found);
    if (check !== this._checks) return; // somebody has typed on
    this._event = typeof found === "string" ? null : found;
    this._problem = problem ?? "";
    setText(this._verdict, problem ?? "This is an event that a client may send.");
    this._verdict.classList.toggle("bad", problem !== null);
    this.render();
  }

  render() {
    this._send.disabled = this._event === null || !this._acts.mayAct();
    setText(this._send, this._problem === "" ? "Send" : "Send anyway");
  }

  async _post() {
    if (this._event === null) return;
    const problem = await this._acts.send(this._event, this._problem === "");
    setText(this._verdict, problem ?? `${this._event.type} was sent.`);
    this._verdict.classList.toggle("bad", problem !== null);
  }
}

/**
 * @param {string} text
 * @returns {WireEvent | string} what is wrong, if it is not an event
 */
function read(text) {
  try {
    const value = JSON.parse(text);
    return isEvent(value) ? value : "An event is an object with a type.";
  } catch (error) {
    return `This is not JSON: ${error instanceof Error ? error.message : error}`;
  }
}
