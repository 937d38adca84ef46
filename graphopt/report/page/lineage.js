// What became of a node, and what it was made of, over the stages.

/** @typedef {import("./story.js").Story} Story @typedef {import("./story.js").Stage} Stage @typedef {import("./story.js").NodeRecord} NodeRecord */

export class Lineage {
  /** @param {Story} story */
  constructor(story) {
    /** @type {Map<number, Set<number>>} */
    this.parents = new Map();
    /** @type {Map<number, Set<number>>} */
    this.children = new Map();
    /** @type {Map<number, NodeRecord>} the latest record of each node */
    this.records = new Map();
    /** @type {Map<number, [number, number]>} the first and the last stage with each node */
    this.span = new Map();
    for (const node of story.nodes) {
      this.records.set(node.id, node);
      for (const parent of node.parents) {
        if (parent === node.id) continue;
        add(this.parents, node.id, parent);
        add(this.children, parent, node.id);
      }
    }
    story.stages.forEach((stage, at) => {
      for (const index of stage.nodes) {
        const { id } = story.nodes[index];
        const span = this.span.get(id);
        if (span) span[1] = at;
        else this.span.set(id, [at, at]);
      }
    });
  }

  /** The nodes of a stage that this one became, or was: itself, where it is there. @param {Stage} stage @param {number} id @returns {number[]} */
  standIns(stage, id) {
    if (stage.byId.has(id)) return [id];
    const first = this.span.get(id)?.[0] ?? 0;
    return reach(first < stage.index ? this.children : this.parents, id, (one) => stage.byId.has(one));
  }
}

/** @param {Map<number, Set<number>>} map @param {number} key @param {number} value */
function add(map, key, value) {
  const known = map.get(key);
  if (known) known.add(value);
  else map.set(key, new Set([value]));
}

/** The nearest in a direction that fit. @param {Map<number, Set<number>>} next @param {number} id @param {(id: number) => boolean} fits @returns {number[]} */
function reach(next, id, fits) {
  const seen = new Set([id]);
  const found = [];
  const front = [id];
  while (front.length) {
    const one = front.shift();
    for (const other of (one !== undefined && next.get(one)) || []) {
      if (seen.has(other)) continue;
      seen.add(other);
      if (fits(other)) found.push(other);
      else front.push(other);
    }
  }
  return found;
}
