// A drawing in the page: only what is in view has elements, and far away each colour is one path. It moves from one
// drawing to the next by the identity of what it shows.

import { calm, makeSvg } from "./dom.js";
import { arrowPath, boxTitleMarkup, itemMarkup, labelMarkup, routePath, SIGNS } from "./paint.js";
import { HEADER } from "./elk.js";

/** @typedef {import("./visible.js").Item} Item @typedef {import("./elk.js").Rect} Rect @typedef {import("./elk.js").Point} Point @typedef {import("./elk.js").Route} Route */
/** @typedef {import("./paint.js").Drawing} Drawing @typedef {import("./camera.js").Camera} Camera @typedef {import("./story.js").Change} Change */
/** @typedef {{item: Item, from: Rect | null, to: Rect | null, now: Rect, opacity: number}} Actor  `from` null: it appears; `to` null: it goes */

/** Below this scale nothing can be read, so nothing is written. */
const LEGIBLE = 0.36;
const SHAPES_FROM = 0.75;
const DURATION = 420;

export class Scene {
  /** @param {SVGSVGElement} svg @param {Camera} camera */
  constructor(svg, camera) {
    this.svg = svg;
    this.camera = camera;
    /** @type {Drawing | null} */
    this.drawing = null;
    /** @type {Map<string, Actor>} */
    this.actors = new Map();
    /** @type {{route: Route, from: Point[] | null}[]} */
    this.lines = [];
    /** @type {string | null} */
    this.selected = null;
    /** @type {ReadonlySet<string>} keys of a path to show, with its edges */
    this.path = new Set();
    this.progress = 1;
    this.began = 0;
    this.lift = { x: 0, y: 0 };
    this.frame = 0;
    this.root = makeSvg("g");
    this.layers = Object.fromEntries(["boxes", "edges", "labels", "cards", "marks"].map((name) => [name, makeSvg("g")]));
    this.root.append(...Object.values(this.layers));
    svg.append(this.root);
    /** @type {Map<string, {element: SVGElement, markup: string, seen: number}>} */
    this.pool = new Map();
    this.tick = 0;
    /** Frame times of the last animation, for measuring. @type {number[]} */
    this.times = [];
  }

  /**
   * Show a drawing; what both it and the one before show moves, around `anchor`, which stays where it is in view.
   * @param {Drawing} drawing @param {{animate: boolean, anchor?: string | null, origin?: (item: Item) => string[]}} how
   */
  show(drawing, { animate, anchor = null, origin = () => [] }) {
    const before = new Map([...this.actors].filter(([, actor]) => actor.to !== null).map(([key, actor]) => [key, { ...actor.now }]));
    const oldItems = this.drawing?.items;
    const oldRoutes = new Map((this.drawing?.layout.routes ?? []).map((route) => [route.key, route.points]));
    const moving = animate && !calm() && before.size > 0;
    /** @type {Map<string, Actor>} */
    const actors = new Map();
    for (const [key, to] of drawing.layout.rects) {
      const item = drawing.items.get(key);
      if (!item) continue;
      let from = before.get(key) ?? null;
      if (!from && moving) from = middleOf(origin(item).flatMap((parent) => before.get(parent) ?? []), to);
      actors.set(key, { item, from: moving ? from : to, to, now: { ...(moving && from ? from : to) }, opacity: moving && !before.has(key) ? 0 : 1 });
    }
    if (moving && oldItems)
      for (const [key, rect] of before) {
        const item = oldItems.get(key);
        if (item && !actors.has(key)) actors.set(key, { item, from: rect, to: null, now: { ...rect }, opacity: 1 });
      }
    const held = anchor !== null ? before.get(anchor) : undefined;
    const target = anchor !== null ? drawing.layout.rects.get(anchor) : undefined;
    this.lift = { x: 0, y: 0 };
    this.camera.bounds = drawing.layout;
    if (held && target) {
      const { camera } = this;
      const [x, y] = [camera.x, camera.y];
      // Who looks at the start of the graph goes on looking at it; who sees its whole width keeps that too.
      const start = Math.min(y, -12 / camera.scale);
      const left = (drawing.layout.width - camera.room / camera.scale) / 2;
      camera.place(left < 0 ? left : x + target.x + target.width / 2 - held.x - held.width / 2, Math.max(start, y + target.y + target.height / 2 - held.y - held.height / 2), camera.scale);
      this.lift = { x: camera.x - x, y: camera.y - y };
      // The camera is at the new place at once, and all that moves starts from where it was seen.
      if (moving)
        for (const actor of actors.values()) {
          if (!actor.from) continue;
          actor.from = { ...actor.from, x: actor.from.x + this.lift.x, y: actor.from.y + this.lift.y };
          actor.now = { ...actor.from };
        }
    }
    this.lines = drawing.layout.routes.map((route) => {
      const old = moving ? oldRoutes.get(route.key) : undefined;
      return { route, from: old ? old.map((point) => ({ x: point.x + this.lift.x, y: point.y + this.lift.y })) : null };
    });
    this.drawing = drawing;
    this.actors = actors;
    this.progress = moving ? 0 : 1;
    this.began = performance.now();
    this.times = [];
    this.request();
  }

