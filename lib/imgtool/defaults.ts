/** Default values that also appear in help. */
export const DEFAULTS = {
  root: '/var/lib/imgtool',
  parallel: 6,
  retry: 3,
  timeout: 60,
  listen: '127.0.0.1:5000',
  /** Free space to keep on the store's file system, in bytes. */
  reserve: 2 ** 30,
  /** Lifetime of unused build steps and cache mounts. */
  cacheTtl: '14d',
} as const;
