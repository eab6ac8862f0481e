import { LayerFormatError } from '../../errors.js';
import { MAX_SPARSE_REGIONS } from '../limits.js';
import { GNU_SPARSE, parseNumber } from './header.js';

/** Reads up to `count` regions of an old GNU sparse header or extension at `at`. An empty offset ends the list. */
export function readGnuRegions(bytes: Uint8Array, at: number, count: number, map: number[]): void {
  for (let index = 0; index < count; index += 1) {
    const place = at + index * GNU_SPARSE.regionBytes;
    if (bytes[place] === 0 && bytes[place + 12] === 0) return;
    if (map.length >= 2 * MAX_SPARSE_REGIONS) throw new LayerFormatError('a sparse file has too many regions');
    map.push(parseNumber(bytes, place, 12), parseNumber(bytes, place + 12, 12));
  }
}

/** Throws LayerFormatError unless the regions ascend without overlap, fit into the file and add up to the stored data. */
export function checkSparseMap(map: readonly number[], stored: number, realSize: number): void {
  let end = 0;
  let sum = 0;
  const bad = (): never => {
    throw new LayerFormatError('the map of a sparse file is invalid');
  };
  if (map.length % 2 !== 0) bad();
  for (let index = 0; index < map.length; index += 2) {
    const offset = map[index]!;
    const length = map[index + 1]!;
    if (!(offset >= end && length >= 0 && Number.isSafeInteger(offset + length))) bad();
    end = offset + length;
    sum += length;
  }
  if (end > realSize || sum !== stored) bad();
}
