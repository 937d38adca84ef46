// What is known of the thing that is selected: where it comes from, what it takes and makes, and why it stayed as it is.

import { amount, kindOf, modesOf } from "./colours.js";
import { make } from "./dom.js";
import { counted, digits, opTitle, salient, shapeText, short } from "./format.js";
import { histogram } from "./histogram.js";
import { differences, idOfKey, keyOfNode, stageTitle } from "./story.js";

/** @typedef {import("./story.js").Story} Story @typedef {import("./story.js").Stage} Stage @typedef {import("./story.js").NodeRecord} NodeRecord @typedef {import("./story.js").Remark} Remark */
/**
 * @typedef {{
 *   stage: Stage, before: Stage | null, lineage: import("./lineage.js").Lineage, scopes: import("./scopes.js").Scopes,
 *   closed: ReadonlySet<string>, go: (key: string, stage?: number) => void, toggle: (key: string) => void, path: import("./critical.js").CriticalPath | null,
 * }} Surroundings
 */

/** @param {string | null} key @param {Surroundings} around @returns {HTMLElement} */
export function details(key, around) {
  const id = idOfKey(key);
  if (id !== null) {
    const node = around.stage.byId.get(id);
    return node ? nodeDetails(node, around) : absent(id, around);
  }
  if (key !== null && around.scopes.boxes.has(key)) return boxDetails(key, around);
  if (key !== null && /^[io]:/.test(key)) return endDetails(key, around);
  return modelDetails(around);
}

/** A part of the details with its heading. @param {string} title @param {...(Node | string | null | false)} children */
const section = (title, ...children) => make("section", {}, make("h3", {}, title), ...children);

/** @param {[string, string | Node][]} rows */
const facts = (rows) => make("dl", {}, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));

/** A button that goes to a node, in this stage or another. @param {NodeRecord} node @param {Surroundings} around @param {number} [stage] */
function link(node, { go }, stage) {
  return make(
    "button", { class: "link", type: "button", onclick: () => go(keyOfNode(node.id), stage) },
    make("span", { class: "chip", style: `background:${kindOf(node.op)[1]}` }, opTitle(node)), ` ${node.name || node.label}`,
  );
}

/** @param {Remark[]} remarks @param {Surroundings} around */
export function remarkList(remarks, around) {
  return make("ul", { class: "remarks" }, ...remarks.map((remark) => make("li", { class: remark.verdict }, make("b", {}, remark.verdict === "applied" ? "fired" : "did not fire"), ` ${remark.message}`)));
}

/** What a node costs, in words. @param {Story} story @param {NodeRecord[]} records @returns {[string, string][]} */
function costs(story, records) {
  /** @type {[string, string][]} */
  const rows = [];
  for (const mode of modesOf(story)) {
    if (mode.metric === null) continue;
    const known = amount(mode, records);
    if (known !== null && (known !== 0 || mode.together !== "sum")) rows.push([mode.title, mode.text(known)]);
  }
  return rows;
}

