/** Copies an image with all its platforms and shows how far it is: `node mirror-with-progress.js SOURCE DESTINATION...`. */
import { Imgtool, ImgtoolError, type ProgressEvent } from 'imgtool';

const [source, ...destinations] = process.argv.slice(2) as [string, ...string[]];

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());

const onProgress = ({ action, digest, state, transferred = 0 }: ProgressEvent): void =>
  console.error(`${action} ${digest.slice(7, 19)} ${state} ${transferred}`);

await using imgtool = new Imgtool({ parallel: 4, limitRate: '100MiB', onProgress });
try {
  const { digest, bytes } = await imgtool.copy(source, destinations, { all: true, signal: stop.signal });
  console.log(`${digest}: ${bytes} bytes sent`);
} catch (error) {
  if (!(error instanceof ImgtoolError)) throw error;
  console.error(`${error.code}: ${error.message}`, error.hint ?? '');
  process.exitCode = 1;
}
