/** Where a shell's completion takes the values of an argument or an option from. */
export type Completes =
  | 'command'
  | 'compression'
  | 'container'
  /** `CONTAINER:PATH`, up to the colon. */
  | 'container-path'
  | 'directory'
  | 'file'
  /** A registry. */
  | 'host'
  /** An image of the store. */
  | 'image'
  | 'none'
  | 'platform'
  /** An image of the store, or one at a registry. */
  | 'reference'
  | 'repository'
  /** What `copy` takes: a reference, or a transport and what follows it. */
  | 'transport';

/** How an argument or an option says what completes it. */
export interface Completable {
  /** Default: what its name in help says, such as FILE. */
  readonly completes?: Completes | readonly Completes[];
  readonly choices?: readonly string[];
}

const BY_NAME: Readonly<Record<string, Completes>> = {
  CONTAINER: 'container',
  COMMAND: 'command',
  DEVICE: 'file',
  DIR: 'directory',
  FILE: 'file',
  HOST: 'host',
  IMAGE: 'image',
  'KIND[:LEVEL]': 'compression',
  'OS/ARCH[/VARIANT]': 'platform',
  REF: 'reference',
  REPO: 'repository',
  TAR: 'file',
};

/** What completes a value; `name`: as help calls it. */
export function completesOf({ completes }: Completable, name: string): readonly Completes[] {
  if (completes !== undefined) return typeof completes === 'string' ? [completes] : completes;
  const byName = Object.hasOwn(BY_NAME, name) ? BY_NAME[name] : undefined;
  return byName === undefined ? [] : [byName];
}
