// On a narrow screen one view is seen at a time; this chooses which.

import { ICONS, h, icon } from "./dom.js";

const VIEWS = /** @type {const} */ ([
  ["conversation", "Talk", "chat"],
  ["log", "Events", "list"],
  ["timeline", "Timeline", "wave"],
  ["panels", "Details", "more"],
]);

/**
 * @param {HTMLElement} root
 * @param {() => void} onChange
 * @returns {(view: string) => void} shows a view
 */
export function drawNav(root, onChange) {
  const buttons = VIEWS.map(([view, name, picture]) =>
    h("button", { type: "button", "data-view": view, onclick: () => choose(view) }, icon(ICONS[picture]), h("span", {}, name)),
  );
  const choose = (/** @type {string} */ view) => {
    document.body.dataset.view = view;
    for (const button of buttons) button.setAttribute("aria-current", String(button.dataset.view === view));
    onChange();
  };
  root.append(...buttons);
  choose("conversation");
  return choose;
}