  /** Draw before the next frame. */
  request() {
    if (this.frame) return;
    this.frame = requestAnimationFrame((now) => {
      this.frame = 0;
      this.draw(now);
    });
  }

  /** What is drawn at a point: the innermost thing. @param {number} x @param {number} y @returns {Item | null} */
  at(x, y) {
    let found = null;
    let size = Infinity;
    for (const { item, to } of this.actors.values()) {
      if (!to || x < to.x || y < to.y || x > to.x + to.width || y > to.y + to.height) continue;
      const area = to.width * to.height;
      if (item.kind === "open" && y > to.y + HEADER) continue;
      if (area < size) [found, size] = [item, area];
    }
    return found;
  }

  /** The key of the thing nearest to the middle of the view, of those that `also` has. @param {(key: string) => boolean} also */
  nearest(also) {
    const { camera } = this;
    const [x, y] = [camera.x + camera.width / 2 / camera.scale, camera.y + camera.height / 2.4 / camera.scale];
    let best = null;
    let least = Infinity;
    for (const [key, { to, item }] of this.actors) {
      if (!to || item.kind === "open" || !also(key)) continue;
      const distance = Math.hypot(to.x + to.width / 2 - x, to.y + to.height / 2 - y);
      if (distance < least) [best, least] = [key, distance];
    }
    return best;
  }

  /** @param {number} now */
  draw(now) {
    const { drawing, camera } = this;
    if (!drawing) return;
    const start = performance.now();
    if (this.progress < 1) this.move(Math.min(1, Math.max(0, (now - this.began) / DURATION)));
    this.root.setAttribute("transform", `scale(${camera.scale}) translate(${-camera.x} ${-camera.y})`);
    this.tick += 1;
    if (camera.scale >= LEGIBLE) this.drawNear(drawing);
    else this.drawFar(drawing);
    for (const [key, entry] of this.pool)
      if (entry.seen !== this.tick) {
        entry.element.remove();
        this.pool.delete(key);
      }
    if (this.progress < 1) {
      this.times.push(performance.now() - start);
      this.request();
    }
  }

  /** @param {number} time of 1 */
  move(time) {
    this.progress = time;
    const part = time < 0.5 ? 4 * time ** 3 : 1 - (-2 * time + 2) ** 3 / 2;
    for (const [key, actor] of this.actors) {
      const { from, to } = actor;
      if (from && to) {
        for (const side of /** @type {const} */ (["x", "y", "width", "height"])) actor.now[side] = from[side] + (to[side] - from[side]) * part;
        if (actor.opacity < 1) actor.opacity = part;
      } else if (to) {
        actor.now = { ...to };
        actor.opacity = Math.max(0, part * 2 - 1);
      } else {
        actor.opacity = Math.max(0, 1 - part * 1.8);
        if (time >= 1) this.actors.delete(key);
      }
    }
  }

  /** @param {Rect} rect @param {number} margin */
  inView({ x, y, width, height }, margin = 20) {
    const { camera } = this;
    return x + width + margin > camera.x && y + height + margin > camera.y && x - margin < camera.x + camera.width / camera.scale && y - margin < camera.y + camera.height / camera.scale;
  }

  /**
   * The element kept under a key, made where there is none, with this markup in it.
   * @param {string} key @param {string} layer @param {string} tag @param {string} markup
   */
  keep(key, layer, tag, markup) {
    let entry = this.pool.get(key);
    if (!entry) {
      entry = { element: makeSvg(tag), markup: "", seen: 0 };
      this.pool.set(key, entry);
      this.layers[layer].append(entry.element);
    }
    entry.seen = this.tick;
    if (entry.markup !== markup) {
      entry.markup = markup;
      if (tag === "g") entry.element.innerHTML = markup;
      else entry.element.setAttribute("d", markup);
    }
    return entry.element;
  }

