/** Default values that the command line's help shows too. */
export const DEFAULTS = {
  root: '/var/lib/imgtool',
  parallel: 6,
  retry: 3,
  timeout: 60,
  listen: '127.0.0.1:5000',
  /** Bytes to leave free on the file system of the store. */
  reserve: 2 ** 30,
  /** How long unused steps of builds and cache mounts stay. */
  cacheTtl: '14d',
} as const;
