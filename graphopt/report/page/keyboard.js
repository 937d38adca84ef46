// The keys: along edges, to search, through the passes.

import { byId } from "./dom.js";

/**
 * @typedef {{walk: (direction: "up" | "down" | "left" | "right") => boolean, pan: (x: number, y: number) => void, zoom: (factor: number) => void,
 *   fit: () => void, step: (by: number) => void, toggle: () => void, escape: () => void, theme: () => void, critical: () => void, all: () => void}} Actions
 */

/** @type {Record<string, "up" | "down" | "left" | "right">} */
const ARROWS = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right" };

/** @param {Actions} actions */
export function listenToKeys(actions) {
  const help = /** @type {HTMLDialogElement} */ (byId("help"));
  byId("help-button").addEventListener("click", () => help.showModal());
  help.addEventListener("click", (event) => event.target === help && help.close());
  addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
    if (typing && !(target.id === "slider" && !/^(Arrow|Home|End|Page)/.test(event.key))) return;
    const arrow = ARROWS[event.key];
    if (arrow) {
      if (target.closest(".panel, [role=tab]")) return;
      const [x, y] = { up: [0, -1], down: [0, 1], left: [-1, 0], right: [1, 0] }[arrow];
      if (event.shiftKey || !actions.walk(arrow)) actions.pan(x * 80, y * 80);
    } else if (event.key === "/") {
      const search = /** @type {HTMLInputElement} */ (byId("search"));
      search.focus();
      search.select();
    } else if (event.key === "[") actions.step(-1);
    else if (event.key === "]") actions.step(1);
    else if (event.key === "?") help.showModal();
    else if (event.key === "+" || event.key === "=") actions.zoom(1.25);
    else if (event.key === "-") actions.zoom(0.8);
    else if (event.key === "0") actions.fit();
    else if (event.key === "Enter" && !target.closest("button, a, summary, tr")) actions.toggle();
    else if (event.key === "Escape") actions.escape();
    else if (event.key === "d") actions.theme();
    else if (event.key === "c") actions.critical();
    else if (event.key === "e") actions.all();
    else return;
    event.preventDefault();
  });
}
