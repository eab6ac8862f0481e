import type { RelativePath } from '../../rootfs/index.js';
import { directFtruncate, directPwrite, directWrite } from '../../sys/index.js';
import type { ByteWindows } from '../tar/byte-windows.js';
import type { TarReader } from '../tar/reader.js';
import { unpackError } from './unpack-error.js';

/**
 * Writes the data of the reader's current member, read through `windows`, into the new file `fd`. `path` is for
 * messages. Throws DiskSpaceError, LayerFormatError, SyscallError, StoppedError.
 */
export function writeData(fd: number, reader: TarReader, windows: ByteWindows, path: RelativePath): void {
  if (reader.entry.sparse !== undefined) {
    writeRegions(fd, reader, windows, path);
    return;
  }
  const { address } = windows;
  for (let length = reader.data(); length > 0; length = reader.data()) {
    let at = address + windows.start;
    for (let left = length; left > 0;) {
      const written = directWrite(fd, at, left);
      if (written < 0) throw unpackError('write', path.toBuffer());
      at += written;
      left -= written;
    }
  }
}

function writeRegions(fd: number, reader: TarReader, windows: ByteWindows, path: RelativePath): void {
  const { address } = windows;
  const { realSize } = reader.entry;
  const map = reader.entry.sparse!;
  if (directFtruncate(fd, realSize) < 0) throw unpackError('ftruncate', path.toBuffer());
  for (let index = 0; index < map.length; index += 2) {
    let offset = map[index]!;
    let wanted = map[index + 1]!;
    while (wanted > 0) {
      const length = reader.data(wanted);
      for (let done = 0; done < length;) {
        const written = directPwrite(fd, address + windows.start + done, length - done, offset + done);
        if (written < 0) throw unpackError('pwrite', path.toBuffer());
        done += written;
      }
      offset += length;
      wanted -= length;
    }
  }
}
