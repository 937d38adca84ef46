// From one thing in the drawing to the next, along its edges or beside it.

/** @typedef {import("./elk.js").Layout} Layout */

/**
 * @param {Layout} layout @param {string} key @param {"up" | "down" | "left" | "right"} direction @param {(key: string) => boolean} isOpen
 * @returns {string | null}
 */
export function neighbour(layout, key, direction, isOpen) {
  const here = layout.rects.get(key);
  if (!here) return null;
  /** @param {import("./elk.js").Rect} rect */
  const middle = (rect) => rect.x + rect.width / 2;
  if (direction === "up" || direction === "down") {
    const next = layout.routes.filter((route) => (direction === "down" ? route.from : route.to) === key).map((route) => (direction === "down" ? route.to : route.from));
    return nearest(next.map((one) => {
      const there = layout.rects.get(one) ?? here;
      return [one, Math.abs(middle(there) - middle(here)) + Math.abs(there.y - here.y)];
    }));
  }
  /** @type {[string, number][]} */
  const beside = [];
  for (const [one, rect] of layout.rects) {
    if (one === key || isOpen(one)) continue;
    const across = (middle(rect) - middle(here)) * (direction === "right" ? 1 : -1);
    const apart = Math.max(0, Math.abs(rect.y + rect.height / 2 - here.y - here.height / 2) - (rect.height + here.height) / 2);
    if (across > 4 && apart < 60) beside.push([one, across + apart * 3]);
  }
  return nearest(beside);
}

/** @param {[string, number][]} found */
const nearest = (found) => found.reduce((best, one) => (best === null || one[1] < best[1] ? one : best), /** @type {[string, number] | null} */ (null))?.[0] ?? null;
