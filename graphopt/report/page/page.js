// What is drawn: one stage, or two beside each other or in one, laid out, coloured and marked as the state asks for.

import { colouring, PALETTES } from "./colours.js";
import { criticalPath } from "./critical.js";
import { byId, svgById } from "./dom.js";
import { changeOfItem, fillsOf } from "./drawing.js";
import { Drawings } from "./drawings.js";
import { counted, digits, short } from "./format.js";
import { showLegend } from "./legend.js";
import { Lineage } from "./lineage.js";
import { Minimap } from "./minimap.js";
import { idOfKey, keyOfNode } from "./story.js";
import { View } from "./view.js";

/** @typedef {import("./story.js").Story} Story @typedef {import("./story.js").Stage} Stage @typedef {import("./story.js").Change} Change @typedef {import("./visible.js").Item} Item @typedef {import("./store.js").Store} Store */

export class Page {
  /** @param {Story} story @param {Drawings} drawings @param {Store} store */
  constructor(story, drawings, store) {
    this.story = story;
    this.last = story.stages.length - 1;
    this.drawings = drawings;
    this.store = store;
    this.lineage = new Lineage(story);
    /** @type {Minimap | null} */
    this.minimap = null;
    this.view = new View(svgById("graph"), () => {
      this.minimap?.request();
      this.follow(this.view, this.old);
    });
    this.old = new View(svgById("old"), () => this.follow(this.old, this.view));
    this.minimap = new Minimap(this.view.scene, this.view.camera);
    /** @type {View | null} */
    this.leader = null;
    /** The thing that is to come into view once it is laid out. @type {string | null} */
    this.wanted = null;
    this.fitted = false;
    this.viewChanged = false;
  }

  get palette() {
    return PALETTES[this.store.state.theme];
  }

  /** The graph that is drawn: a stage, or two in one. @returns {Stage} */
  shown() {
    const { view, against, stage } = this.store.state;
    return view === "overlay" && against !== stage ? this.drawings.overlay(against, stage) : this.drawings.stage(stage);
  }

  /** @returns {Map<number, Change>} */
  changes() {
    const { stage, against, view } = this.store.state;
    return view === "single" ? this.drawings.marks(stage) : this.drawings.changes(against, stage);
  }

  path() {
    const stage = this.drawings.stage(this.store.state.stage);
    return this.drawings.once(`path ${stage.index}`, () => criticalPath(stage));
  }

  /** One of two drawings follows the other: at the same scale, with the same node in the middle. @param {View} from @param {View} to */
  follow(from, to) {
    if (this.store.state.view !== "side" || this.leader === to || !from.placed || !to.placed) return;
    const other = to.placed.layout;
    const key = from.scene.nearest((one) => other.rects.has(one));
    const [here, there] = [key && from.placed.layout.rects.get(key), key && other.rects.get(key)];
    if (!here || !there) return;
    this.leader = from;
    to.camera.place(there.x + there.width / 2 - (here.x + here.width / 2 - from.camera.x), there.y - (here.y - from.camera.y), from.camera.scale);
    this.leader = null;
  }

  /** How a drawing is coloured and marked now. @param {View} which @param {Stage} stage @returns {import("./paint.js").Drawing} */
  look(which, stage) {
    const placed = which.placed;
    if (!placed) throw new Error("nothing is laid out yet");
    const { colour, marks, view } = this.store.state;
    const fill = remembered(fillsOf(colouring(stage, colour, this.palette), stage, this.palette));
    const change = remembered(marks ? changeOfItem(this.changes()) : () => null);
    const linkChange = view === "overlay" ? linkChanges(placed.visible.items, change) : () => null;
    return { items: placed.visible.items, layout: placed.layout, labels: placed.labels, fillOf: fill, changeOf: change, linkChangeOf: linkChange };
  }

  /** Colours, marks and path anew, on the same layout. */
  repaint() {
    const stage = this.shown();
    const { view, old } = this;
    if (!view.placed || view.placed.visible.stage !== stage) return;
    view.scene.path = this.pathKeys(view);
    view.scene.drawing = this.look(view, stage);
    view.scene.request();
    if (this.store.state.view === "side" && old.placed) {
      old.scene.drawing = this.look(old, old.placed.visible.stage);
      old.scene.request();
    }
    this.minimap?.redraw(this.palette);
    this.explain(stage);
  }

  /** What the colours and marks mean. @param {Stage} stage */
  explain(stage) {
    const { marks, view, colour, critical } = this.store.state;
    const path = critical ? this.path() : null;
    const share = path && (path.metric === "macs" ? `${short(path.total)} of ${short(path.sum)} multiply-adds` : `${digits(path.total / 1000)} of ${digits(path.sum / 1000)} ms`);
    showLegend(colouring(stage, colour, this.palette), {
      marks: marks && this.last > 0, removed: view === "single" ? "removed next" : "removed", palette: this.palette,
      mark: this.last > 0 ? (on) => this.store.set({ marks: on }) : null,
      text: path ? `Critical path: ${counted(path.ids.length, "node")}, ${share}` : null,
    });
  }

