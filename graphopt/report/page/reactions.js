// What the page shows of its state beside the drawing, and what a change of it entails.

import { details } from "./details.js";
import { byId, make } from "./dom.js";
import { drawingRules } from "./paint.js";
import { statusOf } from "./panel.js";
import { ALL_OPEN } from "./scopes.js";
import { idOfKey, keyOfNode, stageTitle } from "./story.js";

/** @typedef {import("./page.js").Page} Page @typedef {import("./store.js").State} State */

/** Let the page follow its state, from now on and as it is now. @param {Page} page */
export function react(page) {
  const { store } = page;
  const rules = make("style");
  document.head.append(rules);
  store.on(["stage", "view", "against"], (state, before) => moved(page, state, before));
  store.on(["closed"], () => page.refresh(true));
  store.on(["colour", "theme", "critical", "marks"], () => page.repaint());
  store.on(["selected"], (state) => chosen(page, state));
  store.on(["selected", "stage", "closed", "view", "against"], () => showDetails(page));
  store.on(["theme"], () => dress(page, rules));
  store.on(["stage", "view", "against", "closed"], () => tell(page));
  dress(page, rules);
  arrange(store.state);
  showDetails(page);
  tell(page);
}

/** Another stage, or another way to compare two: what is selected goes along as what it became. @param {Page} page @param {State} state @param {State} before */
function moved(page, state, before) {
  const { view, old, store } = page;
  const id = idOfKey(state.selected);
  const stage = page.shown();
  if (id !== null && !stage.byId.has(id) && state.stage !== before.stage) {
    const heir = page.lineage.standIns(stage, id)[0];
    if (heir !== undefined) store.set({ selected: keyOfNode(heir) });
  }
  arrange(state);
  if (state.view !== before.view) {
    page.viewChanged = true;
    view.camera.measure();
    old.camera.measure();
  }
  page.refresh(true);
  if (location.protocol !== "about:") history.replaceState(null, "", `#stage=${state.stage}`);
}

/** @param {State} state */
function arrange(state) {
  byId("old").toggleAttribute("hidden", state.view !== "side");
  byId("against-field").hidden = state.view === "single";
}

/** @param {Page} page @param {State} state */
function chosen(page, state) {
  for (const one of [page.view, page.old]) {
    one.scene.selected = state.selected;
    one.scene.request();
  }
  const item = state.selected === null ? undefined : page.view.placed?.visible.items.get(state.selected);
  byId("said").textContent = item ? `${item.title} ${item.subtitle}, ${item.name}` : "";
  if (state.selected !== null) page.store.set({ tab: "details" });
}

/** @param {Page} page */
function showDetails(page) {
  const { drawings, lineage } = page;
  const { stage, against, view, selected, closed } = page.store.state;
  const earlier = view === "single" ? stage - 1 : against;
  byId("tab-details-panel").replaceChildren(
    details(selected, {
      stage: page.shown(), before: earlier >= 0 && earlier !== stage ? drawings.stage(earlier) : null, lineage, scopes: drawings.scopes(page.shown()), closed,
      go: (key, there) => page.go(key, there), toggle: (key) => page.toggle(key), path: page.path(),
    }),
  );
  page.view.svg.setAttribute("aria-activedescendant", selected ? `graph-${selected}` : "");
}

/** @param {Page} page @param {HTMLElement} rules */
function dress(page, rules) {
  const { theme } = page.store.state;
  document.documentElement.dataset.theme = theme;
  byId("theme").setAttribute("aria-pressed", String(theme === "dark"));
  rules.textContent = drawingRules(page.palette, ".drawing");
}

/** The line below: where we are, how much there is, and what differs. @param {Page} page */
function tell(page) {
  const { story, drawings } = page;
  const { against, stage, view, closed } = page.store.state;
  const { title, nodes, rest } = statusOf(story, drawings.stage(stage));
  const compared = view === "single" || against === stage ? "" : `, compared with “${stageTitle(story, against)}”: ${summary(drawings.changes(against, stage))}`;
  byId("status").replaceChildren(`${title}: `, make("b", { "data-testid": "node-count" }, String(nodes)), ` ${nodes === 1 ? "node" : "nodes"}, ${rest}${compared}`);
  const keys = [...drawings.scopes(page.shown()).boxes.keys()];
  const shut = keys.filter((key) => closed.has(key)).length;
  const boxes = byId("boxes");
  boxes.hidden = keys.length === 0;
  boxes.textContent = page.allOpen() ? "Collapse all" : "Expand all";
  const runs = keys.some((key) => key.startsWith("b:run "));
  byId("collapsed").hidden = shut === 0 || nodes <= ALL_OPEN;
  byId("collapsed").textContent = `${nodes.toLocaleString("en")} nodes are more than a drawing shows at once, so it is collapsed by ${runs ? "runs of nodes in their order" : "scope"}; double-click a box to open it.`;
}

/** @param {Map<number, import("./story.js").Change>} changes */
function summary(changes) {
  const count = { new: 0, changed: 0, removed: 0 };
  for (const change of changes.values()) count[change] += 1;
  return `${count.new} new, ${count.changed} changed, ${count.removed} removed`;
}