  /** @param {Drawing} drawing */
  drawNear(drawing) {
    const { camera } = this;
    for (const [key, { item, now, opacity }] of this.actors) {
      if (!this.inView(now)) continue;
      const open = item.kind === "open";
      const fill = drawing.fillOf(item);
      const element = this.keep(`item ${key}`, open ? "boxes" : "cards", "g", itemMarkup(item, now.width, now.height, fill, drawing.changeOf(item)));
      element.setAttribute("transform", `translate(${now.x.toFixed(1)} ${now.y.toFixed(1)})`);
      element.setAttribute("opacity", opacity.toFixed(2));
      if (open) {
        const title = this.keep(`title ${key}`, "labels", "g", boxTitleMarkup(item));
        title.setAttribute("transform", `translate(${now.x.toFixed(1)} ${now.y.toFixed(1)})`);
        title.setAttribute("opacity", opacity.toFixed(2));
      }
      if (element.id === "") {
        element.id = `${this.svg.id}-${key}`;
        element.setAttribute("class", "item");
        element.setAttribute("data-key", key);
        element.setAttribute("role", "img");
        element.setAttribute("aria-label", `${item.title} ${item.subtitle} ${item.name}`);
      }
    }
    const fresh = this.progress < 1 ? Math.max(0, this.progress * 2 - 1).toFixed(2) : "1";
    for (const { route, from } of this.lines) {
      const points = this.progress < 1 ? this.bend(route, from) : route.points;
      if (!this.inView(around(points))) continue;
      const change = drawing.linkChangeOf(route.from, route.to);
      const lit = this.path.has(route.from) && this.path.has(route.to);
      const near = this.selected !== null && (route.from === this.selected || route.to === this.selected);
      const line = this.keep(`line ${route.key}`, "edges", "path", routePath(points));
      line.setAttribute("class", `e${change ? ` ${change}` : ""}${lit ? " lit" : ""}${near ? " near" : ""}`);
      const head = this.keep(`head ${route.key}`, "edges", "path", arrowPath(points));
      head.setAttribute("class", `${change ? `f-${change}` : "a"}${lit ? " lit-head" : ""}${near ? " near-head" : ""}`);
      const opacity = this.progress < 1 && !from ? fresh : "1";
      line.setAttribute("opacity", opacity);
      head.setAttribute("opacity", opacity);
    }
    if (camera.scale >= SHAPES_FROM && this.progress >= 1)
      for (const label of drawing.labels) if (this.inView(label)) this.keep(`label ${label.key}`, "labels", "g", labelMarkup(label));
    this.markSelection();
  }

  markSelection() {
    const actor = this.selected === null ? undefined : this.actors.get(this.selected);
    if (!actor || !actor.to) return;
    const { x, y, width, height } = actor.now;
    const gap = Math.max(8, 3 / this.camera.scale);
    const mark = this.keep("selection", "marks", "path", `M${x - gap} ${y - gap}h${width + 2 * gap}v${height + 2 * gap}h${-width - 2 * gap}z`);
    mark.setAttribute("class", "selection");
  }

