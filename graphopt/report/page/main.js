// The page: opens the story, and joins its parts by the state that they share.

import { ALL_OPEN, closedAtFirst } from "./scopes.js";
import { colouring, modesOf, PALETTES } from "./colours.js";
import { criticalPath } from "./critical.js";
import { details } from "./details.js";
import { byId, make, svgById } from "./dom.js";
import { changeOfItem, fillsOf } from "./drawing.js";
import { Drawings } from "./drawings.js";
import { counted, digits, short } from "./format.js";
import { listenToKeys } from "./keyboard.js";
import { Layouter } from "./layouter.js";
import { showLegend } from "./legend.js";
import { Lineage } from "./lineage.js";
import { Minimap } from "./minimap.js";
import { drawingRules } from "./paint.js";
import { showPanel, statusOf } from "./panel.js";
import { printDrawing, savePng, saveSvg } from "./save.js";
import { showSearch } from "./search.js";
import { Store } from "./store.js";
import { idOfKey, keyOfNode, stageTitle } from "./story.js";
import { showTimeline } from "./timeline.js";
import { unpack } from "./unpack.js";
import { View } from "./view.js";
import { neighbour } from "./walk.js";

/** @typedef {import("./story.js").Story} Story @typedef {import("./story.js").Stage} Stage @typedef {import("./story.js").Change} Change @typedef {import("./visible.js").Item} Item */

