/** The destination of decompressed bytes: part of a slot of the ring, as a view and as an address. */
export interface Slot {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/** Decompresses one blob on demand. */
export interface Decoder {
  /**
   * Fills `slot` from its start. Returns the number of bytes; fewer than its length only at the end of the stream.
   * Throws LayerFormatError.
   */
  read(slot: Slot): Promise<number>;
  /** Notes about the stream; complete after its end. */
  readonly notes: readonly string[];
}
