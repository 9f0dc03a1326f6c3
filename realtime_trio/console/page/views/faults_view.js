// Buttons for what can go wrong, where the other side is the simulator.

import { h, setText } from "./dom.js";

/** @typedef {{name: string, hint: string, fault: string | Record<string, object>}} Fault */

/** @type {Fault[]} */
const FAULTS = [
  { name: "Drop the line", hint: "No close frame, like a phone that loses its network", fault: "drop" },
  { name: "Reset", hint: "TCP RST, like a proxy that crashes", fault: "reset" },
  { name: "Session expires", hint: "An error, and then a close with 1001", fault: "expiry" },
  { name: "Stall for 3 s", hint: "Nothing is said for a while", fault: { stall: { seconds: 3 } } },
  { name: "Delay by 0.5 s", hint: "The next event of a response, and so all after it", fault: { delay: { seconds: 0.5, on: "response." } } },
  { name: "Error event", hint: "A server_error out of the blue", fault: { failing: { code: "simulated", message: "An error was asked for in the console." } } },
  { name: "Corrupt the next event", hint: "It is cut in the middle", fault: { corrupt: { how: "cut" } } },
  { name: "Duplicate the next item", hint: "conversation.item.added comes twice, against the rules", fault: { duplicate: { on: "conversation.item.added" } } },
];

const CLOSE_CODES = [1000, 1001, 1011, 1012, 1013, 3000, 4000];

export class FaultsView {
  /**
   * @param {(fault: unknown) => Promise<string | null>} make  returns what is wrong with it
   */
  constructor(make) {
    this._make = make;
    this._verdict = h("p", { class: "verdict", role: "status" });
    this._code = h("select", { "aria-label": "Close code" }, ...CLOSE_CODES.map((code) => h("option", { value: code, ...(code === 1011 ? { selected: true } : {}) }, String(code))));
    this.element = h(
      "div",
      { class: "panel faults" },
      h("p", { class: "note" }, "The other side is the simulator, so it can be made to fail."),
      ...FAULTS.map(({ name, hint, fault }) => h("button", { type: "button", class: "fault", onclick: () => void this._cause(name, fault) }, h("strong", {}, name), h("span", {}, hint))),
      h(
        "div",
        { class: "fault-close" },
        h("button", { type: "button", class: "fault", onclick: () => void this._cause("Close", { closing: { code: Number(this._code.value), reason: "from the console" } }) }, h("strong", {}, "Close with"), h("span", {}, "A close frame with this code")),
        this._code,
      ),
      this._verdict,
    );
  }

  /**
   * @param {string} name
   * @param {unknown} fault
   */
  async _cause(name, fault) {
    const problem = await this._make(fault);
    setText(this._verdict, problem ?? `${name}: on its way.`);
    this._verdict.classList.toggle("bad", problem !== null);
  }
}
