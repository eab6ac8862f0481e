/** Bytes of all layers of an image. */
export function sizeOf(layers: readonly { readonly size: number }[]): number {
  return layers.reduce((sum, { size }) => sum + size, 0);
}
