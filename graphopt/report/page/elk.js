// The language of the layouter: what is drawn as a graph of ELK, and its answer as places and routes.

/** @typedef {import("./visible.js").Visible} Visible */

/**
 * @typedef {{x: number, y: number, width: number, height: number}} Rect
 * @typedef {{x: number, y: number}} Point
 * @typedef {{key: string, from: string, to: string, values: number[], points: Point[]}} Route
 * @typedef {{width: number, height: number, rects: Map<string, Rect>, routes: Route[]}} Layout
 * @typedef {{
 *   id: string, x?: number, y?: number, width?: number, height?: number, layoutOptions?: Record<string, string>,
 *   children?: ElkNode[], edges?: ElkEdge[],
 * }} ElkNode
 * @typedef {{id: string, sources: string[], targets: string[], sections?: {startPoint: Point, endPoint: Point, bendPoints?: Point[]}[]}} ElkEdge
 */

/** Room above what stands in an open box, for its title. */
export const HEADER = 30;

/** Boxes do not inherit options, so each is told those that hold within it. */
const INNER = {
  "elk.layered.nodePlacement.strategy": "BRANDES_KOEPF",
  "elk.layered.nodePlacement.bk.fixedAlignment": "BALANCED",
  "elk.layered.spacing.nodeNodeBetweenLayers": "34",
  "elk.layered.spacing.edgeNodeBetweenLayers": "14",
  "elk.layered.spacing.edgeEdgeBetweenLayers": "10",
  "elk.spacing.nodeNode": "28",
  "elk.spacing.edgeNode": "18",
  "elk.spacing.edgeEdge": "12",
};

const OPTIONS = {
  ...INNER,
  "elk.algorithm": "layered",
  "elk.direction": "DOWN",
  "elk.edgeRouting": "ORTHOGONAL",
  "elk.json.shapeCoords": "ROOT",
  "elk.json.edgeCoords": "ROOT",
  "elk.padding": "[top=16,left=16,bottom=16,right=16]",
  "elk.separateConnectedComponents": "false",
};

/** A drawing this wide may have drifted sideways from box to box. */
const ADRIFT = 1500;

/** Whether another alignment should be tried. @param {ElkNode} answer */
export const drifts = (answer) => (answer.width ?? 0) > ADRIFT && (answer.width ?? 0) > 0.05 * (answer.height ?? 0);

/** The same graph, aligned otherwise: what one alignment lets drift, the other often does not. @param {ElkNode} graph @returns {ElkNode} */
export function otherwise(graph) {
  const { "elk.layered.nodePlacement.bk.fixedAlignment": _, ...options } = graph.layoutOptions ?? {};
  return { ...graph, layoutOptions: options, ...(graph.children ? { children: graph.children.map(otherwise) } : {}) };
}

/** The graph to lay out. @param {Visible} visible @returns {ElkNode} */
export function toElk(visible) {
  /** @type {ElkNode[]} */
  const roots = [];
  /** @type {Map<string, ElkNode>} */
  const made = new Map();
  let nested = false;
  for (const item of visible.items.values()) {
    /** @type {ElkNode} */
    const node = { id: item.key };
    if (item.kind === "open") {
      node.children = [];
      node.layoutOptions = { ...INNER, "elk.padding": `[top=${HEADER + 10},left=14,bottom=14,right=14]`, "elk.nodeSize.constraints": "MINIMUM_SIZE", "elk.nodeSize.minimum": `(${item.width}, 40)` };
      nested = true;
    } else {
      node.width = item.width;
      node.height = item.height;
    }
    made.set(item.key, node);
    const parent = item.parent === null ? undefined : made.get(item.parent);
    (parent?.children ?? roots).push(node);
  }
  return {
    id: "root",
    layoutOptions: nested ? { ...OPTIONS, "elk.hierarchyHandling": "INCLUDE_CHILDREN" } : OPTIONS,
    children: roots,
    edges: visible.links.map((link, at) => ({ id: String(at), sources: [link.from], targets: [link.to] })),
  };
}

/** Where everything stands. @param {ElkNode} answer @param {Visible} visible @returns {Layout} */
export function fromElk(answer, visible) {
  /** @type {Map<string, Rect>} */
  const rects = new Map();
  /** @param {ElkNode} node */
  const walk = (node) => {
    for (const child of node.children ?? []) {
      rects.set(child.id, { x: child.x ?? 0, y: child.y ?? 0, width: child.width ?? 0, height: child.height ?? 0 });
      walk(child);
    }
  };
  walk(answer);
  const routes = visible.links.map((link, at) => {
    const sections = answer.edges?.[at]?.sections ?? [];
    const points = sections.flatMap((section) => [section.startPoint, ...(section.bendPoints ?? []), section.endPoint]);
    return { ...link, points };
  });
  return { width: answer.width ?? 0, height: answer.height ?? 0, rects, routes: routes.filter((route) => route.points.length > 1) };
}
