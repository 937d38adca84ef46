// Runs the module of the working directory on files: node run_module.mjs INPUT.bin … -- OUTPUT.bin …
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const ARRAYS = { bool: Uint8Array, float16: Uint16Array, bfloat16: Uint16Array, int64: BigInt64Array, uint64: BigUint64Array };

const kinds = [Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Uint8Array, Uint16Array, Uint32Array];
const byName = Object.fromEntries(kinds.map((kind) => [kind.name.replace("Array", "").toLowerCase(), kind]));
const files = process.argv.slice(2);
const divider = files.indexOf("--");
const { load } = await import(pathToFileURL(resolve("model.mjs")));
const model = await load();
const feeds = model.inputs.map(({ name, dtype }, index) => {
  const { buffer, byteOffset, byteLength } = readFileSync(files[index]);
  return [name, new (ARRAYS[dtype] ?? byName[dtype])(buffer.slice(byteOffset, byteOffset + byteLength))];
});
const answers = model.run(Object.fromEntries(feeds));
model.outputs.forEach(({ name }, index) => writeFileSync(files[divider + 1 + index], answers[name]));
