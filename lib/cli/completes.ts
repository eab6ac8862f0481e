/** Source of completion values for an argument or option. */
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
  /** An image in the store. */
  | 'image'
  | 'none'
  | 'platform'
  /** An image in the store or at a registry. */
  | 'reference'
  | 'repository'
  /** An argument of `copy`: a reference, or a transport and its location. */
  | 'transport';

/** An argument or option with completion. */
export interface Completable {
  /** Default: derived from its name in help, such as FILE. */
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

/** The completion sources of a value; `name`: its name in help. */
export function completesOf({ completes }: Completable, name: string): readonly Completes[] {
  if (completes !== undefined) return typeof completes === 'string' ? [completes] : completes;
  const byName = Object.hasOwn(BY_NAME, name) ? BY_NAME[name] : undefined;
  return byName === undefined ? [] : [byName];
}
