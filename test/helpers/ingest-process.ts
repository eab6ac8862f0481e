/**
 * A program for tests that download in another process: `node ingest-process.js ROOT FILE COUNT` begins the ingest of
 * FILE's bytes, writes COUNT of them, prints its offset at the start and then `written`; a line on stdin makes it write the rest and commit.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createContentStore } from '../../lib/content/index.js';
import { digestOf } from '../../lib/spec/index.js';

const [root, file, count] = process.argv.slice(2) as [string, string, string];
const bytes = readFileSync(file);
const descriptor = { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.length };
const ingest = await createContentStore({ root }).beginIngest(descriptor, { signal: new AbortController().signal });
if (ingest === undefined) {
  console.log('present');
} else {
  console.log(ingest.offset);
  for (let at = ingest.offset; at < Number(count); at += 4096)
    await ingest.write(bytes.subarray(at, Math.min(Number(count), at + 4096)));
  console.log('written');
  for await (const _line of createInterface({ input: process.stdin })) {
    await ingest.write(bytes.subarray(ingest.offset));
    await ingest.commit();
    process.exit();
  }
}
