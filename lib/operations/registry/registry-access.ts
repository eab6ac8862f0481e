import type { RegistryClient } from '../../registry/index.js';

/** How registries of one side of a copy are reached, where that is not as everywhere else. */
export interface RegistryAccess {
  /** The only file to find logins in. */
  readonly authfile?: string | undefined;
  /** The login of one host, before those of any file; `registryToken`: a bearer token in place of user and password. */
  readonly login?:
    | {
        readonly host: string;
        readonly username: string;
        readonly password: string;
        readonly registryToken?: string | undefined;
      }
    | undefined;
  /** Without any login. */
  readonly anonymous?: boolean | undefined;
  /** False: any certificate and plain http will do. */
  readonly tlsVerify?: boolean | undefined;
  /** Directory of certificates. */
  readonly certDir?: string | undefined;
}

/** Gives the client that reaches registries so; the same one for the same access. Closed by its maker. */
export type ClientForAccess = (access: RegistryAccess) => Promise<RegistryClient>;
