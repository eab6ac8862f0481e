/** Where decompressed bytes go: part of a slot of the ring, as view and as address. */
export interface Slot {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/** Decompresses one blob, pulled by its reader. */
export interface Decoder {
  /** Fills `slot` from the start; fewer bytes than its length only at the end of the stream. Throws LayerFormatError. */
  read(slot: Slot): Promise<number>;
  /** Remarks about the stream, when it has ended. */
  readonly notes: readonly string[];
}
