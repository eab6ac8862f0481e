/** A time as Go prints it: `2026-01-02 03:04:05 +0000 UTC`; empty when there is none. */
export function goTime(iso: string | null | undefined): string {
  const time = Date.parse(iso ?? '');
  if (Number.isNaN(time)) return '';
  return `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`;
}
