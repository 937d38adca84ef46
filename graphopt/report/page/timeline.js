// The slider over the passes, with the size of the graph after each as bars behind it.

import { counted, short } from "./format.js";
import { byId, make, makeSvg } from "./dom.js";
import { stageTitle } from "./story.js";

/** @typedef {import("./store.js").Store} Store @typedef {import("./story.js").Story} Story */

/** @param {Story} story @param {Store} store */
export function showTimeline(story, store) {
  const place = byId("timeline");
  const last = story.stages.length - 1;
  if (last < 1) {
    place.hidden = true;
    return;
  }
  const slider = /** @type {HTMLInputElement} */ (byId("slider"));
  slider.max = String(last);
  const label = byId("stage-label");
  const bars = byId("bars");
  const most = Math.max(...story.stages.map((stage) => stage.nodes.length));
  const svg = makeSvg("svg", { viewBox: `0 0 ${last + 1} 24`, preserveAspectRatio: "none", "aria-hidden": "true" });
  story.stages.forEach((stage, at) => {
    const height = Math.max(2, (22 * stage.nodes.length) / most);
    svg.append(makeSvg("rect", { x: at + 0.12, y: 24 - height, width: 0.76, height, "data-stage": at }));
  });
  bars.append(svg);
  bars.style.setProperty("--stages", String(last + 1));
  slider.addEventListener("input", () => store.set({ stage: Number(slider.value) }));
  byId("back").addEventListener("click", () => step(-1));
  byId("forward").addEventListener("click", () => step(1));
  /** @param {number} by */
  const step = (by) => store.set({ stage: Math.max(0, Math.min(last, store.state.stage + by)) });
  let playing = 0;
  const play = /** @type {HTMLButtonElement} */ (byId("play"));
  const stop = () => {
    clearInterval(playing);
    playing = 0;
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play all passes");
  };
  play.addEventListener("click", () => {
    if (playing) return stop();
    if (store.state.stage === last) store.set({ stage: 0 });
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
    playing = window.setInterval(() => (store.state.stage === last ? stop() : step(1)), 1300);
  });
  const show = () => {
    const { stage } = store.state;
    const record = story.stages[stage];
    slider.value = String(stage);
    const title = stageTitle(story, stage);
    slider.setAttribute("aria-valuetext", `${title}: ${counted(record.nodes.length, "node")}`);
    for (const bar of svg.children) bar.setAttribute("class", Number(bar.getAttribute("data-stage")) === stage ? "now" : "");
    label.replaceChildren(
      make("strong", {}, title),
      make("span", { class: "quiet" }, ` ${stage} of ${last}${stage > 0 && record.changes ? ` · ${counted(record.changes, "change")} · ${short(record.seconds * 1000)} ms` : ""}`),
    );
    /** @type {HTMLButtonElement} */ (byId("back")).disabled = stage === 0;
    /** @type {HTMLButtonElement} */ (byId("forward")).disabled = stage === last;
  };
  store.on(["stage"], show);
  show();
}
