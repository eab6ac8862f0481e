import { readFileSync } from 'node:fs';

/** The parts of WebAssembly in use; node's types leave them to the browser types. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** The exports of ./assembly. Sizes and addresses in bytes. */
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
 * Deflates `block` (at most COMPRESS_BLOCK bytes) with the preceding `dictionary` (at most 32 KiB). Ends on a byte
 * boundary without ending the stream. Gives the same bytes on every machine. The result has its own memory.
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
