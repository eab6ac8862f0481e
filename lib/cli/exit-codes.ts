/** The process's exit codes (docs/cli.md); never renumbered. */
export const EXIT = {
  success: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  authentication: 4,
  network: 5,
  content: 6,
  store: 7,
  space: 8,
  interrupted: 9,
  partial: 10,
  notStarted: 125,
  /** 128 + SIGPIPE, as a shell reports programs ended by that signal. */
  readerGone: 141,
} as const;

/** Meaning of each exit code, for help and docs. */
export const EXIT_MEANING: ReadonlyMap<number, string> = new Map([
  [EXIT.success, 'success'],
  [EXIT.failure, 'any other failure; a RUN of a Dockerfile that failed'],
  [EXIT.usage, 'wrong usage or malformed reference'],
  [EXIT.notFound, 'not found, already exists or in use'],
  [EXIT.authentication, 'authentication or authorization failed'],
  [EXIT.network, 'registry or network error, after retries'],
  [EXIT.content, 'invalid content: digest, manifest, layer, hostile entry'],
  [EXIT.store, 'error of the local store, of btrfs or of a required program'],
  [EXIT.space, 'out of disk space or quota'],
  [EXIT.interrupted, 'interrupted (SIGINT, SIGTERM); running the command again resumes'],
  [EXIT.partial, 'partial success; the report lists what failed'],
  [EXIT.notStarted, '`run`: the command could not be started; 126: not executable, 127: not found'],
  [EXIT.readerGone, 'the reader of the output closed the pipe early (`| head`); no message'],
]);
