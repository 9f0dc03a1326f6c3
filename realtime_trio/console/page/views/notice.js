// A word about what has just happened, which goes away by itself.

import { h } from "./dom.js";

const SHOWN = 8000; // milliseconds: time to read two lines

export class Notice {
  /** @param {HTMLElement} root  which is a status, and always there, so that it is read out */
  constructor(root) {
    this._root = root;
    this._timer = 0;
    this._root.addEventListener("click", () => this._clear());
  }

  /** @param {string} words */
  say(words) {
    window.clearTimeout(this._timer);
    this._root.replaceChildren(h("span", {}, words));
    this._timer = window.setTimeout(() => this._clear(), SHOWN);
  }

  _clear() {
    this._root.replaceChildren();
  }
}
