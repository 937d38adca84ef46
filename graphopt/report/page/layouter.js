// Layouts, made by ELK in a worker so that the page stays responsive, and kept.

import { drifts, otherwise } from "./elk.js";
import { unpack } from "./unpack.js";

/** @typedef {import("./elk.js").ElkNode} ElkNode @typedef {import("./elk.js").Layout} Layout */
/** @typedef {{key: string, build: () => ElkNode, read: (answer: ElkNode) => Layout, urgent: boolean, resolve: (layout: Layout) => void, reject: (error: Error) => void, first?: ElkNode}} Job */

const KEPT = 40;

export class Layouter {
  constructor() {
    /** @type {Map<string, Promise<Layout>>} */
    this.known = new Map();
    /** @type {Job[]} */
    this.waiting = [];
    /** @type {Job | null} */
    this.running = null;
    /** @type {Worker | null} */
    this.worker = null;
    this.started = this.start();
  }

  async start() {
    const url = URL.createObjectURL(new Blob([await unpack("elk")], { type: "text/javascript" }));
    const worker = new Worker(url);
    worker.onmessage = ({ data }) => this.receive(data);
    worker.onerror = (event) => this.receive({ id: 1, error: { message: event.message } });
    worker.postMessage({ cmd: "register", algorithms: ["layered"], id: 0 });
    this.worker = worker;
    this.next();
  }

  /**
   * The layout of that name; `build` is asked only if it is not known yet. Urgent ones go first.
   * @param {string} key @param {() => ElkNode} build @param {(answer: ElkNode) => Layout} read @param {boolean} urgent @returns {Promise<Layout>}
   */
  layout(key, build, read, urgent) {
    const waiting = this.waiting.find((job) => job.key === key);
    if (waiting && urgent) {
      this.waiting.splice(this.waiting.indexOf(waiting), 1);
      this.waiting.unshift({ ...waiting, urgent });
    }
    const known = this.known.get(key);
    if (known) {
      this.known.delete(key);
      this.known.set(key, known);
      return known;
    }
    const promise = new Promise((resolve, reject) => {
      const job = { key, build, read, urgent, resolve, reject };
      if (urgent) this.waiting.unshift(job);
      else this.waiting.push(job);
    });
    promise.catch(() => this.known.delete(key));
    this.known.set(key, promise);
    for (const old of this.known.keys()) {
      if (this.known.size <= KEPT) break;
      if (!this.waiting.some((job) => job.key === old) && this.running?.key !== old) this.known.delete(old);
      else break;
    }
    this.next();
    return promise;
  }

  next() {
    if (this.running || !this.worker) return;
    const job = this.waiting.shift();
    if (!job) return;
    this.running = job;
    this.worker.postMessage({ cmd: "layout", graph: job.build(), layoutOptions: {}, options: {}, id: 1 });
  }

  /** @param {{id: number, data?: ElkNode, error?: {message?: string}}} answer */
  receive(answer) {
    const job = this.running;
    if (answer.id !== 1 || !job) return;
    if (answer.data && !job.first && drifts(answer.data)) {
      job.first = answer.data;
      this.worker?.postMessage({ cmd: "layout", graph: otherwise(job.build()), layoutOptions: {}, options: {}, id: 1 });
      return;
    }
    this.running = null;
    const { first } = job;
    const best = first && !(answer.data && (answer.data.width ?? 0) < (first.width ?? 0)) ? first : answer.data;
    if (best) job.resolve(job.read(best));
    else job.reject(new Error(answer.error?.message ?? "the layouter failed"));
    this.next();
  }
}