/** @param {NodeRecord} node @param {Surroundings} around */
function nodeDetails(node, around) {
  const { stage, before, lineage } = around;
  const { story } = stage;
  const made = node.parents.flatMap((id) => lineage.records.get(id) ?? []).filter((parent) => parent.id !== node.id);
  const heirs = [...(lineage.children.get(node.id) ?? [])].flatMap((id) => lineage.records.get(id) ?? []);
  const span = lineage.span.get(node.id) ?? [stage.index, stage.index];
  const old = before?.byId.get(node.id);
  const changed = old ? differences(story, old, node) : [];
  const remarks = remarksOf(story, [node.id, ...(lineage.parents.get(node.id) ?? [])]);
  /** @type {[string, string][]} */
  const share = typeof node.metrics.share === "number" ? [["share of time", `${digits(node.metrics.share * 100)} %`]] : [];
  const spent = [...costs(story, [node]), ...share];
  const origins = node.made_by.map((rewrite) => make("li", {}, make("b", {}, rewrite.pass), rewrite.rule ? ` by ${rewrite.rule}` : "", rewrite.at ? make("span", { class: "quiet" }, ` at ${rewrite.at}`) : ""));
  return make(
    "div", {},
    make("h2", {}, make("span", { class: "chip", style: `background:${kindOf(node.op)[1]}` }, opTitle(node)), ` ${salient(story, node)}`),
    make("p", { class: "name" }, node.name || node.label),
    section(
      "Provenance",
      origins.length ? make("ol", { class: "made-by" }, ...origins) : make("p", {}, span[0] === 0 ? "Stands so in the model; no rewrite made it." : `Came with ${stageTitle(story, span[0]).replace(/^after /, "")}.`),
      made.length > 0 && make("p", {}, "Made from"),
      made.length > 0 && make("ul", { class: "links" }, ...made.map((parent) => make("li", {}, link(parent, around, lineage.span.get(parent.id)?.[1])))),
      node.sources.length > 0 && made.length === 0 && node.made_by.length > 0 && make("p", { class: "quiet" }, `In the model: ${node.sources.join(", ")}`),
      node.sources.length > 1 && made.length > 0 && make("p", { class: "quiet" }, `In the model: ${node.sources.join(", ")}`),
      changed.length > 0 && make("p", {}, `Changed by ${stage.record.name}: ${changed.join(", ")}.`),
      story.stages.length > 1 && make("p", { class: "quiet" }, span[1] === story.stages.length - 1 ? `In the graph from “${stageTitle(story, span[0])}” to the end.` : `In the graph from “${stageTitle(story, span[0])}” until ${story.stages[span[1] + 1].name} takes it away.`),
      heirs.length > 0 && make("p", {}, "Became"),
      heirs.length > 0 && make("ul", { class: "links" }, ...heirs.map((heir) => make("li", {}, link(heir, around, lineage.span.get(heir.id)?.[0])))),
    ),
    remarks.length > 0 && section("Remarks", ...remarks.map(({ title, found }) => make("div", {}, make("p", { class: "quiet" }, title), remarkList(found, around)))),
    section("Inputs", values(node.inputs, around)),
    section("Outputs", values(node.outputs, around)),
    Object.keys(node.attributes).length > 0 && section("Attributes", facts(Object.entries(node.attributes).map(([name, value]) => [name, value.length > 300 ? `${value.slice(0, 300)}…` : value]))),
    spent.length > 0 && section("Costs", facts(spent)),
    (node.device || node.kernel || node.domain) ? section("Execution", facts([...(node.device ? [["device", node.device]] : []), ...(node.kernel ? [["kernel", node.kernel]] : []), ...(node.domain ? [["domain", node.domain]] : [])].map(([name, value]) => [name, value]))) : null,
  );
}

/** The remarks on these nodes, pass by pass. @param {Story} story @param {number[]} ids @returns {{title: string, found: Remark[]}[]} */
function remarksOf(story, ids) {
  const wanted = new Set(ids);
  const passes = [...story.stages.map((stage, at) => ({ title: at === 0 && story.kind === "history" ? stage.name : stageTitle(story, at).replace(/^after /, ""), remarks: stage.remarks })), ...story.idle.map((idle) => ({ title: idle.name, remarks: idle.remarks }))];
  return passes.map(({ title, remarks }) => ({ title, found: remarks.filter((remark) => remark.node !== null && wanted.has(remark.node)) })).filter(({ found }) => found.length > 0);
}

/** @param {(number | null)[]} list @param {Surroundings} around */
function values(list, around) {
  const { stage } = around;
  if (list.length === 0) return make("p", { class: "quiet" }, "none");
  return make(
    "ul", { class: "values" },
    ...list.map((index) => {
      if (index === null) return make("li", { class: "quiet" }, "left out");
      const value = stage.story.values[index];
      const maker = stage.producers.get(index);
      const node = maker === undefined ? undefined : stage.byId.get(maker);
      return make(
        "li", {},
        make("div", {}, make("span", { class: "name" }, value.name), make("span", { class: "type" }, `${value.kind === "constant" ? "constant " : ""}${value.dtype} ${shapeText(value.shape)}`), null),
        value.statistics ? histogram(value.statistics) : null,
        node && !list.every((one) => one !== null && stage.producers.get(one) === maker) ? make("div", {}, make("span", { class: "quiet" }, "of "), link(node, around)) : null,
      );
    }),
  );
}

