import { Readable } from 'node:stream';

/** The first bytes of a stream (fewer when it ends before), and all of it; destroying `rest` ends the source. */
export async function peek(source: AsyncIterable<Buffer>, bytes: number): Promise<{ head: Buffer; rest: Readable }> {
  const chunks = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < bytes) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const whole = async function* (): AsyncGenerator<Buffer> {
    if (head.length > 0) yield head;
    yield* { [Symbol.asyncIterator]: () => chunks };
  };
  const rest = Readable.from(whole(), { objectMode: false });
  // Destroyed before its first read, the generator above never ran and closes nothing.
  rest.once('close', () => void chunks.return?.().catch(() => undefined));
  return { head, rest };
}
