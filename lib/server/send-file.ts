import type { FileHandle } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import type { ByteRange } from './byte-range.js';

/** Size of the two blocks per transfer, in bytes: one is read while the other is sent. */
const BLOCK_BYTES = 512 * 1024;

/**
 * Sends a part of a file as the body of `response`, whose head states the length, and ends the response. Memory is two
 * reused blocks, whatever the size: new buffers would cost more in page faults than the read itself. Resolves with the
 * number of bytes sent, which is smaller when the client disconnected. The file stays open.
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
    // The head has been sent, so only a broken connection can show that the file has become shorter.
    if (bytesRead === 0) response.destroy();
    if (!(await sending) || bytesRead === 0) return position - range.start;
    sending = write(response, block.subarray(0, bytesRead));
    position += bytesRead;
  }
  if (await sending) response.end();
  return position - range.start;
}

/** Resolves when the block may be reused; with false when the connection is broken. */
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
