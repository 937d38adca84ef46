// What is drawn of a stage when some of its boxes are closed: things, each with its size, and the edges between them.

import { briefShape, counted, fitText, opTitle, salient, textWidth } from "./format.js";
import { keyOfNode } from "./story.js";

/** @typedef {import("./story.js").Stage} Stage @typedef {import("./story.js").NodeRecord} NodeRecord @typedef {import("./scopes.js").Scopes} Scopes */

/**
 * @typedef {{
 *   key: string, kind: "node" | "closed" | "open" | "input" | "output", parent: string | null,
 *   title: string, subtitle: string, name: string, record: NodeRecord | null, ids: number[], width: number, height: number,
 * }} Item  `ids` are the nodes that it stands for
 * @typedef {{key: string, from: string, to: string, values: number[]}} Link
 * @typedef {{stage: Stage, scopes: Scopes, items: Map<string, Item>, links: Link[]}} Visible
 */

export const TITLE = 12.5;
export const SUBTITLE = 11;
const WIDEST = 230;

/**
 * @param {Stage} stage @param {Scopes} scopes @param {ReadonlySet<string>} closed @returns {Visible}
 */
export function visibleGraph(stage, scopes, closed) {
  /** @type {Map<string, Item>} */
  const items = new Map();
  /** @type {Map<string, string>} */
  const shownAs = new Map();
  const { story, record } = stage;
  for (const value of record.inputs) addEnd(items, "input", `i:${story.values[value].name}`, story.values[value]);
  for (const node of stage.nodes) {
    const path = scopes.paths.get(node.id) ?? [];
    const shut = path.findIndex((key) => closed.has(key));
    const open = shut < 0 ? path : path.slice(0, shut);
    open.forEach((key, depth) => addBox(items, scopes, key, open[depth - 1] ?? null, "open"));
    const parent = open[open.length - 1] ?? null;
    let key = keyOfNode(node.id);
    if (shut < 0) addNode(items, story, node, key, parent);
    else {
      key = path[shut];
      addBox(items, scopes, key, parent, "closed");
    }
    shownAs.set(keyOfNode(node.id), key);
    for (const box of shut < 0 ? open : [...open, key]) items.get(box)?.ids.push(node.id);
  }
  for (const value of record.outputs) addEnd(items, "output", `o:${story.values[value].name}`, story.values[value]);
  /** @type {Map<string, Link>} */
  const links = new Map();
  for (const edge of stage.edges) {
    const from = shownAs.get(edge.from) ?? edge.from;
    const to = shownAs.get(edge.to) ?? edge.to;
    if (from === to || !items.has(from) || !items.has(to)) continue;
    const key = `${from} ${to}`;
    const link = links.get(key);
    if (!link) links.set(key, { key, from, to, values: [edge.value] });
    else if (!link.values.includes(edge.value)) link.values.push(edge.value);
  }
  return { stage, scopes, items, links: [...links.values()] };
}

/** @param {Map<string, Item>} items @param {import("./story.js").Story} story @param {NodeRecord} node @param {string} key @param {string | null} parent */
function addNode(items, story, node, key, parent) {
  const subtitle = fitText(salient(story, node), SUBTITLE, WIDEST - 24);
  const title = fitText(opTitle(node), TITLE, WIDEST - 24);
  const width = Math.max(84, Math.max(textWidth(title, TITLE * 1.06), textWidth(subtitle, SUBTITLE)) + 24);
  items.set(key, {
    key, kind: "node", parent, title, subtitle, name: node.name || node.label, record: node, ids: [node.id],
    width: Math.round(width), height: subtitle ? 42 : 30,
  });
}

/** @param {Map<string, Item>} items @param {Scopes} scopes @param {string} key @param {string | null} parent @param {"open" | "closed"} kind */
function addBox(items, scopes, key, parent, kind) {
  if (items.has(key)) return;
  const box = scopes.boxes.get(key);
  if (!box) return;
  const title = fitText(box.title, TITLE, WIDEST - 48);
  const subtitle = counted(box.all, "node");
  const width = Math.max(110, Math.max(textWidth(title, TITLE * 1.06) + 48, textWidth(subtitle, SUBTITLE) + 48));
  items.set(key, { key, kind, parent, title, subtitle, name: box.name, record: null, ids: [], width: Math.round(width), height: 46 });
}

/** @param {Map<string, Item>} items @param {"input" | "output"} kind @param {string} key @param {import("./story.js").Value} value */
function addEnd(items, kind, key, value) {
  const title = fitText(value.name, TITLE, WIDEST - 24);
  const subtitle = fitText(briefShape(value.shape), SUBTITLE, WIDEST - 24);
  const width = Math.max(72, Math.max(textWidth(title, TITLE * 1.06), textWidth(subtitle, SUBTITLE)) + 30);
  items.set(key, { key, kind, parent: null, title, subtitle, name: value.name, record: null, ids: [], width: Math.round(width), height: 40 });
}
