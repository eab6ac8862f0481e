import type { FileHandle } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import type { ByteRange } from './byte-range.js';

/** Two blocks a transfer: one is read while the other is sent. Bytes. */
const BLOCK_BYTES = 512 * 1024;

/**
 * Sends a part of a file as the body of `response`, whose head says its length, and ends it. Memory is two blocks whatever
 * the size, reused: fresh buffers would cost more in page faults than the read itself. Resolves with the bytes handed to
 * the connection, fewer than asked for when the client went away; the file stays open.
 */
export async function sendFile(response: ServerResponse, handle: FileHandle, range: ByteRange): Promise<number> {
  const end = range.start + range.length;
  const blockBytes = Math.min(BLOCK_BYTES, range.length);
  const blocks = [Buffer.allocUnsafeSlow(blockBytes)];
  if (range.length > blockBytes) blocks.push(Buffer.allocUnsafeSlow(blockBytes));
  let position = range.start;
  let sending: Promise<boolean> = Promise.resolve(true);
  for (let turn = 0; position < end; turn++) {
    const block = blocks[turn % blocks.length]!;
    const { bytesRead } = await handle.read(block, 0, Math.min(blockBytes, end - position), position);
    // The head is out: cutting the connection is the only way left to say that the file is shorter than it was.
    if (bytesRead === 0) response.destroy();
    if (!(await sending) || bytesRead === 0) return position - range.start;
    sending = write(response, block.subarray(0, bytesRead));
    position += bytesRead;
  }
  if (await sending) response.end();
  return position - range.start;
}

/** Resolves once the block may be reused, with false when the connection is gone. */
function write(response: ServerResponse, block: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    if (response.destroyed) return resolve(false);
    const gone = (): void => resolve(false);
    response.once('close', gone);
    response.write(block, (error) => {
      response.off('close', gone);
      resolve(error === null || error === undefined);
    });
  });
}
