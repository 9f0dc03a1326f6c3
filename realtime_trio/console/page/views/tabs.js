// Panels of which one is seen, with the keys that tabs have.

import { h } from "./dom.js";

/** @typedef {{id: string, name: string, element: HTMLElement}} Tab */

export class Tabs {
  /**
   * @param {HTMLElement} root
   * @param {Tab[]} tabs
   * @param {string} label
   */
  constructor(root, tabs, label) {
    this._tabs = tabs;
    /** @type {Map<string, HTMLButtonElement>} */
    this._buttons = new Map();
    const bar = h("div", { class: "tabs", role: "tablist", "aria-label": label, onkeydown: (/** @type {KeyboardEvent} */ event) => this._key(event) });
    for (const { id, name, element } of tabs) {
      const button = h(
        "button",
        { role: "tab", type: "button", id: `tab-${id}`, "aria-controls": `panel-${id}`, onclick: () => this.select(id) },
        name,
      );
      this._buttons.set(id, button);
      element.setAttribute("role", "tabpanel");
      element.setAttribute("tabindex", "0"); // it scrolls
      element.id = `panel-${id}`;
      element.setAttribute("aria-labelledby", button.id);
      bar.append(button);
    }
    root.append(h("h2", { class: "sr" }, label), bar, ...tabs.map(({ element }) => element));
    this.selected = "";
    this.select(tabs[0].id);
  }

  /** @param {string} id */
  select(id) {
    this.selected = id;
    for (const tab of this._tabs) {
      const isSelected = tab.id === id;
      tab.element.hidden = !isSelected;
      const button = this._buttons.get(tab.id);
      button?.setAttribute("aria-selected", String(isSelected));
      button?.setAttribute("tabindex", isSelected ? "0" : "-1");
    }
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const index = this._tabs.findIndex(({ id }) => id === this.selected);
    const count = this._tabs.length;
    /** @type {Record<string, number>} */
    const moves = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: count - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const { id } = this._tabs[(moves[event.key] + count) % count];
    this.select(id);
    this._buttons.get(id)?.focus();
  }
}
