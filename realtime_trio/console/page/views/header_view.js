// The head of the page: what is shown, how it stands, and the ways in and out.

import { ICONS, h, icon, setText, show } from "./dom.js";

/** @typedef {import("../sources/setup.js").Setup} Setup */

/**
 * @typedef {object} Standing  How things stand, in a word and in a sentence.
 * @property {"idle" | "connecting" | "open" | "ended" | "failed"} phase
 * @property {string} words
 */

export class HeaderView {
  /**
   * @param {HTMLElement} root
   * @param {object} acts
   * @param {() => void} acts.connect
   * @param {() => void} acts.disconnect
   * @param {(file: File) => void} acts.open
   * @param {() => void} acts.save
   * @param {() => void} acts.copyScript
   */
  constructor(root, acts) {
    this._source = h("span", { class: "source" });
    this._state = h("span", { class: "state", role: "status" });
    this.model = h("select", { "aria-label": "Model" });
    this.voice = h("select", { "aria-label": "Voice" });
    this._chosen = h("div", { class: "choices" }, this.model, this.voice);
    this._connect = h("button", { type: "button", class: "primary", onclick: () => (this._phase === "open" || this._phase === "connecting" ? acts.disconnect() : acts.connect()) }, "Connect");
    this._phase = "idle";
    const file = h("input", { type: "file", accept: ".jsonl,.json,application/json", hidden: true, onchange: () => file.files?.[0] && acts.open(file.files[0]) });
    this._open = h("button", { type: "button", class: "toggle", title: "Open a recording", onclick: () => file.click() }, icon(ICONS.open), h("span", { class: "wide-only" }, "Open"));
    this._save = h("button", { type: "button", class: "toggle", title: "Save what was recorded, as JSON lines", onclick: () => acts.save() }, icon(ICONS.save), h("span", { class: "wide-only" }, "Save"));
    this._script = h("button", { type: "button", class: "toggle script", title: "Copy as a script for the simulator", onclick: () => acts.copyScript() }, icon(ICONS.script), h("span", { class: "wide-only" }, "Copy as script"));
    root.append(
      h("h1", {}, h("span", { class: "logo", "aria-hidden": "true" }, h("i", {}), h("i", {}), h("i", {})), h("span", {}, "Realtime Console")),
      this._source,
      this._state,
      h("div", { class: "header-tools" }, this._open, file, this._save, this._script, this._chosen, this._connect),
    );
  }

  /** @param {Setup} setup */
  setUp(setup) {
    this.nameSource(setup);
    this.model.replaceChildren(...setup.models.map((name) => h("option", { value: name }, name)));
    if (setup.models.includes(setup.title)) this.model.value = setup.title;
    this.voice.replaceChildren(...setup.voices.map((name) => h("option", { value: name }, name)));
    const isLive = setup.source === "live";
    show(this._chosen, isLive);
    show(this._connect, isLive);
  }

  /** @param {Setup} setup */
  nameSource(setup) {
    const names = { live: setup.simulator ? "simulator" : "live", attached: "attached", recording: "recording" };
    setText(this._source, setup.source === "live" ? names.live : `${names[setup.source]}${setup.title === "" ? "" : ` · ${setup.title}`}`);
    this._source.dataset.source = setup.source;
  }

  /** @param {string} name */
  nameRecording(name) {
    setText(this._source, `recording · ${name}`);
    this._source.dataset.source = "recording";
  }

  /**
   * @param {Standing} standing
   * @param {boolean} hasRecords
   */
  draw(standing, hasRecords) {
    this._phase = standing.phase;
    setText(this._state, standing.words);
    this._state.dataset.phase = standing.phase;
    const isOn = standing.phase === "open" || standing.phase === "connecting";
    setText(this._connect, isOn ? "Disconnect" : "Connect");
    this._connect.classList.toggle("primary", !isOn);
    for (const select of [this.model, this.voice]) select.disabled = isOn;
    for (const button of [this._save, this._script]) button.disabled = !hasRecords;
  }
}
