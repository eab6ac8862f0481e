import type { ProgressEvent } from '../progress/index.js';

/** Progress of one blob or layer. */
export interface ProgressItem {
  readonly digest: string;
  readonly kind: ProgressEvent['kind'];
  action: ProgressEvent['action'];
  state: ProgressEvent['state'];
  /** Bytes done and expected in the current action. */
  transferred: number;
  total: number | undefined;
  /** Start and end of the current action, in ms. */
  since: number;
  until: number | undefined;
  message: string | undefined;
}

/** Bytes over the network, for all items. */
export interface ProgressTotals {
  readonly transferred: number;
  readonly total: number;
  /** Bytes per second, smoothed over the last seconds; undefined while nothing moves. */
  readonly rate: number | undefined;
  /** Seconds left at that rate. */
  readonly secondsLeft: number | undefined;
}

/** Window for rates, in ms. */
const WINDOW_MS = 5_000;

/** Folds events into one item per digest, in order of appearance. Callers pass the time, so that tests need no clock. */
export class ProgressModel {
  readonly items = new Map<string, ProgressItem>();
  readonly #transfers = new Map<string, { transferred: number; total: number; skipped: boolean }>();
  readonly #begun = new Map<string, number>();
  readonly #samples: { readonly at: number; readonly bytes: number }[] = [];

  /** Takes one event and returns its item. A download and its unpacking share an item. */
  take(event: ProgressEvent, now: number): ProgressItem {
    const item = this.items.get(event.digest) ?? this.#add(event, now);
    const begun = this.#beginning(event, now);
    if (item.action !== event.action) {
      // The bottom layer unpacks during its download; the bar shows the download until that is complete.
      if (event.state === 'active' && item.action === 'fetch' && item.state === 'active') return item;
      Object.assign(item, { action: event.action, transferred: 0, total: undefined, since: begun, until: undefined });
    }
    if (event.state === 'active' && item.state !== 'active' && item.state !== 'retrying') item.since = begun;
    item.state = event.state;
    item.transferred =
      event.transferred ??
      (event.state === 'done' ? (event.total ?? item.total ?? item.transferred) : item.transferred);
    item.total = event.total ?? item.total;
    item.message = event.message;
    if (isFinal(event.state)) item.until = now;
    if (event.action === 'fetch' || event.action === 'upload') this.#account(event, item, now);
    return item;
  }

  /** Progress of all transfers together. */
  totals(now: number): ProgressTotals {
    let transferred = 0;
    let total = 0;
    for (const entry of this.#transfers.values()) {
      if (entry.skipped) continue;
      transferred += entry.transferred;
      total += Math.max(entry.total, entry.transferred);
    }
    const first = this.#samples.find(({ at }) => at >= now - WINDOW_MS);
    const rate =
      first === undefined || now - first.at < 200 || transferred <= first.bytes
        ? undefined
        : ((transferred - first.bytes) * 1000) / (now - first.at);
    return { transferred, total, rate, secondsLeft: rate === undefined ? undefined : (total - transferred) / rate };
  }

  /** When the action of `event` first moved, possibly unseen during the download. */
  #beginning({ digest, action, state }: ProgressEvent, now: number): number {
    const key = `${digest} ${action}`;
    const begun = this.#begun.get(key) ?? now;
    if (state === 'active') this.#begun.set(key, begun);
    return begun;
  }

  #add(event: ProgressEvent, now: number): ProgressItem {
    const item: ProgressItem = {
      digest: event.digest,
      kind: event.kind,
      action: event.action,
      state: event.state,
      transferred: 0,
      total: undefined,
      since: now,
      until: undefined,
      message: undefined,
    };
    this.items.set(event.digest, item);
    return item;
  }

  #account(event: ProgressEvent, item: ProgressItem, now: number): void {
    this.#transfers.set(event.digest, {
      transferred: item.transferred,
      total: item.total ?? 0,
      skipped: event.state === 'skipped' || event.state === 'mounted',
    });
    const last = this.#samples.at(-1);
    if (last !== undefined && now - last.at < 100) return;
    this.#samples.push({ at: now, bytes: this.#sum() });
    while (this.#samples.length > 2 && this.#samples[0]!.at < now - 2 * WINDOW_MS) this.#samples.shift();
  }

  #sum(): number {
    let sum = 0;
    for (const entry of this.#transfers.values()) if (!entry.skipped) sum += entry.transferred;
    return sum;
  }
}

/** Reports whether an action in this state is over. */
export function isFinal(state: ProgressEvent['state']): boolean {
  return state === 'done' || state === 'skipped' || state === 'mounted';
}
