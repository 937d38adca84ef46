// What a story says: its records as they come, and each stage with the answers that the page asks of it again and again.

/**
 * @typedef {number | string | null} Dimension  a size, a symbol, or unknown
 * @typedef {{min: number, max: number, mean: number, std: number, zeros: number, histogram: number[]}} Statistics
 * @typedef {{name: string, dtype: string, shape: Dimension[] | null, kind: string, statistics?: Statistics}} Value
 * @typedef {{pass: string, rule: string, at: string}} Rewrite
 * @typedef {{
 *   id: number, op: string, domain: string, name: string, label: string, scope: string[],
 *   inputs: (number | null)[], outputs: (number | null)[], attributes: Record<string, string>,
 *   metrics: Record<string, number>, device: string | null, kernel: string | null,
 *   parents: number[], made_by: Rewrite[], sources: string[],
 * }} NodeRecord
 * @typedef {{verdict: string, node: number | null, label: string, message: string}} Remark
 * @typedef {{
 *   name: string, run: number, changes: number, seconds: number, size: {nodes: number, parameters: number},
 *   inputs: number[], outputs: number[], nodes: number[], remarks: Remark[],
 * }} StageRecord
 * @typedef {{name: string, seconds: number, remarks: Remark[]}} Idle
 * @typedef {{
 *   format: number, kind: string, title: string, graphopt: string, pipeline: string | null, target: string | null,
 *   notes: string[], values: Value[], nodes: NodeRecord[], stages: StageRecord[], idle: Idle[],
 * }} Story
 * @typedef {"new" | "changed" | "removed"} Change
 * @typedef {{from: string, to: string, value: number}} Edge  `from` and `to` are keys of things in the drawing
 * @typedef {{
 *   story: Story, index: number, record: StageRecord, title: string, nodes: NodeRecord[], byId: Map<number, NodeRecord>,
 *   edges: Edge[], producers: Map<number, number>, consumers: Map<number, number[]>, rank: Map<number, number>,
 * }} Stage
 */

/** The key of a node in the drawing. @param {number} id */
export const keyOfNode = (id) => `n${id}`;

/** The id of the node that a key stands for, or null. @param {string | null} key @returns {number | null} */
export function idOfKey(key) {
  return key !== null && /^n-?\d+$/.test(key) ? Number(key.slice(1)) : null;
}

/** What a stage is called: its pass, and which run of it where it ran more than once. @param {Story} story @param {number} index */
export function stageTitle(story, index) {
  const { name, run } = story.stages[index];
  if (story.kind === "history" && index > 0) return run > 1 ? `after ${name} (run ${run})` : `after ${name}`;
  return name;
}

/** The graph after one pass, with its edges. @param {Story} story @param {number} index @returns {Stage} */
export function readStage(story, index) {
  const record = story.stages[index];
  return linkStage(story, index, record, record.nodes.map((at) => story.nodes[at]), stageTitle(story, index));
}

/**
 * A stage of these nodes, whose edges follow from who makes and who takes each value.
 * @param {Story} story @param {number} index @param {StageRecord} record @param {NodeRecord[]} nodes @param {string} title
 * @returns {Stage}
 */
export function linkStage(story, index, record, nodes, title) {
  /** @type {Map<number, string>} */
  const origin = new Map();
  /** @type {Map<number, number>} */
  const producers = new Map();
  /** @type {Map<number, number[]>} */
  const consumers = new Map();
  for (const value of record.inputs) origin.set(value, `i:${story.values[value].name}`);
  for (const node of nodes)
    for (const value of node.outputs)
      if (value !== null) {
        origin.set(value, keyOfNode(node.id));
        producers.set(value, node.id);
      }
  /** @type {Edge[]} */
  const edges = [];
  for (const node of nodes)
    for (const value of new Set(node.inputs)) {
      if (value === null) continue;
      const from = origin.get(value);
      if (from === undefined) continue;
      edges.push({ from, to: keyOfNode(node.id), value });
      const takers = consumers.get(value);
      if (takers) takers.push(node.id);
      else consumers.set(value, [node.id]);
    }
  for (const value of record.outputs) {
    const from = origin.get(value);
    if (from !== undefined) edges.push({ from, to: `o:${story.values[value].name}`, value });
  }
  return {
    story, index, record, title, nodes, edges, producers, consumers,
    byId: new Map(nodes.map((node) => [node.id, node])),
    rank: new Map(nodes.map((node, at) => [node.id, at])),
  };
}