  /** @param {View} which @returns {Set<string>} */
  pathKeys(which) {
    const keys = new Set();
    const found = this.store.state.critical ? this.path() : null;
    if (!found || !which.placed) return keys;
    const ids = new Set(found.ids);
    for (const item of which.placed.visible.items.values()) if (item.kind !== "open" && item.ids.some((id) => ids.has(id))) keys.add(item.key);
    return keys;
  }

  /** Lay out and show what the state asks for. @param {boolean} animate */
  refresh(animate) {
    void this.show(this.view, this.shown(), animate);
    if (this.store.state.view === "side") void this.show(this.old, this.drawings.stage(this.store.state.against), animate);
  }

  /** @param {View} which @param {Stage} stage @param {boolean} animate */
  async show(which, stage, animate) {
    which.asked += 1;
    const ask = which.asked;
    const slow = setTimeout(() => { byId("busy").hidden = false; }, 150);
    try {
      const placed = await this.drawings.place(stage, this.store.state.closed, true);
      if (ask !== which.asked) return;
      this.put(which, placed, animate);
      if (which === this.view) this.arrive(placed, animate);
      else this.follow(this.view, this.old);
    } catch (error) {
      byId("status").textContent = `This graph could not be laid out: ${error instanceof Error ? error.message : error}`;
    } finally {
      clearTimeout(slow);
      if (ask === which.asked) byId("busy").hidden = true;
    }
  }

  /** Show a graph that is laid out; what is selected, or in the middle, stays where it is. @param {View} which @param {import("./drawings.js").Placed} placed @param {boolean} animate */
  put(which, placed, animate) {
    const before = which.placed;
    which.placed = placed;
    const { rects } = placed.layout;
    const { selected } = this.store.state;
    const at = selected && before?.layout.rects.get(selected);
    const anchor = selected && at && rects.has(selected) && which.camera.sees(at) ? selected : which.scene.nearest((key) => rects.has(key));
    which.scene.selected = selected;
    which.scene.path = which === this.view ? this.pathKeys(which) : new Set();
    which.camera.bounds = placed.layout;
    const { stage } = placed.visible;
    which.scene.show(this.look(which, stage), {
      animate: animate && before !== null, anchor: this.fitted ? anchor : null, origin: (item) => this.origins(item, before?.visible.stage),
    });
    const title = which.svg.querySelector("title");
    if (title) title.textContent = stage.title;
  }

  /** What follows when the drawing is there. @param {import("./drawings.js").Placed} placed @param {boolean} animate */
  arrive(placed, animate) {
    if (!this.fitted) {
      this.fitted = true;
      this.view.fit();
    }
    const target = this.wanted && placed.layout.rects.get(this.wanted);
    if (target) this.view.camera.show(target, !animate);
    this.wanted = null;
    if (this.viewChanged) this.view.narrow();
    this.viewChanged = false;
    this.repaint();
    document.documentElement.dataset.stage = String(this.store.state.stage);
    document.documentElement.dataset.items = String(placed.visible.items.size);
    this.prefetch();
  }

  /** What a new thing grows out of, or an old one goes back to. @param {Item} item @param {Stage | undefined} before @returns {string[]} */
  origins(item, before) {
    if (!before || !item.record) return item.kind === "closed" ? item.ids.map(keyOfNode) : [];
    const boxes = this.drawings.scopes(before).paths.get(item.record.id) ?? [];
    return [...this.lineage.standIns(before, item.record.id).map(keyOfNode), ...boxes.slice(-1)];
  }

  /** Layouts that are likely to be asked for next. */
  prefetch() {
    const { stage, closed, view } = this.store.state;
    if (view !== "single") return;
    for (const next of [stage + 1, stage - 1, stage + 2]) if (next >= 0 && next <= this.last) void this.drawings.place(this.drawings.stage(next), closed, false).catch(() => {});
  }

  /** Select a thing and bring it into view, opening the boxes around it. @param {string} key @param {number} [stage] */
  go(key, stage = this.store.state.stage) {
    const { state } = this.store;
    const id = idOfKey(key);
    const shown = state.view === "overlay" && stage === state.stage ? this.shown() : this.drawings.stage(stage);
    const path = id === null ? [] : (this.drawings.scopes(shown).paths.get(id) ?? []);
    const closed = new Set(state.closed);
    for (const box of path) closed.delete(box);
    this.wanted = key;
    const opened = closed.size !== state.closed.size;
    this.store.set({ stage, selected: key, closed: opened ? closed : state.closed });
    if (opened || stage !== state.stage) return;
    const rect = this.view.placed?.layout.rects.get(key);
    if (rect) this.view.camera.show(rect);
    this.wanted = null;
  }

  /** Open a box, or close it. @param {string} key */
  toggle(key) {
    const closed = new Set(this.store.state.closed);
    if (!closed.delete(key)) closed.add(key);
    this.store.set({ closed, selected: key });
  }

  /** All boxes closed, or all open. */
  toggleAll() {
    const { boxes } = this.drawings.scopes(this.shown());
    this.store.set({ closed: this.allOpen() ? new Set(boxes.keys()) : new Set() });
  }

  allOpen() {
    return ![...this.drawings.scopes(this.shown()).boxes.keys()].some((key) => this.store.state.closed.has(key));
  }
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
