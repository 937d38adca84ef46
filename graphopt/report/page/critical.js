// The longest way through a graph, by time or by work: what a faster machine would still wait for.

import { keyOfNode } from "./story.js";

/** @typedef {import("./story.js").Stage} Stage */
/** @typedef {{ids: number[], total: number, sum: number, metric: "time_us" | "macs"}} CriticalPath  `total` along the path, `sum` over all nodes */

/** @param {Stage} stage @returns {CriticalPath | null} */
export function criticalPath(stage) {
  const metric = ["time_us", "macs"].find((name) => stage.nodes.some((node) => (node.metrics[name] ?? 0) > 0));
  if (metric === undefined) return null;
  /** @type {Map<string, string[]>} */
  const before = new Map();
  for (const { from, to } of stage.edges) {
    const known = before.get(to);
    if (known) known.push(from);
    else before.set(to, [from]);
  }
  /** @type {Map<string, {length: number, last: string | null}>} */
  const longest = new Map();
  let end = null;
  let total = -1;
  let sum = 0;
  for (const node of stage.nodes) {
    const key = keyOfNode(node.id);
    let [length, last] = [0, /** @type {string | null} */ (null)];
    for (const from of before.get(key) ?? []) {
      const reached = longest.get(from);
      if (reached && reached.length >= length) [length, last] = [reached.length, from];
    }
    const own = node.metrics[metric] ?? 0;
    sum += own;
    longest.set(key, { length: length + own, last });
    if (length + own > total) [total, end] = [length + own, key];
  }
  const ids = [];
  for (let key = /** @type {string | null} */ (end); key !== null; key = longest.get(key)?.last ?? null) ids.push(Number(key.slice(1)));
  return { ids: ids.reverse(), total, sum, metric: /** @type {"time_us" | "macs"} */ (metric) };
}
