import { Readable } from 'node:stream';

/** Returns the first bytes of a stream (fewer if it is shorter) and the whole stream. Destroying `rest` ends the source. */
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
  // If it is destroyed before its first read, the generator above never runs and does not close the source.
  rest.once('close', () => void chunks.return?.().catch(() => undefined));
  return { head, rest };
}
