// The side of the page that is read: details of what is selected, and tables of layers, passes and remarks.

import { amount, modesOf } from "./colours.js";
import { byId, make } from "./dom.js";
import { digits, opTitle, salient, shapeText, short } from "./format.js";
import { keyOfNode, stageTitle } from "./story.js";
import { table } from "./tables.js";

/** @typedef {import("./story.js").Story} Story @typedef {import("./story.js").Stage} Stage @typedef {import("./story.js").Remark} Remark @typedef {import("./store.js").Store} Store */
/** @typedef {{pass: string, stage: number | null, run: number, changes: number, seconds: number, nodes: number | null, parameters: number | null, remarks: number}} PassRow */
/** @typedef {{pass: string, stage: number, remark: Remark}} RemarkRow */

/** @param {Story} story @param {Store} store @param {{stage: () => Stage, go: (key: string, stage?: number) => void}} page */
export function showPanel(story, store, { stage, go }) {
  const metrics = modesOf(story).filter((mode) => mode.metric !== null);
  const layers = table({
    name: "Layers of this stage",
    columns: [
      { title: "name", text: (/** @type {import("./story.js").NodeRecord} */ node) => node.name || node.label, wide: true },
      { title: "operator", text: opTitle },
      { title: "settings", text: (node) => salient(story, node) },
      { title: "output", text: (node) => { const made = node.outputs.find((value) => value !== null); return made === undefined || made === null ? "" : shapeText(story.values[made].shape); } },
      ...metrics.map((mode) => ({
        title: mode.title, number: true,
        text: (/** @type {import("./story.js").NodeRecord} */ node) => { const known = amount(mode, [node]); return known === null ? "" : mode.text(known); },
        order: (/** @type {import("./story.js").NodeRecord} */ node) => amount(mode, [node]),
      })),
      ...(story.nodes.some((node) => node.device) ? [{ title: "device", text: (/** @type {import("./story.js").NodeRecord} */ node) => node.device ?? "" }] : []),
    ],
    choose: (node) => go(keyOfNode(node.id)),
    isCurrent: (node) => store.state.selected === keyOfNode(node.id),
  });
  const passes = table({
    name: "Passes",
    columns: [
      { title: "pass", text: (/** @type {PassRow} */ row) => (row.run > 1 ? `${row.pass} (run ${row.run})` : row.pass), wide: true, leads: (row) => row.stage !== null },
      { title: "changes", number: true, text: (row) => String(row.changes), order: (row) => row.changes },
      { title: "nodes", number: true, text: (row) => (row.nodes === null ? "" : String(row.nodes)), order: (row) => row.nodes },
      { title: "weights", number: true, text: (row) => (row.parameters === null ? "" : short(row.parameters)), order: (row) => row.parameters },
      { title: "ms", number: true, text: (row) => digits(row.seconds * 1000), order: (row) => row.seconds },
      { title: "remarks", number: true, text: (row) => String(row.remarks), order: (row) => row.remarks },
    ],
    choose: (row) => row.stage !== null && store.set({ stage: row.stage }),
    isCurrent: (row) => row.stage === store.state.stage,
  });
  const remarks = table({
    name: "Remarks of all passes",
    columns: [
      { title: "node", text: (/** @type {RemarkRow} */ row) => row.remark.label, wide: true },
      { title: "verdict", text: (row) => (row.remark.verdict === "applied" ? "fired" : "did not") },
      { title: "why", text: (row) => row.remark.message, long: true },
      { title: "pass", text: (row) => row.pass },
    ],
    choose: (row) => row.remark.node !== null && go(keyOfNode(row.remark.node), row.stage),
    isCurrent: (row) => row.remark.node !== null && store.state.selected === keyOfNode(row.remark.node),
  });
  /** @type {PassRow[]} */
  const passRows = story.stages.map((record, at) => ({
    pass: record.name, stage: at, run: record.run, changes: record.changes, seconds: record.seconds, nodes: record.nodes.length, parameters: record.size.parameters, remarks: record.remarks.length,
  }));
  for (const idle of story.idle) passRows.push({ pass: idle.name, stage: null, run: 1, changes: 0, seconds: idle.seconds, nodes: null, parameters: null, remarks: idle.remarks.length });
  /** @type {RemarkRow[]} */
  const remarkRows = [
    // A pass speaks of the graph as it met it.
    ...story.stages.flatMap((record, at) => record.remarks.map((remark) => ({ pass: record.name, stage: holder(story, remark, at), remark }))),
    ...story.idle.flatMap((idle) => idle.remarks.map((remark) => ({ pass: idle.name, stage: holder(story, remark, story.stages.length - 1), remark }))),
  ];
  byId("tab-layers-panel").append(layers.element);
  byId("tab-passes-panel").append(passes.element);
  byId("tab-remarks-panel").append(remarks.element);
  passes.fill(passRows);
  remarks.fill(remarkRows);
  byId("tab-remarks").hidden = remarkRows.length === 0;
  byId("tab-passes").hidden = story.stages.length < 2 && story.idle.length === 0;
  byId("tab-remarks").append(make("span", { class: "count" }, String(remarkRows.length)));

  const tabs = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[role=tab]")]);
  const showTab = () => {
    for (const tab of tabs) {
      const on = tab.id === `tab-${store.state.tab}`;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      byId(`${tab.id}-panel`).hidden = !on;
    }
    layers.refresh();
    passes.refresh();
    remarks.refresh();
  };
  for (const tab of tabs) {
    tab.addEventListener("click", () => store.set({ tab: tab.id.slice(4) }));
    tab.addEventListener("keydown", (event) => {
      const open = tabs.filter((one) => !one.hidden);
      const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      if (!by) return;
      const next = open[(open.indexOf(tab) + by + open.length) % open.length];
      store.set({ tab: next.id.slice(4) });
      next.focus();
      event.stopPropagation();
    });
  }
  const fill = () => layers.fill(stage().nodes);
  store.on(["stage", "view", "against"], fill);
  store.on(["selected", "stage"], () => [layers, passes, remarks].forEach((one) => one.refresh()));
  store.on(["tab"], showTab);
  fill();
  showTab();
}

/** The last stage not after `at` that has the node a remark speaks of. @param {Story} story @param {Remark} remark @param {number} at */
function holder(story, remark, at) {
  if (remark.node === null) return at;
  for (let stage = at; stage >= 0; stage--) if (story.stages[stage].nodes.some((index) => story.nodes[index].id === remark.node)) return stage;
  return at;
}

/** What the status line says of a stage. @param {Story} story @param {Stage} stage */
export function statusOf(story, stage) {
  const { parameters } = stage.record.size;
  return { title: stageTitle(story, stage.index), nodes: stage.nodes.length, rest: `${short(parameters)} parameters` };
}
