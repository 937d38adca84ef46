// The boxes a graph is drawn in: its scopes, and where those leave too much to draw, runs of its order.

/** @typedef {import("./story.js").Story} Story @typedef {import("./story.js").Stage} Stage */

/**
 * @typedef {{key: string, name: string, title: string, parent: string | null, nodes: number[], boxes: string[], all: number}} Box
 *   `nodes` stand in it directly, `boxes` are the boxes in it, `all` counts its nodes at any depth
 * @typedef {{paths: Map<number, string[]>, boxes: Map<string, Box>, top: number}} Scopes
 *   `paths` names the boxes around each node, outermost first; `top` counts what stands in no box
 */

/** More than this is neither read nor laid out in a moment. */
export const MOST_DRAWN = 3000;

/** So many nodes are shown without a box closed; of more, so many things that it opens at once. */
export const ALL_OPEN = 600;
const MOST_OPEN = 220;

const RUN_LENGTH = 200;

/** @type {WeakMap<Story, Map<number, string>>} */
const runsOfStories = new WeakMap();

/** The boxes of a stage. @param {Stage} stage @returns {Scopes} */
export function scopesOf(stage) {
  const outermost = new Set(stage.nodes.map((node) => node.scope[0] ?? node.id));
  const runs = outermost.size > MOST_DRAWN ? runsOf(stage) : null;
  /** @type {Map<number, string[]>} */
  const paths = new Map(stage.nodes.map((node) => [node.id, runs ? [`run ${runs.get(node.id) ?? "1"}`, ...node.scope] : node.scope]));
  const sizes = countInside(paths.values());
  /** @type {Scopes} */
  const scopes = { paths: new Map(), boxes: new Map(), top: 0 };
  for (const [id, path] of paths) {
    /** @type {string | null} */
    let parent = null;
    let around = 0;
    const keys = [];
    for (const name of path) {
      const all = sizes.get(name) ?? 0;
      if (all < 2 || all === around) continue; // a box around one thing says nothing
      const key = `b:${name}`;
      let box = scopes.boxes.get(key);
      if (!box) {
        box = { key, name, title: ownName(name, parent?.slice(2) ?? null), parent, nodes: [], boxes: [], all };
        scopes.boxes.set(key, box);
        if (parent !== null) scopes.boxes.get(parent)?.boxes.push(key);
        else scopes.top += 1;
      } else if (box.parent !== parent) break; // a name met under two parents keeps the first
      keys.push(key);
      parent = key;
      around = all;
    }
    if (parent === null) scopes.top += 1;
    else scopes.boxes.get(parent)?.nodes.push(id);
    scopes.paths.set(id, keys);
  }
  return scopes;
}

/** How many nodes stand in each scope. @param {Iterable<string[]>} paths @returns {Map<string, number>} */
function countInside(paths) {
  /** @type {Map<string, number>} */
  const sizes = new Map();
  for (const path of paths) for (const name of new Set(path)) sizes.set(name, (sizes.get(name) ?? 0) + 1);
  return sizes;
}

/** The boxes to close at first, so that what is seen stays legible: the innermost ones, until little enough is open. @param {Scopes} scopes @returns {Set<string>} */
export function closedAtFirst(scopes) {
  const total = scopes.paths.size;
  if (total <= ALL_OPEN) return new Set();
  const closed = new Set(scopes.boxes.keys());
  let open = scopes.top;
  let front = [...scopes.boxes.values()].filter((box) => box.parent === null);
  while (front.length) {
    /** @type {import("./scopes.js").Box[]} */
    const next = [];
    for (const box of front.sort((a, b) => b.all - a.all)) {
      const inside = box.nodes.length + box.boxes.length;
      if (open + inside > MOST_OPEN && !(inside === 1 && open < MOST_OPEN)) continue;
      open += inside;
      closed.delete(box.key);
      for (const key of box.boxes) {
        const inner = scopes.boxes.get(key);
        if (inner) next.push(inner);
      }
    }
    front = next;
  }
  return closed;
}

/** The last part of a scope's name, without its parent's. @param {string} name @param {string | null} parent */
function ownName(name, parent) {
  if (parent !== null && name.startsWith(parent) && /^[/.]./.test(name.slice(parent.length))) return name.slice(parent.length + 1);
  return name;
}

/**
 * Runs of the order of nodes, cut where few values pass. A node keeps its run over all stages; a new one joins its parents'.
 * @param {Stage} stage @returns {Map<number, string>}
 */
function runsOf(stage) {
  const { story } = stage;
  let runs = runsOfStories.get(story);
  if (!runs) {
    runs = cutIntoRuns(story, story.stages[0].nodes.map((at) => story.nodes[at]));
    runsOfStories.set(story, runs);
  }
  let last = "1";
  for (const node of stage.nodes) {
    const known = runs.get(node.id) ?? node.parents.map((id) => runs?.get(id)).find((run) => run !== undefined) ?? last;
    runs.set(node.id, known);
    last = known;
  }
  return runs;
}

/** @param {Story} story @param {import("./story.js").NodeRecord[]} nodes @returns {Map<number, string>} */
function cutIntoRuns(story, nodes) {
  /** @type {Map<number, number>} */
  const lastUse = new Map();
  nodes.forEach((node, at) => node.inputs.forEach((value) => value !== null && story.values[value].kind !== "constant" && lastUse.set(value, at)));
  const passing = new Array(nodes.length + 1).fill(0);
  nodes.forEach((node, at) =>
    node.outputs.forEach((value) => {
      const until = value === null ? undefined : lastUse.get(value);
      if (until !== undefined) {
        passing[at + 1] += 1;
        passing[until + 1] -= 1;
      }
    }),
  );
  for (let at = 1; at < passing.length; at++) passing[at] += passing[at - 1];
  const runs = new Map();
  let start = 0;
  let number = 1;
  while (start < nodes.length) {
    let end = Math.min(start + RUN_LENGTH, nodes.length);
    if (end < nodes.length)
      for (let at = start + RUN_LENGTH / 2; at <= Math.min(start + RUN_LENGTH * 1.5, nodes.length - 1); at++)
        if (passing[at] < passing[end] || (passing[at] === passing[end] && Math.abs(at - start - RUN_LENGTH) < Math.abs(end - start - RUN_LENGTH))) end = at;
    for (let at = start; at < end; at++) runs.set(nodes[at].id, String(number));
    start = end;
    number += 1;
  }
  return runs;
}