/**
 * What makes one record of a node differ from another, in words for the reader.
 * @param {Story} story @param {NodeRecord} before @param {NodeRecord} after @returns {string[]}
 */
export function differences(story, before, after) {
  if (before === after) return [];
  const found = [];
  /** @param {(number | null)[]} values */
  const names = (values) => values.map((value) => (value === null ? "" : story.values[value].name)).join();
  /** @param {(number | null)[]} values */
  const types = (values) =>
    values.map((value) => (value === null ? "" : `${story.values[value].dtype}${story.values[value].shape}`)).join();
  if (before.op !== after.op || before.domain !== after.domain) found.push("operator");
  if (before.name !== after.name) found.push("name");
  if (JSON.stringify(before.attributes) !== JSON.stringify(after.attributes)) found.push("attributes");
  if (names(before.inputs) !== names(after.inputs)) found.push("inputs");
  else if (String(before.inputs) !== String(after.inputs)) found.push("weights or shapes of inputs");
  if (names(before.outputs) !== names(after.outputs)) found.push("outputs");
  if (types(before.outputs) !== types(after.outputs)) found.push("shapes of outputs");
  return found;
}

/**
 * Which nodes are new or changed in `after`, and which nodes of `before` are gone.
 * @param {Stage} before @param {Stage} after @returns {Map<number, Change>}
 */
export function changesBetween(before, after) {
  /** @type {Map<number, Change>} */
  const changes = new Map();
  for (const node of after.nodes) {
    const old = before.byId.get(node.id);
    if (!old) changes.set(node.id, "new");
    else if (differences(after.story, old, node).length > 0) changes.set(node.id, "changed");
  }
  for (const node of before.nodes) if (!after.byId.has(node.id)) changes.set(node.id, "removed");
  return changes;
}

/**
 * One graph of the nodes of two stages, those of the later one as they are there, for both to be seen at once.
 * @param {Stage} before @param {Stage} after @returns {Stage}
 */
export function overlay(before, after) {
  const { story } = after;
  const kept = before.nodes.filter((node) => !after.byId.has(node.id));
  const merged = [...after.nodes];
  // A node that is gone stands where its neighbours in the old order stand.
  const slot = new Map(after.nodes.map((node, at) => [node.id, at + 1]));
  const place = new Map();
  let last = 0;
  for (const node of before.nodes) {
    last = slot.get(node.id) ?? last;
    place.set(node.id, last);
  }
  for (const node of kept) merged.push(node);
  merged.sort((a, b) => (slot.get(a.id) ?? place.get(a.id) + 0.5) - (slot.get(b.id) ?? place.get(b.id) + 0.5));
  const record = { ...after.record, inputs: unite(before.record.inputs, after.record.inputs, story), outputs: unite(before.record.outputs, after.record.outputs, story) };
  const stage = linkStage(story, after.index, record, merged, `${before.title} and ${after.title}`);
  const known = new Set(stage.edges.map((edge) => `${edge.from} ${edge.to}`));
  for (const edge of before.edges) {
    const pair = `${edge.from} ${edge.to}`;
    if (known.has(pair)) continue;
    known.add(pair);
    stage.edges.push(edge);
  }
  return stage;
}

/** Values of both, one of each name. @param {number[]} before @param {number[]} after @param {Story} story */
function unite(before, after, story) {
  const names = new Set(after.map((value) => story.values[value].name));
  return [...after, ...before.filter((value) => !names.has(story.values[value].name))];
}
