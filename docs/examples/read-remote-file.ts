/** Prints one file of an image at a registry without pulling it: `node read-remote-file.js REF PATH`. */
import { Imgtool, NotFoundError } from 'imgtool';

const [ref, path] = process.argv.slice(2) as [string, string];

await using imgtool = new Imgtool();
try {
  process.stdout.write(await imgtool.readFile(ref, path, { maxBytes: '1MiB' }));
} catch (error) {
  if (!(error instanceof NotFoundError)) throw error;
  console.error(`no ${path} in ${ref}`);
  process.exitCode = 3;
}
