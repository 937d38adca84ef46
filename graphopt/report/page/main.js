// The page: opens the story, and joins its parts by the state that they share.

import { byId } from "./dom.js";
import { Drawings } from "./drawings.js";
import { takeHands } from "./hands.js";
import { Layouter } from "./layouter.js";
import { Page } from "./page.js";
import { showPanel } from "./panel.js";
import { react } from "./reactions.js";
import { closedAtFirst } from "./scopes.js";
import { showSearch } from "./search.js";
import { Store } from "./store.js";
import { showTimeline } from "./timeline.js";
import { unpack } from "./unpack.js";

/** What a page shows at first: of a history the beginning, of a difference both sides. @param {import("./story.js").Story} story @param {Drawings} drawings @returns {import("./store.js").State} */
function beginning(story, drawings) {
  const last = story.stages.length - 1;
  const asked = new URLSearchParams(location.hash.slice(1)).get("stage");
  const stage = Math.max(0, Math.min(last, Number(asked ?? (story.kind === "diff" ? last : 0)) || 0));
  const compares = story.kind === "diff" && last > 0;
  return {
    stage, against: 0, view: compares ? (innerWidth < 900 ? "overlay" : "side") : "single", selected: null, colour: "operator",
    closed: closedAtFirst(drawings.scopes(drawings.stage(stage))), theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
    tab: "details", critical: false, marks: last > 0,
  };
}

/** @param {import("./story.js").Story} story @param {Layouter} layouter */
function open(story, layouter) {
  const drawings = new Drawings(story, layouter);
  const store = new Store(beginning(story, drawings));
  const page = new Page(story, drawings, store);
  react(page);
  takeHands(page);
  if (innerWidth < 800) byId("legend").removeAttribute("open");
  showTimeline(story, store);
  showSearch(() => page.shown(), (key) => page.go(key));
  showPanel(story, store, { stage: () => page.shown(), go: (key, stage) => page.go(key, stage) });
  new ResizeObserver(() => page.minimap?.redraw(page.palette)).observe(byId("canvas"));
  page.refresh(false);
  Object.assign(window, { graphopt: { store, view: page.view, old: page.old, drawings, layouter } });
}

const layouter = new Layouter();
open(JSON.parse(await unpack("story")), layouter);