/** @param {number} id @param {Surroundings} around */
function absent(id, around) {
  const record = around.lineage.records.get(id);
  const span = around.lineage.span.get(id);
  if (!record || !span) return modelDetails(around);
  return make("div", {}, make("h2", {}, opTitle(record)), make("p", {}, `${record.name || record.label} is not in the graph of this stage.`), make("ul", { class: "links" }, make("li", {}, link(record, around, span[1] < around.stage.index ? span[1] : span[0]))));
}

/** @param {string} key @param {Surroundings} around */
function boxDetails(key, around) {
  const { stage, scopes, closed, toggle } = around;
  const box = scopes.boxes.get(key);
  const inside = stage.nodes.filter((node) => scopes.paths.get(node.id)?.includes(key));
  const spent = costs(stage.story, inside);
  return make(
    "div", {},
    make("h2", {}, box?.title ?? ""), make("p", { class: "name" }, box?.name ?? ""),
    make("p", {}, counted(inside.length, "node"), " ", make("button", { type: "button", onclick: () => toggle(key) }, closed.has(key) ? "Expand" : "Collapse")),
    spent.length > 0 && section("Costs", facts(spent)),
    section("Nodes", make("ul", { class: "links" }, ...inside.slice(0, 200).map((node) => make("li", {}, link(node, around))), inside.length > 200 ? make("li", { class: "quiet" }, `and ${inside.length - 200} more`) : null)),
  );
}

/** @param {string} key @param {Surroundings} around */
function endDetails(key, around) {
  const { stage } = around;
  const output = key.startsWith("o:");
  const index = (output ? stage.record.outputs : stage.record.inputs).find((at) => stage.story.values[at].name === key.slice(2));
  if (index === undefined) return modelDetails(around);
  const value = stage.story.values[index];
  const users = (stage.consumers.get(index) ?? []).flatMap((id) => stage.byId.get(id) ?? []);
  const maker = stage.byId.get(stage.producers.get(index) ?? Number.NaN);
  return make(
    "div", {}, make("h2", {}, `${output ? "Output" : "Input"} ${value.name}`), facts([["type", value.dtype], ["shape", shapeText(value.shape)]]),
    maker ? section("Made by", make("ul", { class: "links" }, make("li", {}, link(maker, around)))) : null,
    users.length > 0 && section("Read by", make("ul", { class: "links" }, ...users.map((node) => make("li", {}, link(node, around))))),
  );
}

/** @param {Surroundings} around */
function modelDetails(around) {
  const { stage, path } = around;
  const { story } = stage;
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const node of stage.nodes) counts.set(opTitle(node), (counts.get(opTitle(node)) ?? 0) + 1);
  const most = Math.max(1, ...counts.values());
  const first = story.stages[0];
  const last = story.stages[story.stages.length - 1];
  return make(
    "div", {},
    make("h2", {}, story.title),
    story.stages.length > 1 && make("p", {}, `${first.nodes.length.toLocaleString("en")} → ${last.nodes.length.toLocaleString("en")} nodes, ${short(first.size.parameters)} → ${short(last.size.parameters)} parameters.`),
    make("p", { class: "quiet" }, "Select a node to see where it comes from, its weights, and why passes left it as it is."),
    ...story.notes.map((note) => make("p", { class: "note" }, note)),
    section(stage.title, facts([["nodes", String(stage.nodes.length)], ["parameters", short(stage.record.size.parameters)], ...costs(story, stage.nodes).filter(([name]) => !/parameters|sparsity|error|GFLOP/.test(name))])),
    path && section("Critical path", make("p", {}, `${counted(path.ids.length, "node")}, ${path.metric === "macs" ? `${short(path.total)} of ${short(path.sum)} multiply-adds` : `${digits(path.total / 1000)} of ${digits(path.sum / 1000)} ms`}.`)),
    section("Operators", make("ul", { class: "bars" }, ...[...counts].sort((a, b) => b[1] - a[1]).map(([op, count]) => make("li", {}, make("span", {}, op), make("i", { style: `width:${((60 * count) / most).toFixed(1)}%;background:${kindOf(op)[1]}` }), make("span", {}, String(count)))))),
    section("Inputs", values(stage.record.inputs, around)),
    section("Outputs", values(stage.record.outputs, around)),
    story.pipeline !== null && section("Pipeline", make("p", { class: "code" }, story.pipeline)),
    make("p", { class: "quiet" }, `graphopt ${story.graphopt}${story.target ? `, target ${story.target}` : ""}`),
  );
}
