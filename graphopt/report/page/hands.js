// What a person does: clicks, keys, buttons, lists, and the edge of the panel.

import { modesOf } from "./colours.js";
import { byId, make } from "./dom.js";
import { listenToKeys } from "./keyboard.js";
import { printDrawing, savePng, saveSvg } from "./save.js";
import { stageTitle } from "./story.js";
import { neighbour } from "./walk.js";

/** @typedef {import("./page.js").Page} Page @typedef {import("./view.js").View} View */

/** Let a page be used. @param {Page} page */
export function takeHands(page) {
  for (const one of [page.view, page.old]) {
    click(page, one);
    showTip(one);
  }
  keys(page);
  buttons(page);
  saving(page);
  choices(page);
  slide();
}

/** @param {Page} page @param {View} one */
function click(page, one) {
  one.camera.onClick = (x, y, twice) => {
    const item = one.scene.at(x, y);
    const rect = item && one.placed?.layout.rects.get(item.key);
    if (!item || !rect) return page.store.set({ selected: null });
    const box = item.kind === "open" || item.kind === "closed";
    if (box && (twice || x < rect.x + 26)) return page.toggle(item.key);
    page.store.set({ selected: item.key });
    if (twice) one.camera.show(rect);
  };
}

/** @param {Page} page */
function switchTheme({ store }) {
  store.set({ theme: store.state.theme === "dark" ? "light" : "dark" });
}

/** @param {Page} page */
function switchPath({ store }) {
  store.set({ critical: !store.state.critical });
}

/** @param {Page} page */
function keys(page) {
  const { store, view } = page;
  listenToKeys({
    walk(direction) {
      const { selected } = store.state;
      if (selected === null || !view.placed) return false;
      const { layout, visible } = view.placed;
      const next = neighbour(layout, selected, direction, (key) => visible.items.get(key)?.kind === "open");
      if (next === null) return true;
      store.set({ selected: next });
      const rect = layout.rects.get(next);
      if (rect && !view.camera.sees(rect)) view.camera.show(rect);
      return true;
    },
    pan: (x, y) => view.camera.pan(x, y),
    zoom: (factor) => view.camera.zoom(factor),
    fit: () => view.fit(),
    step: (by) => store.set({ stage: Math.max(0, Math.min(page.last, store.state.stage + by)) }),
    toggle: () => store.state.selected?.startsWith("b:") && page.toggle(store.state.selected),
    escape: () => store.set({ selected: null }),
    theme: () => switchTheme(page),
    critical: () => byId("critical").hidden || switchPath(page),
    all: () => page.toggleAll(),
  });
}

/** @param {Page} page */
function buttons(page) {
  const { store, view } = page;
  byId("zoom-in").addEventListener("click", () => view.camera.zoom(1.3));
  byId("zoom-out").addEventListener("click", () => view.camera.zoom(1 / 1.3));
  byId("fit").addEventListener("click", () => view.fit());
  byId("boxes").addEventListener("click", () => page.toggleAll());
  byId("theme").addEventListener("click", () => switchTheme(page));
  const critical = byId("critical");
  critical.hidden = page.path() === null;
  critical.addEventListener("click", () => switchPath(page));
  store.on(["critical"], (state) => critical.setAttribute("aria-pressed", String(state.critical)));
}

/** @param {Page} page */
function saving(page) {
  const { scene } = page.view;
  const name = () => `${page.story.title} ${page.shown().title}`;
  byId("save-svg").addEventListener("click", () => scene.drawing && saveSvg(scene.drawing, page.palette, name()));
  byId("save-png").addEventListener("click", async () => {
    if (!scene.drawing) return;
    await savePng(scene.drawing, page.palette, name()).catch((error) => { byId("status").textContent = String(error.message ?? error); });
  });
  byId("print").addEventListener("click", () => print());
  printDrawing(() => scene.drawing, name);
}

/** The lists to choose from. @param {Page} page */
function choices({ story, store, last }) {
  const colour = /** @type {HTMLSelectElement} */ (byId("colour"));
  colour.append(...modesOf(story).map((mode) => make("option", { value: mode.key }, mode.title)));
  colour.addEventListener("change", () => store.set({ colour: colour.value }));
  const how = /** @type {HTMLSelectElement} */ (byId("view"));
  const against = /** @type {HTMLSelectElement} */ (byId("against"));
  byId("compare").hidden = last < 1;
  how.value = store.state.view;
  against.append(...story.stages.map((_, at) => make("option", { value: at }, stageTitle(story, at))));
  how.addEventListener("change", () => store.set({ view: /** @type {import("./store.js").View} */ (how.value) }));
  store.on(["view", "against", "colour"], (state) => {
    how.value = state.view;
    against.value = String(state.against);
    colour.value = state.colour;
  });
  against.addEventListener("change", () => store.set({ against: Number(against.value) }));
}

/** The panel's width follows the hand. */
function slide() {
  const divider = byId("divider");
  const panel = byId("panel");
  /** @param {number} width */
  const set = (width) => document.documentElement.style.setProperty("--panel", `${Math.max(240, Math.min(innerWidth - 320, width))}px`);
  divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
  divider.addEventListener("pointermove", (event) => divider.hasPointerCapture(event.pointerId) && set(innerWidth - event.clientX));
  divider.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.stopPropagation();
    set(panel.offsetWidth + (event.key === "ArrowLeft" ? 40 : -40));
  });
}

/** The name of what is under the mouse, where it cannot be read. @param {View} view */
function showTip(view) {
  const tip = byId("tip");
  view.svg.addEventListener("pointermove", (event) => {
    const box = view.svg.getBoundingClientRect();
    const { camera } = view;
    const item = event.buttons || event.pointerType === "touch" ? null : view.scene.at(camera.x + (event.clientX - box.left) / camera.scale, camera.y + (event.clientY - box.top) / camera.scale);
    tip.hidden = item === null;
    if (!item) return;
    tip.replaceChildren(make("b", {}, item.title), item.subtitle ? ` ${item.subtitle}` : "", make("div", {}, item.name));
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
  });
  view.svg.addEventListener("pointerleave", () => { tip.hidden = true; });
}
