/** Formats a time as Go does: `2026-01-02 03:04:05 +0000 UTC`; empty without a time. */
export function goTime(iso: string | null | undefined): string {
  const time = Date.parse(iso ?? '');
  if (Number.isNaN(time)) return '';
  return `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`;
}
