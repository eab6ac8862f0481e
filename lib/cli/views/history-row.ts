import type { HistoryStep } from '../../operations/index.js';
import { digestHex } from '../../spec/index.js';
import { formatSize } from '../../util/index.js';
import { formatAge } from '../age.js';

export const HISTORY_HEADINGS: Readonly<Record<string, string>> = { ID: 'IMAGE', CreatedSince: 'CREATED' };

const CREATED_BY_COLUMNS = 60;

interface HistoryShape {
  readonly noTrunc: boolean;
  /** Prints ages and sizes with units instead of times and bytes. */
  readonly human: boolean;
}

/** A row of `history` with the field names of docker and podman. */
export function historyRow(step: HistoryStep, { noTrunc, human }: HistoryShape) {
  const id = step.id === null ? '<missing>' : noTrunc ? step.id : digestHex(step.id).slice(0, 12);
  const time = step.created ?? '';
  return {
    ID: id,
    CreatedAt: time.replace(/\.\d+/, ''),
    CreatedSince: human ? formatAge(step.created) : time,
    CreatedBy: shorten(step.createdBy.replace(/\s+/g, ' '), noTrunc),
    Size: human ? formatSize(step.size) : String(step.size),
    Comment: step.comment,
    Author: step.author,
    Created: time,
    Tags: step.names,
    Digest: step.digest ?? '',
    DiffID: step.diffId ?? '',
    EmptyLayer: step.emptyLayer,
  };
}

function shorten(text: string, noTrunc: boolean): string {
  return noTrunc || text.length <= CREATED_BY_COLUMNS ? text : `${text.slice(0, CREATED_BY_COLUMNS - 3)}...`;
}
