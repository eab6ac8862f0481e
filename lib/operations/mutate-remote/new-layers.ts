import { PassThrough } from 'node:stream';
import type { AppliedLayer, LayerIndexer } from '../../layer/index.js';
import type { FileTree } from '../../rootfs/index.js';
import { layerMediaType, type ManifestFormat, parseDigest } from '../../spec/index.js';
import { bothOrFirstError, GrowingFile } from '../../util/index.js';
import type { Spool, SpooledFile } from '../build-context/index.js';
import { spooledBlob } from '../build-remote/index.js';
import { takeGivenTar, givenTarError } from '../layers/index.js';
import type { TarToAppend } from '../mutate/index.js';
import type { NewLayer, RemoteChangeDeps } from './types.js';

/**
 * Reads a tar as an unchanged layer (xz and bzip2 become gzip) and validates it. Throws LayerFormatError,
 * PathEscapeError, UnsupportedMediaTypeError, CommandError, DiskSpaceError, AbortError.
 */
export async function takeTar(
  { indexer, spool }: { readonly indexer: LayerIndexer; readonly spool: Spool },
  { name, open }: TarToAppend,
  { format, signal }: { readonly format: ManifestFormat; readonly signal: AbortSignal },
): Promise<NewLayer> {
  const file = await takeGivenTar(await open(), { name, signal }, (bytes) => spool.take(bytes, signal));
  const index = spool.make();
  let read: AppliedLayer;
  try {
    const { fd, size } = file;
    read = await indexer.index({ fd, growing: GrowingFile.complete(size), size, index, signal });
  } catch (error) {
    throw givenTarError(error, name);
  } finally {
    spool.drop(index);
  }
  return newLayer(file, { diffId: read.diffId, mediaType: layerMediaType(format, read.compression, '') });
}

/** Packs a whole tree as one layer. Throws the errors of opening its files, LayerFormatError, DiskSpaceError, AbortError. */
export async function packFlat(
  { packFileTree, progress }: Pick<RemoteChangeDeps, 'packFileTree' | 'progress'>,
  tree: FileTree,
  {
    spool,
    format,
    sourceDateEpoch,
    signal,
  }: {
    readonly spool: Spool;
    readonly format: ManifestFormat;
    readonly sourceDateEpoch: number | undefined;
    readonly signal: AbortSignal;
  },
): Promise<NewLayer> {
  const output = new PassThrough();
  const epoch = sourceDateEpoch === undefined ? {} : { sourceDateEpoch };
  const [{ diffId, notes }, file] = await bothOrFirstError(
    packFileTree(tree, { compression: 'gzip', ...epoch, output, signal }),
    spool.take(output as AsyncIterable<Buffer>, signal),
  );
  for (const note of notes) progress.note(note);
  return newLayer(file, { diffId, mediaType: layerMediaType(format, 'gzip', '') });
}

function newLayer(
  file: SpooledFile,
  { diffId, mediaType }: Pick<NewLayer, 'diffId'> & { readonly mediaType: string },
): NewLayer {
  const blob = { mediaType, digest: parseDigest(`sha256:${file.hash}`), size: file.size };
  return { blob, diffId, source: spooledBlob({ blob, file }), place: undefined };
}
