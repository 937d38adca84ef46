// Where the shapes of values are written along edges: only where nothing else stands.

import { briefShape, counted, textWidth } from "./format.js";

/** @typedef {import("./elk.js").Layout} Layout @typedef {import("./elk.js").Rect} Rect @typedef {import("./story.js").Story} Story */
/** @typedef {{x: number, y: number, width: number, height: number, text: string, from: string, key: string}} Label */

export const LABEL = 9.5;
const CELL = 120;

/** A grid in which rectangles that touch a given one are found without looking at all of them. */
class Grid {
  constructor() {
    /** @type {Map<string, Rect[]>} */
    this.cells = new Map();
  }

  /** @param {Rect} rect @param {(cell: string) => boolean | void} visit */
  static over(rect, visit) {
    for (let column = Math.floor(rect.x / CELL); column <= Math.floor((rect.x + rect.width) / CELL); column++)
      for (let row = Math.floor(rect.y / CELL); row <= Math.floor((rect.y + rect.height) / CELL); row++) if (visit(`${column} ${row}`)) return true;
    return false;
  }

  /** @param {Rect} rect */
  add(rect) {
    Grid.over(rect, (cell) => {
      const known = this.cells.get(cell);
      if (known) known.push(rect);
      else this.cells.set(cell, [rect]);
    });
  }

  /** @param {Rect} rect */
  touches(rect) {
    return Grid.over(rect, (cell) =>
      (this.cells.get(cell) ?? []).some(
        (other) => other.x < rect.x + rect.width && rect.x < other.x + other.width && other.y < rect.y + rect.height && rect.y < other.y + other.height,
      ),
    );
  }
}

/**
 * Labels of a drawing's edges, one for each thing and value; one that has no room is left out.
 * @param {Story} story @param {Layout} layout @param {(key: string) => boolean} isOpen whether a key is that of an open box
 * @returns {Label[]}
 */
export function placeLabels(story, layout, isOpen) {
  const taken = new Grid();
  for (const [key, rect] of layout.rects) if (!isOpen(key)) taken.add(rect);
  for (const [key, rect] of layout.rects) if (isOpen(key)) taken.add({ x: rect.x, y: rect.y, width: rect.width, height: 28 });
  for (const route of layout.routes)
    for (let at = 1; at < route.points.length; at++) {
      const [a, b] = [route.points[at - 1], route.points[at]];
      taken.add({ x: Math.min(a.x, b.x) - 1, y: Math.min(a.y, b.y) - 1, width: Math.abs(a.x - b.x) + 2, height: Math.abs(a.y - b.y) + 2 });
    }
  /** @type {Label[]} */
  const labels = [];
  const done = new Set();
  for (const route of layout.routes) {
    const key = `${route.from} ${route.values.join()}`;
    if (done.has(key)) continue;
    const text = route.values.length === 1 ? briefShape(story.values[route.values[0]].shape) : counted(route.values.length, "tensor");
    if (text === "?") continue;
    const width = textWidth(text, LABEL) + 2;
    const height = LABEL + 3;
    for (const spot of spots(route.points, width, height)) {
      if (taken.touches(spot)) continue;
      labels.push({ ...spot, text, from: route.from, key });
      taken.add(spot);
      done.add(key);
      break;
    }
  }
  return labels;
}

/** Places beside the upright parts of a route, best first. @param {import("./elk.js").Point[]} points @param {number} width @param {number} height @returns {Rect[]} */
function spots(points, width, height) {
  const found = [];
  for (let at = 1; at < points.length; at++) {
    const [a, b] = [points[at - 1], points[at]];
    if (Math.abs(a.x - b.x) > 0.5 || b.y - a.y < height + 3) continue;
    for (const y of [a.y + 2, (a.y + b.y - height) / 2, b.y - height - 7]) found.push({ x: a.x + 4, y, width, height }, { x: a.x - 4 - width, y, width, height });
  }
  return found;
}
