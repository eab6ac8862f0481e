/** Runs a registry for a test and puts an image into it: `node registry-for-tests.js SOURCE`. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Imgtool } from 'imgtool';

const [source] = process.argv.slice(2) as [string];
const dir = await mkdtemp(join(tmpdir(), 'registry-'));

await using imgtool = new Imgtool();
try {
  await using registry = await imgtool.serve({ dir, listen: '127.0.0.1:0' });
  await imgtool.copy(source, `${registry.address}/app:1`);
  console.log(await imgtool.tags(`${registry.address}/app`), await imgtool.catalog(registry.address));
} finally {
  await rm(dir, { recursive: true });
}
