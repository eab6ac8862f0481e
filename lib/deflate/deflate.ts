import { readFileSync } from 'node:fs';

/** What is used of node's WebAssembly, which its types leave to those of browsers. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** What ./assembly exports; sizes and addresses in bytes. */
interface DeflateModule {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly INPUT: { readonly value: number };
  readonly OUTPUT: { readonly value: number };
  begin(dictionary: number, size: number): void;
  block(): number;
  finish(): number;
}

let loaded: { readonly module: DeflateModule; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;

function load(): NonNullable<typeof loaded> {
  if (loaded !== undefined) return loaded;
  const compiled = new WebAssembly.Module(readFileSync(new URL('./deflate.wasm', import.meta.url)));
  const module = new WebAssembly.Instance(compiled).exports as DeflateModule;
  return (loaded = { module, bytes: new Uint8Array(module.memory.buffer) });
}

/**
 * Deflates `block`, at most COMPRESS_BLOCK bytes, with the `dictionary` before it, at most 32 KiB; ends on a byte boundary and
 * does not end the stream. The same bytes on every machine. In memory of its own.
 */
export function deflate(block: Uint8Array, dictionary?: Uint8Array): Uint8Array<ArrayBuffer> {
  const { module, bytes } = load();
  const input = module.INPUT.value;
  const output = module.OUTPUT.value;
  const before = dictionary?.length ?? 0;
  if (dictionary !== undefined) bytes.set(dictionary, input);
  bytes.set(block, input + before);
  module.begin(before, block.length);
  while (module.block() !== 0);
  return bytes.slice(output, output + module.finish());
}
