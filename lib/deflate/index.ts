/**
 * Deflate (RFC 1951) in WebAssembly: the same bytes on every machine and with every Node version. `assembly/` is
 * AssemblyScript, which the build compiles to `deflate.wasm`. Imports no other room.
 */
export { deflate } from './deflate.js';