/** @param {Story} story @param {Layouter} layouter */
function open(story, layouter) {
  const last = story.stages.length - 1;
  const drawings = new Drawings(story, layouter);
  const lineage = new Lineage(story);
  const hash = new URLSearchParams(location.hash.slice(1));
  const begin = Math.max(0, Math.min(last, Number(hash.get("stage") ?? (story.kind === "diff" ? last : 0)) || 0));
  const comparing = story.kind === "diff" && last > 0;
  const store = new Store({
    stage: begin, against: 0, view: comparing ? (innerWidth < 900 ? "overlay" : "side") : "single", selected: null, colour: "operator",
    closed: closedAtFirst(drawings.scopes(drawings.stage(begin))), theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light", tab: "details", critical: false, marks: last > 0,
  });
  const palette = () => PALETTES[store.state.theme];
  /** The graph that is drawn: a stage, or two in one. @returns {Stage} */
  const shownStage = () => (store.state.view === "overlay" && store.state.against !== store.state.stage ? drawings.overlay(store.state.against, store.state.stage) : drawings.stage(store.state.stage));

  /** @type {Minimap | null} */
  let minimap = null;
  const view = new View(svgById("graph"), () => {
    minimap?.request();
    follow(view, old);
  });
  const old = new View(svgById("old"), () => follow(old, view));
  minimap = new Minimap(view.scene, view.camera);
  /** @type {View | null} */
  let leader = null;
  /** One of two drawings follows the other: at the same scale, with the same node in the middle. @param {View} from @param {View} to */
  function follow(from, to) {
    if (store.state.view !== "side" || leader === to || !from.placed || !to.placed) return;
    const other = to.placed.layout;
    const key = from.scene.nearest((one) => other.rects.has(one));
    const [here, there] = [key && from.placed.layout.rects.get(key), key && other.rects.get(key)];
    if (!here || !there) return;
    leader = from;
    to.camera.place(there.x + there.width / 2 - (here.x + here.width / 2 - from.camera.x), there.y - (here.y - from.camera.y), from.camera.scale);
    leader = null;
  }

  /** How the two drawings are coloured and marked now. @param {View} which @param {Stage} stage @param {Map<number, Change>} changes @returns {import("./paint.js").Drawing} */
  function look(which, stage, changes) {
    const placed = which.placed;
    if (!placed) throw new Error("nothing is laid out yet");
    const fills = fillsOf(colouring(stage, store.state.colour, palette()), stage, palette());
    const marks = store.state.marks ? changeOfItem(changes) : () => null;
    const fill = remembered(fills);
    const change = remembered(marks);
    const linkChange = store.state.view === "overlay" ? linkChanges(placed.visible.items, change) : () => null;
    return { items: placed.visible.items, layout: placed.layout, labels: placed.labels, fillOf: fill, changeOf: change, linkChangeOf: linkChange };
  }

  /** @returns {Map<number, Change>} */
  function changesShown() {
    const { stage, against, view: how } = store.state;
    return how === "single" ? drawings.marks(stage) : drawings.changes(against, stage);
  }

  /** Colours, marks and path anew, on the same layout. */
  function repaint() {
    const stage = shownStage();
    if (!view.placed || view.placed.visible.stage !== stage) return;
    view.scene.path = pathKeys(view);
    view.scene.drawing = look(view, stage, changesShown());
    view.scene.request();
    if (store.state.view === "side" && old.placed) {
      old.scene.drawing = look(old, old.placed.visible.stage, changesShown());
      old.scene.request();
    }
    minimap?.redraw(palette());
    const path = store.state.critical ? path_() : null;
    showLegend(colouring(stage, store.state.colour, palette()), {
      marks: store.state.marks && last > 0, removed: store.state.view === "single" ? "removed next" : "removed", palette: palette(),
      mark: last > 0 ? (on) => store.set({ marks: on }) : null,
      text: path ? `Critical path: ${counted(path.ids.length, "node")}, ${path.metric === "macs" ? `${short(path.total)} of ${short(path.sum)} multiply-adds` : `${digits(path.total / 1000)} of ${digits(path.sum / 1000)} ms`}` : null,
    });
  }

  const path_ = () => {
    const stage = drawings.stage(store.state.stage);
    return drawings.once(`path ${stage.index}`, () => criticalPath(stage));
  };

  /** @param {View} which @returns {Set<string>} */
  function pathKeys(which) {
    const keys = new Set();
    const found = store.state.critical ? path_() : null;
    if (!found || !which.placed) return keys;
    const ids = new Set(found.ids);
    for (const item of which.placed.visible.items.values()) if (item.kind !== "open" && item.ids.some((id) => ids.has(id))) keys.add(item.key);
    return keys;
  }

  /** @type {string | null} */
  let wanted = null;
  let fitted = false;
  let viewChanged = false;

  /** Lay out and show what the state asks for. @param {View} which @param {Stage} stage @param {boolean} animate */
  async function show(which, stage, animate) {
    which.asked += 1;
    const ask = which.asked;
    const slow = setTimeout(() => { byId("busy").hidden = false; }, 150);
    try {
      const placed = await drawings.place(stage, store.state.closed, true);
      if (ask !== which.asked) return;
      const before = which.placed;
      which.placed = placed;
      const { rects } = placed.layout;
      const selected = store.state.selected;
      const at = selected && before?.layout.rects.get(selected);
      const anchor = selected && at && rects.has(selected) && which.camera.sees(at) ? selected : which.scene.nearest((key) => rects.has(key));
      which.scene.selected = selected;
      which.scene.path = which === view ? pathKeys(view) : new Set();
      const drawing = look(which, stage, changesShown());
      which.camera.bounds = placed.layout;
      which.scene.show(drawing, { animate: animate && before !== null, anchor: fitted ? anchor : null, origin: (item) => origins(item, before?.visible.stage) });
      const title = which.svg.querySelector("title");
      if (title) title.textContent = stage.title;
      if (which === view) {
        if (!fitted) {
          fitted = true;
          view.fit();
        }
        const target = wanted && rects.get(wanted);
        if (target) view.camera.show(target, !animate);
        wanted = null;
        if (viewChanged) view.narrow();
        viewChanged = false;
        repaint();
        document.documentElement.dataset.stage = String(store.state.stage);
        document.documentElement.dataset.items = String(placed.visible.items.size);
        prefetch();
      } else {
        follow(view, old);
      }
    } catch (error) {
      byId("status").textContent = `This graph could not be laid out: ${error instanceof Error ? error.message : error}`;
    } finally {
      clearTimeout(slow);
      if (ask === which.asked) byId("busy").hidden = true;
    }
  }

  /** What a new thing grows out of, or an old one goes back to. @param {Item} item @param {Stage | undefined} before @returns {string[]} */
  function origins(item, before) {
    if (!before || !item.record) return item.kind === "closed" ? item.ids.map(keyOfNode) : [];
    const boxes = drawings.scopes(before).paths.get(item.record.id) ?? [];
    return [...lineage.standIns(before, item.record.id).map(keyOfNode), ...boxes.slice(-1)];
  }

  /** Layouts that are likely to be asked for next. */
  function prefetch() {
    const { stage, closed, view: how } = store.state;
    if (how !== "single") return;
    for (const next of [stage + 1, stage - 1, stage + 2]) if (next >= 0 && next <= last) void drawings.place(drawings.stage(next), closed, false).catch(() => {});
  }

  const refresh = (/** @type {boolean} */ animate) => {
    void show(view, shownStage(), animate);
    if (store.state.view === "side") void show(old, drawings.stage(store.state.against), animate);
  };

  /** Select a thing and bring it into view, opening the boxes around it. @param {string} key @param {number} [stage] */
  function go(key, stage = store.state.stage) {
    const id = idOfKey(key);
    const there = drawings.stage(stage);
    const shown = store.state.view === "overlay" && stage === store.state.stage ? shownStage() : there;
    const path = id === null ? [] : (drawings.scopes(shown).paths.get(id) ?? []);
    const closed = new Set(store.state.closed);
    for (const box of path) closed.delete(box);
    wanted = key;
    const same = stage === store.state.stage && closed.size === store.state.closed.size;
    store.set({ stage, selected: key, closed: closed.size === store.state.closed.size ? store.state.closed : closed });
    if (!same) return;
    const rect = view.placed?.layout.rects.get(key);
    if (rect) view.camera.show(rect);
    wanted = null;
  }

  /** @param {string} key */
  function toggle(key) {
    const closed = new Set(store.state.closed);
    if (!closed.delete(key)) closed.add(key);
    store.set({ closed, selected: key });
  }

  /** All boxes closed, or all open. */
  function toggleAll() {
    const { boxes } = drawings.scopes(shownStage());
    store.set({ closed: allOpen() ? new Set(boxes.keys()) : new Set() });
  }
  const allOpen = () => ![...drawings.scopes(shownStage()).boxes.keys()].some((key) => store.state.closed.has(key));

  // What state changes do.
  store.on(["stage", "view", "against"], (state, before) => {
    const id = idOfKey(state.selected);
    const stage = shownStage();
    if (id !== null && !stage.byId.has(id) && state.stage !== before.stage) {
      const heir = lineage.standIns(stage, id)[0];
      if (heir !== undefined) store.set({ selected: keyOfNode(heir) });
    }
    byId("old").toggleAttribute("hidden", state.view !== "side");
    byId("against-field").hidden = state.view === "single";
    if (state.view !== before.view) {
      viewChanged = true;
      view.camera.measure();
      old.camera.measure();
    }
    refresh(true);
    if (location.protocol !== "about:") history.replaceState(null, "", `#stage=${state.stage}`);
  });
  store.on(["closed"], () => refresh(true));
  store.on(["colour", "theme", "critical", "marks"], repaint);
  store.on(["selected"], (state) => {
    for (const one of [view, old]) {
      one.scene.selected = state.selected;
      one.scene.request();
    }
    const item = state.selected === null ? undefined : view.placed?.visible.items.get(state.selected);
    byId("said").textContent = item ? `${item.title} ${item.subtitle}, ${item.name}` : "";
    if (state.selected !== null) store.set({ tab: "details" });
  });
  store.on(["selected", "stage", "closed", "view", "against"], showDetails);
  store.on(["theme"], dress);
  store.on(["stage", "view", "against", "closed"], tell);

  function showDetails() {
    const { stage, against, view: how } = store.state;
    const earlier = how === "single" ? stage - 1 : against;
    byId("tab-details-panel").replaceChildren(
      details(store.state.selected, {
        stage: shownStage(), before: earlier >= 0 && earlier !== stage ? drawings.stage(earlier) : null, lineage, scopes: drawings.scopes(shownStage()), closed: store.state.closed, go, toggle, path: path_(),
      }),
    );
    view.svg.setAttribute("aria-activedescendant", store.state.selected ? `graph-${store.state.selected}` : "");
  }

  function dress() {
    document.documentElement.dataset.theme = store.state.theme;
    byId("theme").setAttribute("aria-pressed", String(store.state.theme === "dark"));
    rules.textContent = drawingRules(palette(), ".drawing");
  }
  const rules = make("style");
  document.head.append(rules);

  function tell() {
    const { title, nodes, rest } = statusOf(story, drawings.stage(store.state.stage));
    const { against, stage, view: how } = store.state;
    const compared = how === "single" || against === stage ? "" : `, compared with “${stageTitle(story, against)}”: ${summary(drawings.changes(against, stage))}`;
    byId("status").replaceChildren(`${title}: `, make("b", { "data-testid": "node-count" }, String(nodes)), ` ${nodes === 1 ? "node" : "nodes"}, ${rest}${compared}`);
    const scopes = drawings.scopes(shownStage());
    const shut = [...scopes.boxes.keys()].filter((key) => store.state.closed.has(key)).length;
    const boxes = byId("boxes");
    boxes.hidden = scopes.boxes.size === 0;
    boxes.textContent = allOpen() ? "Collapse all" : "Expand all";
    byId("collapsed").hidden = shut === 0 || nodes <= ALL_OPEN;
    const runs = [...scopes.boxes.keys()].some((key) => key.startsWith("b:run "));
    byId("collapsed").textContent = `${nodes.toLocaleString("en")} nodes are more than a drawing shows at once, so it is collapsed by ${runs ? "runs of nodes in their order" : "scope"}; double-click a box to open it.`;
  }

  // The hands.
  for (const one of [view, old])
    one.camera.onClick = (x, y, twice) => {
      const item = one.scene.at(x, y);
      const rect = item && one.placed?.layout.rects.get(item.key);
      if (!item || !rect) return store.set({ selected: null });
      const box = item.kind === "open" || item.kind === "closed";
      if (box && (twice || x < rect.x + 26)) return toggle(item.key);
      store.set({ selected: item.key });
      if (twice) one.camera.show(rect);
    };
  showTip(view);
  showTip(old);
  const walkTo = (/** @type {string} */ key) => {
    store.set({ selected: key });
    const rect = view.placed?.layout.rects.get(key);
    if (rect && !view.camera.sees(rect)) view.camera.show(rect);
  };
  const step = (/** @type {number} */ by) => store.set({ stage: Math.max(0, Math.min(last, store.state.stage + by)) });
  listenToKeys({
    walk(direction) {
      const { selected } = store.state;
      if (selected === null || !view.placed) return false;
      const { layout, visible } = view.placed;
      const next = neighbour(layout, selected, direction, (key) => visible.items.get(key)?.kind === "open");
      if (next !== null) walkTo(next);
      return true;
    },
    pan: (x, y) => view.camera.pan(x, y),
    zoom: (factor) => view.camera.zoom(factor),
    fit: () => view.fit(),
    step,
    toggle: () => store.state.selected?.startsWith("b:") && toggle(store.state.selected),
    escape: () => store.set({ selected: null }),
    theme: () => store.set({ theme: store.state.theme === "dark" ? "light" : "dark" }),
    critical: () => byId("critical").hidden || store.set({ critical: !store.state.critical }),
    all: toggleAll,
  });
  byId("zoom-in").addEventListener("click", () => view.camera.zoom(1.3));
  byId("zoom-out").addEventListener("click", () => view.camera.zoom(1 / 1.3));
  byId("fit").addEventListener("click", () => view.fit());
  byId("boxes").addEventListener("click", toggleAll);
  byId("theme").addEventListener("click", () => store.set({ theme: store.state.theme === "dark" ? "light" : "dark" }));
  const critical = byId("critical");
  critical.hidden = path_() === null;
  critical.addEventListener("click", () => store.set({ critical: !store.state.critical }));
  store.on(["critical"], (state) => critical.setAttribute("aria-pressed", String(state.critical)));
  const name = () => `${story.title} ${shownStage().title}`;
  byId("save-svg").addEventListener("click", () => view.scene.drawing && saveSvg(view.scene.drawing, palette(), name()));
  byId("save-png").addEventListener("click", async () => {
    if (!view.scene.drawing) return;
    await savePng(view.scene.drawing, palette(), name()).catch((error) => { byId("status").textContent = String(error.message ?? error); });
  });
  byId("print").addEventListener("click", () => print());
  printDrawing(() => view.scene.drawing, name);
  choices(story, store, last);
  slide();

  if (innerWidth < 800) byId("legend").removeAttribute("open");
  showTimeline(story, store);
  showSearch(shownStage, go);
  showPanel(story, store, { stage: shownStage, go });
  dress();
  showDetails();
  tell();
  byId("old").toggleAttribute("hidden", store.state.view !== "side");
  byId("against-field").hidden = store.state.view === "single";
  new ResizeObserver(() => minimap?.redraw(palette())).observe(byId("canvas"));
  refresh(false);
  Object.assign(window, { graphopt: { store, view, old, drawings, layouter } });
}

/** The lists to choose from. @param {Story} story @param {Store} store @param {number} last */
function choices(story, store, last) {
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

/** @param {Map<number, Change>} changes */
function summary(changes) {
  const count = { new: 0, changed: 0, removed: 0 };
  for (const change of changes.values()) count[change] += 1;
  return `${count.new} new, ${count.changed} changed, ${count.removed} removed`;
}

/** What a function says of an item, asked once. @template T @param {(item: Item) => T} ask @returns {(item: Item) => T} */
function remembered(ask) {
  /** @type {Map<Item, T>} */
  const known = new Map();
  return (item) => {
    if (!known.has(item)) known.set(item, ask(item));
    return /** @type {T} */ (known.get(item));
  };
}

/** An edge of something new is new, and one of something removed is removed. @param {Map<string, Item>} items @param {(item: Item) => Change | null} changeOf */
function linkChanges(items, changeOf) {
  return (/** @type {string} */ from, /** @type {string} */ to) => {
    const ends = [from, to].map((key) => items.get(key)).map((item) => (item ? changeOf(item) : null));
    return ends.includes("removed") ? "removed" : ends.includes("new") ? "new" : null;
  };
}

const layouter = new Layouter();
open(JSON.parse(await unpack("story")), layouter);