  /** @param {Drawing} drawing */
  drawFar(drawing) {
    /** @type {Map<string, string[]>} */
    const paths = new Map();
    /** @type {Map<Change, string[]>} */
    const halos = new Map();
    const boxes = [];
    /** @type {number[]} heights at which titles stand */
    const taken = [];
    for (const [key, { item, now, opacity }] of this.actors) {
      if (opacity < 0.3 || !this.inView(now)) continue;
      const outline = `M${now.x.toFixed(1)} ${now.y.toFixed(1)}h${now.width.toFixed(1)}v${now.height.toFixed(1)}h${(-now.width).toFixed(1)}z`;
      if (item.kind === "open") {
        boxes.push(outline);
        this.titleFar(key, item, now, taken);
        continue;
      }
      const fill = drawing.fillOf(item);
      const same = paths.get(fill);
      if (same) same.push(outline);
      else paths.set(fill, [outline]);
      const change = drawing.changeOf(item);
      if (change) {
        const alike = halos.get(change);
        if (alike) alike.push(outline);
        else halos.set(change, [outline]);
      }
    }
    if (boxes.length) this.keep("far boxes", "boxes", "path", boxes.join("")).setAttribute("class", "b far");
    /** @type {string[]} */
    const lines = [];
    /** @type {string[]} */
    const lit = [];
    for (const { route, from } of this.lines) {
      const points = this.progress < 1 ? this.bend(route, from) : route.points;
      if (!this.inView(around(points))) continue;
      const path = `M${points.map((point) => `${Math.round(point.x)} ${Math.round(point.y)}`).join("L")}`;
      (this.path.has(route.from) && this.path.has(route.to) ? lit : lines).push(path);
    }
    this.keep("far lines", "edges", "path", lines.join("")).setAttribute("class", "e far");
    if (lit.length) this.keep("far path", "edges", "path", lit.join("")).setAttribute("class", "e far lit");
    for (const [fill, outlines] of paths) this.keep(`far ${fill}`, "cards", "path", outlines.join("")).setAttribute("fill", fill);
    for (const [change, outlines] of halos) this.keep(`far ${SIGNS[change]}`, "marks", "path", outlines.join("")).setAttribute("class", `h ${change} far`);
    this.markSelection();
  }

  /**
   * A box's title in the size of the screen's text, beside the box, where no other title stands at that height.
   * @param {string} key @param {Item} item @param {Rect} rect @param {number[]} taken
   */
  titleFar(key, item, rect, taken) {
    const { scale } = this.camera;
    const y = rect.y + 12 / scale;
    if (rect.height * scale < 24 || taken.some((other) => Math.abs(other - y) * scale < 15)) return;
    taken.push(y);
    const element = this.keep(`far title ${key}`, "labels", "g", '<text class="bt" text-anchor="end"></text>');
    const text = element.firstElementChild;
    if (!text) return;
    text.textContent = item.title;
    text.setAttribute("x", (rect.x - 6 / scale).toFixed(0));
    text.setAttribute("y", y.toFixed(0));
    text.setAttribute("style", `font-size: ${(12 / scale).toFixed(1)}px`);
  }

  /**
   * A route on its way: from its old shape, or tied to the things that move at its ends.
   * @param {Route} route @param {Point[] | null} from @returns {Point[]}
   */
  bend(route, from) {
    const { points } = route;
    const time = this.progress;
    const part = time < 0.5 ? 4 * time ** 3 : 1 - (-2 * time + 2) ** 3 / 2;
    if (from) {
      const old = resample(from, points.length);
      const fresh = resample(points, old.length);
      return fresh.map((point, at) => ({ x: old[at].x + (point.x - old[at].x) * part, y: old[at].y + (point.y - old[at].y) * part }));
    }
    const [a, b] = [this.actors.get(route.from), this.actors.get(route.to)];
    if (!a?.to || !b?.to) return points;
    const head = { x: a.now.x - a.to.x + (a.now.width - a.to.width) / 2, y: a.now.y + a.now.height - a.to.y - a.to.height };
    const tail = { x: b.now.x - b.to.x + (b.now.width - b.to.width) / 2, y: b.now.y - b.to.y };
    const last = points.length - 1;
    return points.map((point, at) => ({ x: point.x + head.x + ((tail.x - head.x) * at) / last, y: point.y + head.y + ((tail.y - head.y) * at) / last }));
  }
}

/** The same line with more points, the last repeated before its end. @param {Point[]} points @param {number} count @returns {Point[]} */
function resample(points, count) {
  if (points.length >= count) return points;
  const middle = points[Math.max(0, points.length - 2)];
  return [...points.slice(0, -1), ...new Array(count - points.length).fill(middle), points[points.length - 1]];
}

/** The rectangle around points. @param {Point[]} points @returns {Rect} */
function around(points) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, y } of points) {
    left = Math.min(left, x);
    top = Math.min(top, y);
    right = Math.max(right, x);
    bottom = Math.max(bottom, y);
  }
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** Where something grows from: small, in the middle of its parents. @param {Rect[]} rects @param {Rect} to @returns {Rect | null} */
function middleOf(rects, to) {
  if (rects.length === 0) return null;
  const x = rects.reduce((sum, rect) => sum + rect.x + rect.width / 2, 0) / rects.length;
  const y = rects.reduce((sum, rect) => sum + rect.y + rect.height / 2, 0) / rects.length;
  return { x: x - to.width / 2, y: y - to.height / 2, width: to.width, height: to.height };
}
